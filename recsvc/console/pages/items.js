// Items: the catalogue, looked through and changed.

import { get, useLoad } from "../api.js";
import { count, titleOf } from "../format.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { drafts, useDraft } from "../parts/drafts.js";
import { Filters } from "../parts/filters.js";
import { Item } from "../parts/item.js";
import { ItemDetail, Told, inWords } from "../parts/item-detail.js";
import { ItemForm, draftKey, draftOf } from "../parts/item-form.js";
import { Loaded } from "../parts/state.js";
import { go, href, route } from "../route.js";
import { forget, remember, useTitles } from "../titles.js";

const LISTED = 40, TYPING_MS = 180, TOTALS_MS = 10_000;

export function Items() {
  const { params } = route.use();
  const filters = [params.filter ?? []].flat(), [q, id] = [params.q ?? "", params.item ?? null].map((one) => [one].flat()[0]);
  const catalogue = useCatalogue(q, filters);
  const [told, tell] = useState(null);
  const linkTo = (item, more = {}) => href("items", { item, q, filter: filters, ...more });
  const saved = (item_id, { features }, answer) => {
    catalogue.put({ item_id, features, pending: answer.pending[0]?.reason ?? null });
    tell({ id: item_id, text: inWords(answer) });
  };
  const deleted = (item) => {
    catalogue.drop(item.item_id);
    tell({ id: null, text: `${titleOf(item)} is deleted.` });
    go("items", { q, filter: filters }, { replace: true });
  };
  const created = (item, body, answer) => {
    saved(item, body, answer);
    go("items", { item, q, filter: filters }, { replace: true });
  };
  useEffect(() => { if (told && told.id !== id) tell(null); }, [id]);
  const text = told?.id === id ? told?.text : null;
  return html`
    <div class="row between"><h1>Items</h1><a class="button" href=${linkTo(null, { new: "yes" })}>New item</a></div>
    <${Totals} />
    <${Unsaved} shown=${params.new ? "" : id} linkTo=${linkTo} />
    <div class="catalogue">
      <section class="stack" aria-label="The catalogue">
        <${Search} q=${q} filters=${filters} />
        <${Picks} catalogue=${catalogue} chosen=${id} linkTo=${linkTo} asked=${Boolean(q || filters.length)} />
      </section>
      ${params.new ? html`<${NewItem} onDone=${created} onLeave=${() => go("items", { q, filter: filters })} />`
        : id ? html`<${ItemDetail} key=${id} id=${id} linkTo=${linkTo} told=${text} onSaved=${saved} onDeleted=${deleted} />`
        : html`<div class="card"><${Told} told=${text} focus=${true} /><p class="empty">Choose an item to see what is known of it, and what is like it.</p></div>`}
    </div>`;
}

/** The pages of the catalogue that were asked for so far. */
function useCatalogue(q, filters) {
  const [state, setState] = useState({ data: null, error: null, busy: true });
  const turn = useRef(0), key = JSON.stringify([q, filters]);
  const load = async (cursor) => {
    const mine = ++turn.current;
    setState((was) => ({ ...was, busy: true }));
    try {
      const answer = await get("/v1/items", { limit: LISTED, q, filter: filters, cursor });
      if (mine !== turn.current) return;
      remember(answer.items);
      setState((was) => {
        const items = cursor ? joined(was.data.items, answer.items) : answer.items;
        return { data: { items, next: answer.next_cursor }, error: null, busy: false };
      });
    } catch (error) {
      if (mine === turn.current) setState((was) => ({ ...was, busy: false, error }));
    }
  };
  useEffect(() => { load(null); }, [key]);
  const change = (alter) => setState((was) => (was.data ? { ...was, data: { ...was.data, items: alter(was.data.items) } } : was));
  return {
    ...state,
    reload: () => load(null),
    more: () => load(state.data.next),
    put(item) {
      remember([item]);
      const is = (one) => one.item_id === item.item_id;
      change((items) => (items.some(is) ? items.map((one) => (is(one) ? item : one)) : [item, ...items]));
    },
    drop(id) {
      forget(id);
      change((items) => items.filter((one) => one.item_id !== id));
    },
  };
}

