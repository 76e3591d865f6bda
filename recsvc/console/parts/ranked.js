// A ranked list that moves: items glide to their new places, and say how far they came.

import { html, useLayoutEffect, useRef, useState } from "../html.js";
import { STILL } from "../media.js";
import { useTitles } from "../titles.js";
import { Item } from "./item.js";
import { Blend, Why, namedIn, reach } from "./reasons.js";

const GLIDE_MS = 450;

/** A hook: the ids of the list that was shown before this one, or null where there was none. */
export function useBefore(data) {
  const held = useRef({ data: null, before: null });
  if (data !== held.current.data) held.current = { data, before: held.current.data?.items.map((item) => item.item_id) ?? null };
  return held.current.before;
}

/**
 * `before`: the ids of the list before, or null where there was none; `who`: "you" or "they", whose list it is;
 * `acts`: from an item to what can be done with it, where anything can.
 */
export function Ranked({ items, before, label, who = "they", acts = null }) {
  const list = useRef(), [open, setOpen] = useState(null);
  const titleOf = useTitles(namedIn(items));
  useGlide(list, items.map((item) => item.item_id).join(" "), open);
  const top = reach(items), openTo = (id) => () => setOpen(open === id ? null : id);
  return html`
    <ol class="ranked plain" ref=${list} aria-label=${label}>
      ${items.map((item, n) => html`
        <li key=${item.item_id} data-item=${item.item_id} class=${before && !before.includes(item.item_id) ? "fresh" : ""}>
          <span class="rank"><strong>${n + 1}</strong><${Move} before=${before} id=${item.item_id} place=${n} /></span>
          <${Item} item=${item} />
          <${Blend} item=${item} top=${top} />
          <div class="why">
            <${Why} item=${item} titleOf=${titleOf} who=${who} all=${open === item.item_id} />
            ${" "}<button class="link small" aria-expanded=${open === item.item_id} onClick=${openTo(item.item_id)}
              aria-label=${`${open === item.item_id ? "Fewer" : "All"} reasons for place ${n + 1}`}>${open === item.item_id ? "less" : "all reasons"}</button>
          </div>
          ${acts?.(item)}
        </li>`)}
    </ol>`;
}

/** Have the lines of a list glide from where they were, when their order or what is open changes. */
function useGlide(list, order, open) {
  const places = useRef(new Map());
  useLayoutEffect(() => {
    const now = new Map();
    for (const line of list.current.children) {
      const id = line.dataset.item, place = line.offsetTop, was = places.current.get(id);
      now.set(id, place);
      if (STILL.matches || !places.current.size || was === place) continue;
      const from = was === undefined ? { opacity: 0, transform: "translateX(24px)" } : { transform: `translateY(${was - place}px)` };
      line.animate([from, { opacity: 1, transform: "none" }], { duration: GLIDE_MS, easing: "cubic-bezier(.2,.8,.2,1)" });
    }
    places.current = now;
  }, [order, open]);
}

function Move({ before, id, place }) {
  if (!before) return null;
  const was = before.indexOf(id);
  if (was === -1) return html`<span class="move good">new</span>`;
  if (was === place) return null;
  const [tone, sign, way] = was > place ? ["good", "▲", "up"] : ["muted", "▼", "down"];
  return html`
    <span class=${`move ${tone}`}><span aria-hidden="true">${sign}</span>${Math.abs(was - place)}<span class="hidden"> places ${way}</span></span>`;
}
