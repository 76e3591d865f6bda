// An item in a list: a cover, its name, and what tells it from others.

import { lineOf, titleOf } from "../format.js";
import { html } from "../html.js";
import { href } from "../route.js";

/** A tile in the colour of the item's category, with the first letters of its name. */
export function Cover({ item }) {
  const group = [item.features?.category ?? item.item_id].flat()[0];
  const words = titleOf(item).match(/[\p{L}\p{N}]+/gu) ?? ["·"];
  const [first] = words[0], initials = words.filter((word) => !/^(the|a|an|of|and)$/i.test(word)).slice(0, 2).map(([letter]) => letter);
  return html`<span class="cover" aria-hidden="true" style=${{ background: colour(group) }}>${initials.join("").toUpperCase() || first}</span>`;
}

/** The same colour for the same text, dark enough for white letters. */
function colour(text) {
  let hash = 0;
  for (const letter of String(text)) hash = (hash * 31 + letter.codePointAt(0)) >>> 0;
  return `hsl(${(hash * 47) % 360} 42% 30%)`;
}

export function Item({ item, link = true }) {
  const title = titleOf(item), line = lineOf(item);
  return html`
    <div class="item">
      <${Cover} item=${item} />
      <div class="what">
        ${link ? html`<a dir="auto" href=${href("items", { item: item.item_id })} title=${title}>${title}</a>`
          : html`<strong dir="auto" title=${title}>${title}</strong>`}
        <span class="muted small" dir="auto">${line || item.item_id}</span>
      </div>
    </div>`;
}
