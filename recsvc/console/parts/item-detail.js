// One item: what is known of it, what is like it, and what can be done with it.

import { at, call, get, useLoad } from "../api.js";
import { kept } from "../cell.js";
import { lineOf, moment, ms, shown, titleOf } from "../format.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { ID_FIELD } from "../ids.js";
import { PHONE } from "../media.js";
import { href, useTitle } from "../route.js";
import { itemById, remember } from "../titles.js";
import { Confirm } from "./confirm.js";
import { Orphan, useDraft } from "./drafts.js";
import { Cover, Item } from "./item.js";
import { pretty, read } from "./item-fields.js";
import { ItemForm, draftKey, draftOf } from "./item-form.js";
import { Long, Many } from "./long.js";
import { Loaded } from "./state.js";

const SIMILAR = 8, CHIP_MAX = 120;
const buyer = kept("sessionStorage", "recsvc.buyer", "ada");

/** `linkTo`: gives the address of an item within the page; `told`: what became of it last. */
export function ItemDetail({ id, linkTo, told, onSaved, onDeleted }) {
  const found = useLoad((signal) => itemById(id, { signal }), [id]);
  useTitle(found.data ? titleOf(found.data) : id);
  const [draft, setDraft] = useDraft(draftKey(id));
  const place = useRef();
  useEffect(() => { if (found.data && PHONE.matches) place.current.scrollIntoView({ block: "start" }); }, [Boolean(found.data)]);
  const saved = (_, body, answer) => {
    onSaved(id, body, answer);
    found.reload();
  };
  return html`
    <article class="card stack" ref=${place} aria-label="The item">
      ${found.error?.status === 404 && !found.data && html`<${Gone} id=${id} linkTo=${linkTo} />`}
      <${Loaded} from=${found}>${(item) => html`
        <${Head} item=${item} />
        <${Told} told=${told} />
        ${item.pending && html`<p class="notice">Not in lists yet: ${item.pending}. It is indexed as soon as that is possible.</p>`}
        ${draft ? html`<${ItemForm} item=${item} onDone=${saved} onLeave=${found.reload} />` : html`
          <${Actions} item=${item} onEdit=${() => setDraft(draftOf(item))} onDeleted=${onDeleted} />
          <${Facts} item=${item} />
          <${Buy} item=${item} />
          <${Similar} item=${item} linkTo=${linkTo} />`}`}
      <//>
    </article>`;
}

/** What was written of an item that somebody has deleted. */
function Gone({ id, linkTo }) {
  const [draft, , drop] = useDraft(draftKey(id)), [other, setOther] = useDraft(draftKey(null));
  const anew = () => {
    setOther({ ...draft, id, base: draftOf(null).base, changed: true });
    drop();
    location.hash = linkTo(null, { new: "yes" });
  };
  return draft && html`
    <${Orphan} name=${draftKey(id)} text="This item is gone." written=${draft.mode === "json" ? draft.json : pretty(read(draft).body)}>
      ${other?.changed ? html`<span class="muted small">There is another new item, not saved yet: then this one can be created anew.</span>`
        : html`<button type="button" class="main" onClick=${anew}>Create anew</button>`}
    <//>`;
}

/** What became of an item that was sent, in words. */
export function inWords({ stored, unchanged, pending }) {
  if (pending.length) return "Saved, but not in the lists yet: its text could not be embedded so far.";
  if (unchanged) return "Nothing changed: it is stored exactly like this already.";
  return stored ? "Saved, and in the lists from now on." : "Saved.";
}

/** The same, to be read aloud; with `focus` it is where one goes on from. */
export function Told({ told, focus = false }) {
  const place = useRef();
  useEffect(() => { if (focus && told) place.current.focus(); }, [focus, told]);
  return html`<div class=${told ? "told" : "hidden"} role="status" tabindex="-1" ref=${place}>${told}</div>`;
}

const Head = ({ item }) => html`
  <div class="head">
    <${Cover} item=${item} />
    <div><h2 dir="auto">${titleOf(item)}</h2>
      <p class="muted small"><code>${item.item_id}</code>${lineOf(item) && html` · <bdi>${lineOf(item)}</bdi>`}</p></div>
  </div>`;

