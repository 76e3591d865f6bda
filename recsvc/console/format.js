// Numbers, times and names as people read them.

const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const PLAIN = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const MOMENT = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const MINUTE = new Intl.DateTimeFormat("en-GB", { timeStyle: "short" });
const DAY = { day: "numeric", month: "short" };
const LOCAL_DAY = new Intl.DateTimeFormat("en-GB", DAY), UTC_DAY = new Intl.DateTimeFormat("en-GB", { ...DAY, timeZone: "UTC" });

export const count = (n) => (n === null || n === undefined ? "–" : n < 10_000 ? PLAIN.format(n) : COMPACT.format(n));

export const percent = (share, digits = 0) => (share === null || share === undefined ? "–" : `${(share * 100).toFixed(digits)} %`);

/** Milliseconds, or seconds where there are many. */
export function ms(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value >= 10_000) return `${PLAIN.format(value / 1000)} s`;
  return `${value >= 100 ? Math.round(value) : value >= 10 ? value.toFixed(1) : value.toFixed(2)} ms`;
}

/** Dollars, with more digits where there are few. */
export const usd = (amount) => (amount === null || amount === undefined ? "–"
  : `$${amount === 0 || amount >= 1 ? amount.toFixed(2) : amount >= 0.01 ? amount.toFixed(4) : amount.toFixed(6)}`);

/** How long ago unix seconds are. */
export function ago(seconds) {
  const past = Math.max(0, Date.now() / 1000 - seconds);
  if (past < 5) return "just now";
  for (const [name, size] of [["d", 86_400], ["h", 3_600], ["min", 60]]) {
    if (past >= size) return `${Math.floor(past / size)} ${name} ago`;
  }
  return `${Math.floor(past)} s ago`;
}

const by = (format) => (seconds) => (Math.abs(seconds) <= 8.64e12 ? format.format(seconds * 1000) : "–"); // what a date can be

/** Unix seconds as `28 Nov 2026, 23:14:05`, `23:14:05`, `23:14` and `28 Nov`, in this machine's time. */
export const moment = by(MOMENT), clock = by(CLOCK), minute = by(MINUTE), day = by(LOCAL_DAY);

/** An ISO date as `28 Nov`. */
export const dated = (date) => UTC_DAY.format(Date.parse(`${date}T00:00:00Z`));

/** A feature's value as people write it: one, or the first `most` of a list. */
export const shown = (value, most = Infinity) => [value ?? []].flat().slice(0, most).map(one).join(", ");
const one = (value) => (value === true ? "yes" : value === false ? "no" : String(value));

const TITLES = ["title", "name", "label"];

/** What an item is called: the first of its features that is a name, or its id. */
export function titleOf(item) {
  const features = item.features ?? {};
  return TITLES.map((name) => features[name]).find((value) => typeof value === "string" && value) ?? item.item_id;
}

const AFTER = ["authors", "author", "artist", "brand", "category", "year", "price"];

/** A line that tells an item from others of its name. */
export function lineOf(item) {
  const features = item.features ?? {};
  return AFTER.map((name) => shown(features[name], 2)).filter(Boolean).slice(0, 3).join(" · ");
}

const DONE = {
  view: "viewed", click: "clicked", search: "searched for", add_to_cart: "put into the cart",
  purchase: "bought", rate: "rated", like: "liked", dislike: "disliked",
};

/** What somebody did, in the past tense. */
export const done = (type) => (Object.hasOwn(DONE, type) ? DONE[type] : String(type).replaceAll("_", " "));

/** The feature and the value of a term such as `category=fantasy`; a term without one is a value. */
export function splitTerm(term) {
  const cut = term.indexOf("=");
  return cut === -1 ? [null, term] : [term.slice(0, cut), term.slice(cut + 1)];
}
