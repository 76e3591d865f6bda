// Long texts and long lists: their beginning, and the rest where it is asked for.

import { html, useState } from "../html.js";

const TEXT_MAX = 400, LIST_MAX = 20;

/** A text, as it is written. */
export function Long({ text }) {
  const [all, setAll] = useState(false), letters = [...text], isLong = letters.length > TEXT_MAX * 1.25;
  return html`
    <span class="prose" dir="auto">${isLong && !all ? `${letters.slice(0, TEXT_MAX).join("")} …` : text}</span>
    ${isLong && html` <${More} all=${all} onAll=${setAll} text="more" />`}`;
}

/** A list; `each` draws one of it. */
export function Many({ values, each }) {
  const [all, setAll] = useState(false), isLong = values.length > LIST_MAX * 1.25;
  return html`
    ${(isLong && !all ? values.slice(0, LIST_MAX) : values).map(each)}
    ${isLong && html` <${More} all=${all} onAll=${setAll} text=${`${values.length - LIST_MAX} more`} />`}`;
}

const More = ({ all, onAll, text }) => html`
  <button class="link small" aria-expanded=${all} onClick=${() => onAll(!all)}>${all ? "less" : text}</button>`;