function Actions({ item, onEdit, onDeleted }) {
  const [error, setError] = useState(null);
  const drop = () => call("DELETE", at("items", item.item_id)).then(() => onDeleted(item), setError);
  return html`
    <div class="row">
      ${item.partial ? html`<span class="muted small">Its path is that of something else: its text and times cannot be read, so it is not edited here.</span>`
        : html`<button onClick=${onEdit}>Edit</button>`}
      <${Confirm} text="Delete" yes="Delete it" onYes=${drop}
        question=${html`
        Delete <bdi>${titleOf(item)}</bdi>? It leaves all lists. What users learned from it stays in their taste.`} />
    </div>
    ${error && html`<p class="notice bad" role="alert">${error.message}</p>`}`;
}

function Facts({ item }) {
  const known = useLoad((signal) => get("/v1/items/features", {}, { signal }), []);
  const filterable = new Set((known.data?.features ?? []).filter((one) => one.kind === "keyword").map((one) => one.name));
  const { available_from: from, available_until: until } = item, now = Date.now() / 1000;
  const state = from && from > now ? "not yet" : until && until <= now ? "no more" : "yes";
  return html`
    <dl class="facts">
      ${Object.entries(item.features).map(([name, value]) => html`
        <dt>${name.replaceAll("_", " ")}</dt><dd><${Value} name=${name} value=${value} linked=${filterable.has(name)} /></dd>`)}
      <dt>available</dt><dd>${state}${from ? `, from ${moment(from)}` : ""}${until ? `, until ${moment(until)}` : ""}</dd>
      <dt>text</dt><dd>${item.text ? html`<${Long} text=${item.text} />` : html`<span class="muted">made from the features</span>`}</dd>
    </dl>`;
}

/** A value; what the catalogue can be filtered by leads to the others of it. */
function Value({ name, value, linked }) {
  const text = shown(value);
  if (!text.trim()) return html`<span class="muted">empty</span>`;
  const values = [value].flat();
  if (!linked || values.some((one) => one.length > CHIP_MAX)) return html`<${Long} text=${text} />`;
  const filter = (one) => `${name}=${String(one).replaceAll(",", "\\,")}`;
  const chip = (one, n) => html`
    <a class="chip" key=${n} dir="auto" title=${`All with ${name}: ${one}`} href=${href("items", { filter: filter(one) })}>${one}</a>`;
  return html`<span class="row tight"><${Many} values=${values} each=${chip} /></span>`;
}

function Buy({ item }) {
  const user = buyer.use();
  const [said, say] = useState(null);
  const buy = async (event) => {
    event.preventDefault();
    say({ text: "Sending …" });
    try {
      const body = { user_id: user, event_type: "purchase", item_id: item.item_id };
      const { results } = await call("POST", "/v1/events?wait=applied", { body });
      const one = results?.[0];
      if (one?.error) throw new Error(one.error);
      say({ text: one ? `Bought by ${user}, and in the list after ${ms(one.latency_ms)}.` : "Taken; it counts in a moment." });
    } catch (error) {
      say({ text: error.message, bad: true });
    }
  };
  return html`
    <form class="row buy" onSubmit=${buy}>
      <label>Try: buy this as <input ...${ID_FIELD} value=${user} onInput=${(e) => buyer.set(e.target.value)} /></label>
      <button>Buy</button>
      <a href=${href("try", { user })}>The list of ${user || "this user"}</a>
      <span class=${`small ${said?.bad ? "bad" : "muted"}`} role="status">${said?.text}</span>
    </form>`;
}

function Similar({ item, linkTo }) {
  const found = useLoad(async (signal) => {
    const answer = await get(`${at("items", item.item_id)}/similar`, { limit: SIMILAR }, { signal });
    remember(answer.items);
    return answer.items;
  }, [item]);
  const quiet = item.pending && found.error;
  const width = (one) => `${Math.min(1, Math.max(0, one.score)) * 100}%`;
  return html`
    <section aria-label="Similar items">
      <h3>Similar items</h3>
      ${quiet ? html`<p class="muted">Known once this one is indexed.</p>` : html`
      <${Loaded} from=${found}>${(items) => items.length === 0 ? html`<p class="empty">None</p>` : html`
        <ol class="similar plain">${items.map((one) => html`
          <li key=${one.item_id}><a class="pick" href=${linkTo(one.item_id)}>
            <${Item} item=${one} link=${false} />
            <span class="bar-only" aria-hidden="true"><span class="fill" style=${{ width: width(one) }}></span></span>
            <span class="number small">${one.score.toFixed(2)}</span></a></li>`)}</ol>`}
      <//>`}
    </section>`;
}
