// What a shopper can do with an item, right where it is shown.

import { done, titleOf } from "../format.js";
import { html, useRef, useState } from "../html.js";

const ACTS = { click: "Click", add_to_cart: "To cart", purchase: "Buy", like: "Like", dislike: "Dislike", rate: "Rate" };
const STARS = [1, 2, 3, 4, 5];

/** The acts that have room beside a recommended item. */
export const FEW = ["click", "purchase", "like", "dislike"];

/** `act(event, {did, what})` sends an event, which is told as such; `types`: those that are offered. */
export function Acts({ item, act, types = Object.keys(ACTS) }) {
  const what = titleOf(item);
  const send = (type, more = {}, did = done(type)) => act({ event_type: type, item_id: item.item_id, ...more }, { did, what });
  return html`
    <div class="acts" role="group" aria-label=${what}>
      ${types.map((type) => (type === "rate"
        ? html`<${Rate} key=${type} title=${what} onRate=${(value) => send(type, { value }, `gave ${value} of 5 to`)} />`
        : html`<button key=${type} onClick=${() => send(type)}>${ACTS[type]}</button>`))}
    </div>`;
}

/** Five buttons, once they are asked for. */
function Rate({ title, onRate }) {
  const [open, setOpen] = useState(false);
  const opener = useRef();
  const close = () => { setOpen(false); opener.current.focus(); };
  const rate = (value) => { close(); onRate(value); };
  return html`
    <button ref=${opener} aria-expanded=${open} onClick=${() => setOpen(!open)}>${ACTS.rate}</button>
    ${open && html`
      <span class="stars" role="group" aria-label=${`Rate ${title}`} onKeyDown=${(e) => e.key === "Escape" && close()}>
        ${STARS.map((n) => html`<button key=${n} aria-label=${`${n} of 5`} onClick=${() => rate(n)}>${n}</button>`)}
      </span>`}`;
}