function joined(before, more) {
  const known = new Set(before.map((one) => one.item_id));
  return [...before, ...more.filter((one) => !known.has(one.item_id))];
}

function Totals() {
  const { data } = useLoad((signal) => get("/v1/stats", {}, { signal }), [], { every: TOTALS_MS });
  const { items, indexed_items: indexed } = data?.totals ?? {};
  const waiting = Math.max(0, (items ?? 0) - (indexed ?? 0));
  const apart = waiting ? `, of which ${count(waiting)} are not indexed yet` : "";
  return html`<p class="lead">${data ? `${count(items)} items can be recommended${apart}.` : "What can be recommended."}</p>`;
}

/** What was written and not saved, but for what is shown. */
function Unsaved({ shown, linkTo }) {
  const prefix = draftKey(null);
  const ids = [...drafts.use()]
    .filter(([key, draft]) => key.startsWith(prefix) && draft.changed)
    .map(([key]) => key.slice(prefix.length))
    .filter((id) => id !== shown);
  const titleOf = useTitles(ids.filter(Boolean));
  return ids.length > 0 && html`
    <p class="notice">Not saved yet: ${ids.map((id, n) => html`${n ? ", " : ""}
      <a href=${id ? linkTo(id) : linkTo(null, { new: "yes" })}><bdi>${id ? titleOf(id) : "a new item"}</bdi></a>`)}</p>`;
}

function Search({ q, filters }) {
  const [text, setText] = useState(q);
  const typed = useRef(q);
  useEffect(() => {
    if (q !== typed.current.trim()) setText(typed.current = q); // by the address, not by typing
  }, [q]);
  useEffect(() => {
    const timer = setTimeout(() => {
      if (text.trim() !== q) go("items", { ...route.get().params, q: text.trim() }, { replace: true });
    }, TYPING_MS);
    return () => clearTimeout(timer);
  }, [text]);
  const [open, setOpen] = useState(filters.length > 0);
  return html`
    <div class="card stack">
      <label>Search <input type="search" dir="auto" value=${text} placeholder="an id, a title, or what it is about"
        onInput=${(e) => setText(typed.current = e.target.value)} /></label>
      <details open=${open || filters.length > 0} onToggle=${(e) => setOpen(e.target.open)}>
        <summary>Filters${filters.length ? ` (${filters.length})` : ""}</summary>
        <${Filters} filters=${filters} onChange=${(filter) => go("items", { ...route.get().params, q: text.trim(), filter })} />
      </details>
    </div>`;
}

function Picks({ catalogue, chosen, linkTo, asked }) {
  const none = asked ? "Nothing found" : "The catalogue is empty. Create an item, or send some to POST /v1/items.";
  return html`
    <div class="card flush" aria-busy=${catalogue.busy}>
      <${Loaded} from=${catalogue}>${({ items, next }) => items.length === 0 ? html`<p class="empty">${none}</p>` : html`
        <ul class="picks plain" aria-label="Items" tabindex="0">
          ${items.map((item) => html`
            <li key=${item.item_id}><a class="pick" href=${linkTo(item.item_id)} aria-current=${item.item_id === chosen ? "true" : null}>
              <${Item} item=${item} link=${false} />
              <${Mark} item=${item} />
            </a></li>`)}
          <li class="row between">
            <span class="muted small" role="status">${count(items.length)} ${next ? "shown" : asked ? "found" : "items"}</span>
            ${next && html`<button disabled=${catalogue.busy} onClick=${catalogue.more}>More</button>`}
          </li>
        </ul>`}
      <//>
    </div>`;
}

function Mark({ item }) {
  if (drafts.use().get(draftKey(item.item_id))?.changed) return html`<span class="chip">not saved</span>`;
  return item.pending && html`<span class="chip" title=${item.pending}>not indexed</span>`;
}

function NewItem({ onDone, onLeave }) {
  const [draft, setDraft] = useDraft(draftKey(null));
  useEffect(() => { if (!draft) setDraft(draftOf(null)); }, []);
  return html`
    <section class="card stack" aria-label="New item">
      <h2>New item</h2>
      <${ItemForm} item=${null} onDone=${onDone} onLeave=${onLeave} />
    </section>`;
}
