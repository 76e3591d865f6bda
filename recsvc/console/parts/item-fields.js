// An item's fields as a form has them, and what is wrong with them before they are sent.

export const KINDS = {
  text: "text", number: "number", bool: "yes or no",
  texts: "list of texts", numbers: "list of numbers", bools: "list of yes or no",
};
const FIELDS = ["features", "text", "available_from", "available_until"];

const NAME = /^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$/;
const FEATURES_MAX = 64, LIST_MAX = 256, STRING_MAX = 8_192, TEXT_MAX = 20_000, INTEGER_MAX = 2 ** 53, SHORT = 70;
const ONE = { string: "text", number: "number", boolean: "bool" };

/** What can be set of an item, as the API takes it. */
export const bodyOf = (item) => Object.fromEntries(FIELDS.map((name) => [name, item?.[name] ?? (name === "features" ? {} : null)]));

/** Whether two bodies say the same; the order of features is none of it. */
export const same = (a, b) => ordered(a) === ordered(b);
const sorted = (features) => Object.entries(features ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
const ordered = (body) => JSON.stringify(FIELDS.map((name) => (name === "features" ? sorted(body.features) : body[name] ?? null)));

export const pretty = (body) => JSON.stringify(body, null, 2);

let rows = 0;

/** A row of the form; what is not touched gives its value back as it was. Without a value: a new one. */
export function toRow(name = "", value) {
  const kind = Array.isArray(value) ? `${ONE[typeof value[0]] ?? "text"}s` : ONE[typeof value] ?? "text";
  const text = Array.isArray(value) ? value.map(written).join(", ") : typeof value === "string" ? value : written(value ?? "");
  return { key: ++rows, name, kind, text, was: { kind, text, value }, long: kind === "text" && text.length > SHORT };
}

const written = (one) => (one === true ? "yes" : one === false ? "no" : String(one).replace(/[\\,]/g, "\\$&"));

/** The value of a row; throws an Error that says what is wrong. */
function fromRow({ kind, text, was }) {
  if (was.kind === kind && was.text === text) return was.value;
  if (!kind.endsWith("s")) return one(kind, text);
  const parts = text.match(/(?:\\.|[^,\\])+/gs) ?? [];
  return parts.map((part) => part.trim().replace(/\\(.)/gs, "$1")).filter(Boolean).map((part) => one(kind.slice(0, -1), part));
}

function one(kind, text) {
  if (kind === "text") return text;
  const plain = text.trim().toLowerCase();
  if (kind === "bool") {
    if (!["yes", "no", "true", "false"].includes(plain)) throw new Error(`“${text}” is neither yes nor no.`);
    return plain === "yes" || plain === "true";
  }
  if (plain === "") throw new Error("A number is missing.");
  if (!Number.isFinite(Number(plain))) throw new Error(`“${text}” is not a number; write it like 24.5.`);
  return Number(plain);
}

/** Unix seconds as a field for a local date and time has them. */
export function toLocal(seconds) {
  const at = new Date(typeof seconds === "number" ? seconds * 1000 : NaN);
  if (Number.isNaN(at.getTime())) return ""; // none, or none that a field can show
  return new Date(at - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

/** The body that a draft stands for, and its problems: `[{at, of?, message}]`; `at`: a row's key or a field; `of`: the row's name. */
export function read(draft) {
  return draft.mode === "json" ? readJson(draft.json) : readForm(draft);
}

function readJson(text) {
  let body;
  try {
    body = JSON.parse(text);
  } catch (error) {
    return { body: null, problems: [{ at: "json", message: `This is not JSON: ${error.message}` }] };
  }
  return { body, problems: check(body).map(({ name, field, message }) => ({ at: "json", message: `${name ?? field}: ${message}` })) };
}

function readForm(draft) {
  const features = new Map(), problems = [], names = new Map();
  for (const row of draft.rows) {
    const name = row.name.trim(), wrong = name ? named(name, names) : "A name is missing.";
    if (row.was.value === undefined && !row.text.trim()) continue; // nothing was written
    if (wrong) problems.push({ at: row.key, of: "name", message: wrong });
    names.set(name, row.key);
    try {
      features.set(name, fromRow(row));
    } catch (error) {
      problems.push({ at: row.key, message: error.message });
    }
  }
  const moment = (text, was) => (text === toLocal(was) ? was : text ? Date.parse(text) / 1000 : null);
  const body = {
    features: Object.fromEntries(features), // also where one is called __proto__
    text: draft.text.trim() ? draft.text : null,
    available_from: moment(draft.from, draft.base.available_from),
    available_until: moment(draft.until, draft.base.available_until),
  };
  const found = check(body).map(({ name, field, message }) => ({ at: names.get(name) ?? field, message }));
  return { body, problems: [...problems, ...found.filter((one) => !problems.some((before) => before.at === one.at))] };
}

/** What the API would refuse, as far as that can be told here: `[{field, name?, message}]`. */
function check(body) {
  if (!plain(body)) return [{ field: "the item", message: "must be an object." }];
  const problems = [];
  const wrong = (field, message, name) => problems.push({ field, name, message });
  for (const name of Object.keys(body)) if (!FIELDS.includes(name)) wrong(name, `unknown; there are ${FIELDS.join(", ")}.`);
  if (!plain(body.features)) wrong("features", "must be an object of names and values.");
  else {
    const all = Object.entries(body.features);
    if (all.length > FEATURES_MAX) wrong("features", `${all.length} features, at most ${FEATURES_MAX}.`);
    for (const [name, value] of all) {
      const message = checkFeature(name, value);
      if (message) wrong("features", message, name);
    }
  }
  const { text = null, available_from: from = null, available_until: until = null } = body;
  if (text !== null && (typeof text !== "string" || !text.trim())) wrong("text", "must be a text that is not blank, or null.");
  if (typeof text === "string" && text.length > TEXT_MAX) wrong("text", `${text.length} characters, at most ${TEXT_MAX}.`);
  if (typeof from === "number" && typeof until === "number" && until <= from) wrong("available_until", "must be later than from.");
  return problems;
}

function named(name, others) {
  if (others.has(name)) return `There is another feature ${name}.`;
  return NAME.test(name) ? null : "A name has letters, digits, _ and -, and at most 64 of them.";
}

const plain = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

function checkFeature(name, value) {
  const wrong = named(name, new Set());
  if (wrong) return wrong;
  const values = [value].flat();
  if (values.length > LIST_MAX) return `A list of ${values.length}, at most ${LIST_MAX}.`;
  if (value === null) return null;
  if (values.some((one) => !(typeof one in ONE))) return "Must be a text, a number, true or false, or a list of one of these.";
  if (new Set(values.map((one) => typeof one)).size > 1) return "A list must not mix texts, numbers, and yes or no.";
  if (values.some((one) => typeof one === "string" && one.length > STRING_MAX)) return `A text has at most ${STRING_MAX} characters.`;
  if (values.some((one) => Number.isInteger(one) && Math.abs(one) > INTEGER_MAX)) return "A whole number beyond 2^53 loses its digits.";
  return null;
}

/** The problems that a refusal names, as `read` gives them. */
export function refused(refusal, draft) {
  const errors = refusal.problem?.errors;
  if (!errors?.length) return [{ at: "all", message: refusal.message }];
  return errors.map(({ loc, msg }) => {
    if (draft.mode === "json") return { at: "json", message: [loc.join("."), msg].filter(Boolean).join(": ") };
    const [, name, said] = /^'([^']+)': (.*)$/s.exec(msg) ?? [];
    const row = loc[0] === "features" && draft.rows.find((one) => one.name.trim() === name);
    if (row) return { at: row.key, message: said };
    return { at: FIELDS.includes(loc[0]) ? loc[0] : /^available_until/.test(msg) ? "available_until" : "all", message: msg };
  });
}
