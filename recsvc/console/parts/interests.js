// Interests of a user: what they are called, and cards of what they are made of.

import { percent, shown } from "../format.js";
import { html, useState } from "../html.js";
import { Item } from "./item.js";

const NAMED_BY = ["category", "genres", "tags", "brand", "type", "kind"], WORDS = 2, SHOWN = 3;

/** What an interest is called: the words that most of its items have, or a search. */
export function nameOf(group, itemOf) {
  const counts = new Map();
  for (const { features } of group.items.map(itemOf)) {
    for (const value of NAMED_BY.flatMap((name) => features[name] ?? [])) counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  const often = [...counts].sort((a, b) => b[1] - a[1]).slice(0, WORDS).map(([value]) => shown(value));
  return often.join(", ") || (group.queries?.length ? `“${group.queries[0]}”` : group.items[0] ?? "searches");
}

export function Interests({ groups, itemOf }) {
  if (!groups.length) return html`<p class="empty">None yet: nothing was liked so far.</p>`;
  return html`
    <ul class="interests plain">${groups.map((group, n) => html`
      <${Interest} key=${n} group=${group} itemOf=${itemOf} />`)}</ul>`;
}

function Interest({ group, itemOf }) {
  const [all, setAll] = useState(false);
  const name = nameOf(group, itemOf);
  const items = all ? group.items : group.items.slice(0, SHOWN), more = group.items.length - SHOWN;
  return html`
    <li class="interest">
      <div class="row between"><h3 dir="auto">${name}</h3><strong class="number">${percent(group.share)}</strong></div>
      <${Share} share=${group.share} />
      ${items.map((id) => html`<${Item} key=${id} item=${itemOf(id)} />`)}
      ${more > 0 && html`
        <button class="link small" aria-expanded=${all} onClick=${() => setAll(!all)}>
          ${all ? "fewer" : `${more} more`}<span class="hidden"> of ${name}</span>
        </button>`}
      ${group.queries.length > 0 && html`<div class="row">${group.queries.map((query) => html`<span class="chip wrap" dir="auto">“${query}”</span>`)}</div>`}
    </li>`;
}

/** A bar that is filled as far as the share goes. */
export const Share = ({ share }) => html`
  <div class="share" aria-hidden="true"><span style=${{ width: `${share * 100}%` }}></span></div>`;
