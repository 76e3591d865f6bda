// Items by their ids: looked up once each, for all who show one or what it is called.

import { Refusal, at, get } from "./api.js";
import { titleOf } from "./format.js";
import { useEffect, useState } from "./html.js";
import { PATHLESS } from "./ids.js";

const KNOWN_MAX = 2_000, AT_ONCE = 4, ABSENT_MS = 30_000, FOUND_MAX = 100;
const known = new Map(); // by id: {item, until?}, what was asked for last at the end; `until`: of one that is absent
const coming = new Map(); // by id: the promise of it
const watchers = new Set(); // told of each id that is known from now on, or anew

const unknown = (id) => ({ item_id: id, features: {} });

/** An item as it is stored, `partial` where its path is that of something else and only a search tells of it. */
export async function itemById(id, options = {}) {
  if (!PATHLESS.has(id)) return get(at("items", id), {}, options);
  const { items } = await get("/v1/items", { q: id, limit: FOUND_MAX }, options);
  const found = items.find((item) => item.item_id === id);
  if (!found) throw new Refusal(404, { detail: `no item '${id}'` });
  return { text: null, available_from: null, available_until: null, ...found, partial: true };
}

/** Remember items that an answer brought along, whatever was known of them. */
export function remember(items) {
  for (const { item_id: id, features } of items) note(id, { item: { item_id: id, features } });
}

/** Know nothing of an item any more, as it was deleted. */
export const forget = (id) => note(id, { item: unknown(id), until: performance.now() + ABSENT_MS });

function note(id, entry) {
  coming.delete(id); // what is on its way is older
  known.delete(id);
  known.set(id, entry);
  while (known.size > KNOWN_MAX) known.delete(known.keys().next().value);
  for (const watch of watchers) watch(id);
}

function itemOf(id) {
  const entry = known.get(id);
  if (!entry) return unknown(id);
  known.delete(id);
  known.set(id, entry);
  return entry.item;
}

function look(id) {
  const entry = known.get(id);
  if (coming.has(id) || entry && !(entry.until <= performance.now())) return;
  const found = inTurn(() => itemById(id));
  coming.set(id, found);
  const isNewest = () => coming.get(id) === found;
  found.then(
    (item) => isNewest() && remember([item]),
    (error) => isNewest() && (error.status === 404 ? forget(id) : coming.delete(id)),
  );
}

let busy = 0;
const queue = [];

/** Do a task when fewer than `AT_ONCE` are being done. */
async function inTurn(task) {
  if (busy === AT_ONCE) await new Promise((go) => queue.push(go));
  else busy += 1;
  try {
    return await task();
  } finally {
    const next = queue.shift();
    if (next) next(); // which takes this place
    else busy -= 1;
  }
}

/** A hook: a function from an item's id to the item, or to one without features until it is known. */
export function useItems(ids) {
  const [, redraw] = useState(0);
  const key = JSON.stringify([...new Set(ids)].sort());
  useEffect(() => {
    const mine = new Set(JSON.parse(key));
    const watch = (id) => mine.has(id) && redraw((n) => n + 1);
    watchers.add(watch);
    mine.forEach(look);
    redraw((n) => n + 1); // some may have come since it was drawn
    return () => watchers.delete(watch);
  }, [key]);
  return itemOf;
}

/** A hook: a function from an item's id to its title, or to its id until that is known. */
export function useTitles(ids) {
  useItems(ids);
  return (id) => titleOf(itemOf(id));
}
