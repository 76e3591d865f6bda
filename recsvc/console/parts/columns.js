// Columns: how often something took how long.

import { percent } from "../format.js";
import { html } from "../html.js";

const HEIGHT_PX = 110;

/** `counts[n]` durations are up to `edges[n]` milliseconds and above the edge before; the last of them above all; `sum` in all. */
export function Columns({ edges, counts, sum }) {
  const used = counts.flatMap((n, place) => (n > 0 ? [place] : []));
  const first = Math.max(0, used[0] - 1), last = Math.min(counts.length - 1, used.at(-1) + 1);
  const columns = counts.slice(first, last + 1), top = Math.max(...columns);
  const name = (place) => (place < edges.length ? `≤ ${edges[place]}` : `> ${edges.at(-1)}`);
  return html`
    <div class="columns" role="img" aria-label=${columns.map((n, k) => `${name(first + k)} ms: ${percent(n / sum)}`).join(", ")}>
      ${columns.map((n, k) => html`
        <div class="column" key=${first + k} title=${`${name(first + k)} ms: ${n}`}>
          <span class="small muted">${n ? percent(n / sum) : ""}</span>
          <span class="stem" style=${{ height: `${(n / top) * HEIGHT_PX}px` }}></span>
          <span class="small muted number">${name(first + k)}</span>
        </div>`)}
    </div>
    <p class="small muted">milliseconds</p>`;
}
