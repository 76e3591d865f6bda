// What is shown while something is loaded, and when that does not work out.

import { minute } from "../format.js";
import { html } from "../html.js";

/** Show `children(data)`, or why there is nothing to show, or nothing newer. */
export function Loaded({ from, children }) {
  const { data, error } = from, some = data !== null && data !== undefined;
  return html`
    ${error && html`<${Failed} from=${from} some=${some} />`}
    ${some ? children(data) : !error && html`<p class="empty" role="status">Loading …</p>`}`;
}

const Failed = ({ from: { error, at, reload }, some }) => html`
  <div class="notice bad row between">
    <span role="alert">${error.message}</span>
    <span class="row">
      ${some && at && html`<span class="muted small">as of ${minute(at)}</span>`}
      ${reload && html`<button type="button" onClick=${reload}>Try again</button>`}
    </span>
  </div>`;

/** There is nothing to do: a tick, `title`, and what that means. */
export const Fine = ({ title, children }) => html`
  <section class="card none">
    <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M4 12.500l5.500 5.500L20 7" /></svg>
    <h2>${title}</h2>
    ${children}
  </section>`;

export const Tile = ({ name, value, note }) => html`
  <div class="card tile"><span>${name}</span><strong>${value}</strong>${note && html`<span>${note}</span>`}</div>`;
