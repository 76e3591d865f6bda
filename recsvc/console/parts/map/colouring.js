// Which colour and shape an item has on the map, by the value of one of its features.

import { shown } from "../../format.js";

const NAMED = 8, BINS = 5, SHAPES = ["circle", "square", "triangle", "diamond"];

/** The entry of all that has no colour of its own. */
const REST = "rest";

/**
 * Give entries for `items` (with `value`): `{entries: [{key, label, count, tone, shape}], keyOf}`. The most
 * frequent values have a colour and a shape each, as not everybody tells all colours apart; numbers have a scale.
 */
export function colouring(items, kind) {
  const made = kind === "number" ? scale(items) : categories(items);
  const keys = items.map(made.keyOf), counts = new Map();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  const rest = { key: REST, label: made.entries.length ? made.rest : "items", tone: "rest", shape: "circle" };
  const entries = [...made.entries, rest].map((one) => ({ ...one, count: counts.get(one.key) ?? 0 }));
  return { entries: entries.filter((one) => one.count > 0), keys };
}

const values = (item) => [item.value ?? []].flat();

function categories(items) {
  const counts = new Map();
  for (const item of items) for (const value of new Set(values(item))) counts.set(value, (counts.get(value) ?? 0) + 1);
  const often = [...counts].sort((a, b) => b[1] - a[1] || String(a[0]).localeCompare(String(b[0]))).slice(0, NAMED);
  const keys = new Map(often.map(([value], n) => [value, `c${n + 1}`]));
  return {
    entries: often.map(([value], n) => ({ key: `c${n + 1}`, label: shown(value) || "empty", tone: `c${n + 1}`, shape: SHAPES[n % SHAPES.length] })),
    keyOf: (item) => keys.get(values(item).find((value) => keys.has(value))) ?? REST,
    rest: "others",
  };
}

/** Numbers in as many parts of about the same size as there are steps of the scale. */
function scale(items) {
  const numbers = items.map((item) => item.value).filter((value) => typeof value === "number").sort((a, b) => a - b);
  const starts = Array.from({ length: BINS }, (_, n) => numbers[Math.floor((n * numbers.length) / BINS)]);
  const edges = [...new Set(starts)].filter((edge) => edge !== undefined);
  const binOf = (value) => edges.findLastIndex((edge) => value >= edge);
  const last = (n) => numbers.findLast((value) => binOf(value) === n);
  const step = (n) => (edges.length > 1 ? 1 + Math.round((n * (BINS - 1)) / (edges.length - 1)) : 3);
  return {
    entries: edges.map((edge, n) => ({ key: `s${n}`, label: range(edge, last(n)), tone: `s${step(n)}`, shape: "circle" })),
    keyOf: (item) => (typeof item.value === "number" ? `s${binOf(item.value)}` : REST),
    rest: "unknown",
  };
}

const written = (number) => (Number.isInteger(number) ? String(number) : number.toFixed(2)).replace("-", "−");
const range = (from, to) => (from === to ? written(from) : `${written(from)} – ${written(to)}`);
