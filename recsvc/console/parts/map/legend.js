// What the colours and shapes of the map stand for; each can be taken away and brought back.

import { count } from "../../format.js";
import { html } from "../../html.js";

const SHAPES = {
  circle: "M7 1.500a5.500 5.500 0 110 11a5.500 5.500 0 110-11z", square: "M2 2h10v10H2z",
  triangle: "M7 .500L13 12H1z", diamond: "M7 0l7 7-7 7-7-7z",
};

/** `hidden`: the keys that are not shown; `onLit` is called with the key that is pointed at, or null. */
export function Legend({ entries, hidden, onHidden, onLit }) {
  const toggle = (key) => {
    const next = new Set(hidden);
    if (!next.delete(key)) next.add(key);
    onHidden(next);
  };
  return html`
    <div class="legend" role="group" aria-label="What is shown">
      ${entries.map(({ key, label, count: n, tone, shape }) => html`
        <button key=${key} aria-pressed=${!hidden.has(key)} title=${hidden.has(key) ? `Show ${label}` : `Hide ${label}`} onClick=${() => toggle(key)}
          onMouseEnter=${() => onLit(key)} onMouseLeave=${() => onLit(null)}
          onFocus=${(e) => e.target.matches(":focus-visible") && onLit(key)} onBlur=${() => onLit(null)}>
          <svg viewBox="0 0 14 14" aria-hidden="true" style=${{ color: `var(--${tone})` }}><path d=${SHAPES[shape]} /></svg>
          <bdi>${label}</bdi> <span class="muted number">${count(n)}</span>
        </button>`)}
      ${hidden.size > 0 && html`<button class="link small" onClick=${() => onHidden(new Set())}>show all</button>`}
    </div>`;
}
