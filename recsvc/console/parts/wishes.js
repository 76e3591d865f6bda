// Wishes for a list: sliders and filters, which are in the address, to be passed on and kept from user to user.

import { html, useEffect, useRef, useState } from "../html.js";
import { PHONE } from "../media.js";
import { Filters } from "./filters.js";

const SETTLED_MS = 150;
const SLIDERS = [
  { name: "profile_weight", text: "Weight of the profile", unset: null, usual: 0.3 },
  { name: "diversity", text: "Diversity", unset: 0, usual: 0 },
  { name: "novelty", text: "Novelty", unset: 0, usual: 0 },
];

/** The wishes in the parameters of a page, as the API takes them; what is none is left as it is set. */
export function wishesOf(params) {
  const shares = SLIDERS.map(({ name, unset }) => [name, isShare(params[name]) ? Number(params[name]) : unset]);
  return { ...Object.fromEntries(shares), filter: [params.filter ?? []].flat() };
}

const isShare = (text) => typeof text === "string" && text.trim() !== "" && Number(text) >= 0 && Number(text) <= 1;

/** The parameters of wishes; those that are as they are set anyway are left out. */
function written(wishes) {
  const unset = SLIDERS.filter((one) => wishes[one.name] === one.unset).map(({ name }) => [name, null]);
  return { ...wishes, ...Object.fromEntries(unset) };
}

/** `onChange` is called with the parameters that have changed. */
export function Wishes({ wishes, onChange }) {
  const change = (more) => onChange(written({ ...wishes, ...more }));
  return html`
    <details class="card" open=${!PHONE.matches}>
      <summary><h2>Wishes</h2></summary>
      <div class="stack">
        ${SLIDERS.map(({ name, ...one }) => html`<${Slider} key=${name} ...${one} value=${wishes[name]} onChange=${(value) => change({ [name]: value })} />`)}
        <${Filters} filters=${wishes.filter} onChange=${(filter) => change({ filter })} />
        <div><button onClick=${() => change(wishesOf({}))}>As they were</button></div>
      </div>
    </details>`;
}

/** A share from 0 to 1; `onChange` is called once it rests. */
function Slider({ text, value, usual, onChange }) {
  const [held, hold] = useState(null), latest = useRef(); // what it is while it moves
  latest.current = onChange;
  useEffect(() => {
    if (held === null) return undefined;
    const timer = setTimeout(() => {
      latest.current(held);
      hold(null);
    }, SETTLED_MS);
    return () => clearTimeout(timer);
  }, [held]);
  const now = held ?? value, said = now === null ? "as set" : now.toFixed(2);
  return html`
    <div class="slider small muted"><span aria-hidden="true">${text}</span><span class="number" aria-hidden="true">${said}</span>
      <input type="range" min="0" max="1" step="0.05" aria-label=${text} aria-valuetext=${said}
        value=${now ?? usual} onInput=${(e) => hold(Number(e.target.value))} /></div>`;
}
