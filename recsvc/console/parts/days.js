// Columns of days, each a stack of parts; looked at by pointer or arrow keys.

import { dated } from "../format.js";
import { html, useState } from "../html.js";

const LINES = [0, 0.5, 1], DATES = 6;
const STEPS = [1, 2, 2.5, 4, 5, 8, 10];

const sum = (values) => values.reduce((a, b) => a + b, 0);

/** ISO dates, the last of them `until`. */
export function daysUntil(until, n) {
  const end = Date.parse(`${until}T00:00:00Z`);
  return Array.from({ length: n }, (_, k) => new Date(end - (n - 1 - k) * 86_400_000).toISOString().slice(0, 10));
}

/** A round number that is no less. */
function above(value) {
  if (value <= 0) return 1;
  const size = 10 ** Math.floor(Math.log10(value));
  return size * STEPS.find((step) => step * size >= value * 0.999);
}

/**
 * `days`: ISO dates; `series`: `[{name, tone, values}]`, a number for each day; `format` writes one,
 * `tick` one at a line. `label` says what is shown.
 */
export function Days({ label, days, series, format, tick = format }) {
  const [looked, look] = useState(null);
  const totals = days.map((_, n) => sum(series.map((one) => one.values[n])));
  const top = above(Math.max(...totals)), last = days.length - 1;
  const at = Math.min(looked ?? last, last), every = Math.ceil(days.length / DATES);
  const parts = (n) => (series.length > 1 ? series.filter((one) => one.values[n]).map((one) => `, ${one.name} ${format(one.values[n])}`) : []);
  const said = (n) => `${dated(days[n])}: ${format(totals[n])}${parts(n).join("")}`;
  const dateAt = (n) => ((last - n) % every === 0 ? dated(days[n]) : "");
  const press = (event) => {
    const to = { ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    look(Math.max(0, Math.min(last, to)));
  };
  return html`
    ${series.length > 1 && html`<div class="key">${series.map((one) => html`<span><i class=${one.tone}></i>${one.name}</span>`)}</div>`}
    <div class="days" role="slider" tabindex="0" aria-label=${label} aria-valuemin="0" aria-valuemax=${last} aria-valuenow=${at}
      aria-valuetext=${said(at)} aria-orientation="horizontal" onKeyDown=${press} onFocus=${() => look(looked ?? last)}
      onBlur=${() => look(null)} onMouseLeave=${(e) => document.activeElement !== e.currentTarget && look(null)}>
      <div class="lines">${LINES.map((share) => html`<span style=${{ bottom: `${share * 100}%` }}>${tick(top * share)}</span>`)}</div>
      <div class="stems">
        ${days.map((day, n) => html`
          <div key=${day} class=${looked === n ? "day looked" : "day"} onMouseEnter=${() => look(n)}>
            ${series.map((one) => one.values[n] > 0 && html`
              <span class=${one.tone} style=${{ height: `${(one.values[n] / top) * 100}%` }}></span>`)}
          </div>`)}
        ${looked !== null && html`<${Tip} n=${at} days=${days} series=${series} total=${totals[at]} format=${format} />`}
      </div>
      <div class="dates">${days.map((day, n) => html`<span key=${day} class=${(last - n) / every % 2 ? "odd" : ""}>${dateAt(n)}</span>`)}</div>
    </div>`;
}

function Tip({ n, days, series, total, format }) {
  const share = (n + 0.5) / days.length;
  const place = share > 0.5 ? { right: `calc(${(1 - share) * 100}% + 14px)` } : { left: `calc(${share * 100}% + 14px)` };
  return html`
    <div class="tip" style=${place}>
      <strong>${dated(days[n])}</strong><strong class="number">${format(total)}</strong>
      ${series.length > 1 && [...series].reverse().filter((one) => one.values[n]).map((one) => html`
        <span><i class=${one.tone}></i>${one.name}</span><span class="number">${format(one.values[n])}</span>`)}
    </div>`;
}
