// A profile as a diverging bar chart: what is liked to the right, what is avoided to the left.

import { ago, moment, splitTerm } from "../format.js";
import { html, useState } from "../html.js";
import { Sentence, signed } from "./events.js";

/** `recent`: the newest events; `itemOf`: from an item's id to the item. */
export function Weights({ profile, recent, itemOf, titleOf }) {
  const [open, setOpen] = useState(null);
  const rows = Object.entries(profile.weights).sort((a, b) => b[1] - a[1]);
  const most = Math.max(...rows.map(([, weight]) => Math.abs(weight)), 1e-9);
  return html`
    <div class="weight-ends small muted" aria-hidden="true"><span>avoided</span><span>liked</span></div>
    <ul class="plain">${rows.map(([key, weight]) => html`
      <li key=${key}>
        <button class="weight" aria-expanded=${open === key} onClick=${() => setOpen(open === key ? null : key)}>
          <${Key} name=${key} />
          <span class="halves" aria-hidden="true">
            <span class=${weight < 0 ? "less" : "more"} style=${{ width: `${(Math.abs(weight) / most) * 50}%` }}></span>
          </span>
          <span class="number small">${weight < 0 ? html`<span class="hidden">avoided </span>` : ""}${weight.toFixed(2).replace("-", "−")}</span>
        </button>
        ${open === key && html`<${Evidence} weight=${key} profile=${profile} recent=${recent} itemOf=${itemOf} titleOf=${titleOf} />`}
      </li>`)}
    </ul>`;
}

function Key({ name }) {
  const [feature, value] = splitTerm(name);
  return html`
    <span class="name" title=${name.replace("=", ": ")}>${feature && html`<span class="muted small">${feature.replaceAll("_", " ")} </span>`}<bdi>${value}</bdi></span>`;
}

/** The events behind a weight: those that its maker named, or those of items with the value. */
function behind(key, profile, recent, itemOf) {
  const named = Object.hasOwn(profile.evidence, key) ? profile.evidence[key] : [];
  if (named.length) {
    const found = named.map((id) => recent.find((event) => event.event_id === id)).filter(Boolean);
    return { events: found, older: named.length - found.length, named: true };
  }
  const [feature, value] = splitTerm(key);
  const has = (event) => event.item_id && [itemOf(event.item_id).features[feature] ?? []].flat().some((one) => String(one) === value);
  return { events: recent.filter(has), older: 0, named: false };
}

function Evidence({ weight, profile, recent, itemOf, titleOf }) {
  const { events, older, named } = behind(weight, profile, recent, itemOf);
  const lead = named ? `Named by ${profile.model}:`
    : events.length ? `Events that bear on it, of the newest ${recent.length}:`
    : `None of the newest ${recent.length} events bears on it: it comes from earlier ones, or from what a search was about.`;
  return html`
    <div class="evidence small">
      <p class="muted">${lead}</p>
      <ul class="plain">${events.map((event) => html`
        <li key=${event.event_id} class="row between">
          <span><${Sentence} event=${event} titleOf=${titleOf} /></span>
          <span class="muted number" title=${moment(event.timestamp)}>${signed(event.weight)} · ${ago(event.timestamp)}</span>
        </li>`)}</ul>
      ${older > 0 && html`<p class="muted">and ${older} ${older === 1 ? "event" : "events"} before the newest ${recent.length}</p>`}
    </div>`;
}
