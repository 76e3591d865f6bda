// Events in words, and the colours of their kinds.

import { done } from "../format.js";
import { html } from "../html.js";
import { href } from "../route.js";

const TONES = {
  view: "history", click: "together", search: "popular", add_to_cart: "profile",
  purchase: "event", rate: "rule", like: "good", dislike: "bad",
};

/** The style variable that an event type is drawn in. */
export const toneOf = (type) => (Object.hasOwn(TONES, type) ? TONES[type] : "muted");

export const nameOfType = (type) => type.replaceAll("_", " ");

/** Event types in the order in which they are shown. */
export function inOrder(types) {
  const places = Object.keys(TONES);
  const place = (type) => (places.includes(type) ? places.indexOf(type) : places.length);
  return [...types].sort((a, b) => place(a) - place(b) || a.localeCompare(b));
}

/** What somebody did, as the start of a sentence, what it was done to, and the rest. */
export function told(event, titleOf) {
  const { event_type: type, item_id: id, query } = event;
  const what = id ? titleOf(id) : query ? `“${query}”` : type === "retract" ? "an earlier event" : "";
  return { did: type === "retract" ? "took back" : done(type), what, rest: type === "rate" && event.value ? `, ${event.value} of 5` : "" };
}

/** What an event was done to, as a link where it is an item. */
export const linked = (event, what) => (event.item_id
  ? html`<a href=${href("items", { item: event.item_id })}><bdi>${what}</bdi></a>` : html`<bdi>${what}</bdi>`);

export function sentence(event, titleOf) {
  const { did, what, rest } = told(event, titleOf);
  return `${did} ${what}${rest}`;
}

/** The same, with what it was done to as a link. */
export function Sentence({ event, titleOf }) {
  const { did, what, rest } = told(event, titleOf);
  return html`${did} ${linked(event, what)}${rest}`;
}

/** What an event counts, with its sign. */
export const signed = (weight) => `${weight > 0 ? "+" : weight < 0 ? "−" : ""}${Math.abs(weight).toFixed(1)}`;
