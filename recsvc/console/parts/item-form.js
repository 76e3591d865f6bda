// Writing an item: a row for each feature, or its JSON; checked before it is sent.

import { at, call } from "../api.js";
import { html, useRef, useState } from "../html.js";
import { ID_FIELD, PATHLESS } from "../ids.js";
import { itemById } from "../titles.js";
import { Confirm } from "./confirm.js";
import { useDraft } from "./drafts.js";
import { KINDS, bodyOf, pretty, read, refused, same, toLocal, toRow } from "./item-fields.js";

/** Under which key the draft of an item is; that of a new one is under no id. */
export const draftKey = (id) => `item:${id ?? ""}`;

/** A draft of an item as it is stored; of none: of a new one. */
export function draftOf(item) {
  const base = bodyOf(item);
  const rows = item ? Object.entries(base.features).map(([name, value]) => toRow(name, value)) : [toRow("title"), toRow("category")];
  return { ...asForm(base, rows), mode: "form", json: "", base, id: "", changed: false };
}

const asForm = (body, rows = Object.entries(body.features).map(([name, value]) => toRow(name, value))) =>
  ({ rows, text: body.text ?? "", from: toLocal(body.available_from), until: toLocal(body.available_until) });

/** `item`: as stored, or null for a new one; `onDone` is told of the id, the body and the answer. */
export function ItemForm({ item, onDone, onLeave }) {
  const [draft, setDraft, drop] = useDraft(draftKey(item?.item_id));
  const [problems, setProblems] = useState([]);
  const [met, setMet] = useState(null), [busy, setBusy] = useState(false);
  const form = useRef();
  if (!draft) return null;

  const change = (more) => {
    const next = { ...draft, ...more };
    const { body, problems: found } = read(next);
    setDraft({ ...next, changed: Boolean(next.id) || found.length > 0 || !same(body, next.base) });
    if (problems.length) setProblems(found.filter((one) => problems.some((before) => before.at === one.at)));
  };
  const show = (found) => {
    setProblems(found);
    requestAnimationFrame(() => form.current?.querySelector("[aria-invalid=true]")?.focus());
  };
  const turn = (mode) => {
    const { body, problems: found } = read(draft);
    if (mode === draft.mode) return;
    if (found.length) return show(found);
    setProblems([]);
    change(mode === "json" ? { mode, json: pretty(body) } : { mode, ...asForm(bodyOf(body)) });
  };
  const save = async (over) => {
    const { body, problems: found } = read(draft);
    if (found.length) return show(found);
    if (!item && PATHLESS.has(draft.id)) return show([{ at: "all", message: `“${draft.id}” means something else in addresses: choose another id.` }]);
    setBusy(true);
    try {
      const id = item?.item_id ?? draft.id, stored = await look(id);
      if (!over && stored && (!item || !same(bodyOf(stored), draft.base))) return setMet(stored);
      const answer = await call("PUT", at("items", id), { body });
      drop();
      onDone(id, bodyOf(body), answer);
    } catch (error) {
      show(refused(error, draft));
    } finally {
      setBusy(false);
    }
  };
  const leave = () => { drop(); onLeave(); };
  return html`
    <form class="stack" ref=${form} onSubmit=${(e) => { e.preventDefault(); save(false); }}>
      <${Modes} mode=${draft.mode} onTurn=${turn} />
      ${!item && html`<label>Id <input ...${ID_FIELD} value=${draft.id} onInput=${(e) => { setMet(null); change({ id: e.target.value }); }} /></label>`}
      <${draft.mode === "json" ? Json : Rows} draft=${draft} change=${change} problems=${problems} />
      <${Problem} problems=${problems} at="all" />
      ${met && html`<${Met} item=${item} met=${met} onOver=${() => { setMet(null); save(true); }} onLeave=${leave} />`}
      <div class="row">
        <button class="main" disabled=${busy}>${busy ? "Saving …" : item ? "Save" : "Create"}</button>
        ${draft.changed ? html`<${Confirm} text="Discard" yes="Discard them" danger=${false} onYes=${leave}
            question="What you changed here is not saved. Discard the changes?" />`
          : html`<button type="button" onClick=${leave}>Cancel</button>`}
        <span class="muted small" role="status">${draft.changed ? "Not saved. It stays here while you look elsewhere." : ""}</span>
      </div>
    </form>`;
}

const look = (id) => itemById(id).catch((error) => {
  if (error.status === 404) return null;
  throw error;
});

const Modes = ({ mode, onTurn }) => html`
  <div class="row" role="group" aria-label="How to write it">
    ${[["form", "Form"], ["json", "JSON"]].map(([name, text]) => html`
      <button type="button" aria-pressed=${mode === name} onClick=${() => onTurn(name)}>${text}</button>`)}
  </div>`;

/** The item is not what it was when the writing began. */
const Met = ({ item, met, onOver, onLeave }) => html`
  <div class="notice" role="alert">
    <p>${item ? "Somebody has changed this item since you began." : `There is an item ${met.item_id} already.`} Saving puts yours in its place.</p>
    <div class="row"><button type="button" onClick=${onOver}>Save mine over it</button>
      ${item && html`<button type="button" onClick=${onLeave}>Discard mine, show theirs</button>`}</div>
  </div>`;

function Problem({ problems, at: where }) {
  const found = problems.filter((one) => one.at === where);
  return found.length > 0 && html`
    <p class="problem" id=${`problem-${where}`} role="alert">${found.map((one) => html`<span>${one.message}</span>`)}</p>`;
}

const marked = (problems, where, of) => {
  const wrong = problems.some((one) => one.at === where && one.of === of);
  return { "aria-invalid": wrong ? "true" : null, "aria-describedby": wrong ? `problem-${where}` : null };
};

const Json = ({ draft, change, problems }) => html`
  <div>
    <label>The item as JSON
      <textarea rows="18" spellcheck="false" value=${draft.json} ...${marked(problems, "json")}
        onInput=${(e) => change({ json: e.target.value })}></textarea></label>
    <${Problem} problems=${problems} at="json" />
  </div>`;

function Rows({ draft, change, problems }) {
  const list = useRef();
  const set = (row, more) => change({ rows: draft.rows.map((one) => (one === row ? { ...row, ...more } : one)) });
  const add = () => {
    change({ rows: [...draft.rows, toRow()] });
    requestAnimationFrame(() => requestAnimationFrame(() => [...list.current.querySelectorAll("input.name")].at(-1)?.focus()));
  };
  return html`
    <fieldset ref=${list}>
      <legend>Features</legend>
      ${draft.rows.map((row) => html`<${Row} key=${row.key} row=${row} problems=${problems} onSet=${(more) => set(row, more)}
        onRemove=${() => change({ rows: draft.rows.filter((one) => one !== row) })} />`)}
      <${Problem} problems=${problems} at="features" />
      <div class="row"><button type="button" onClick=${add}>Add a feature</button>
        <span class="muted small">Lists are separated by commas; write \\, for a comma in one.</span></div>
    </fieldset>
    <div>
      <label>Text that is embedded <textarea class="prose" rows="3" placeholder="made from the features where it is empty"
        value=${draft.text} ...${marked(problems, "text")} onInput=${(e) => change({ text: e.target.value })}></textarea></label>
      <${Problem} problems=${problems} at="text" />
    </div>
    <fieldset>
      <legend>Available, in this machine's time</legend>
      <div class="row">
        ${[["from", "available_from", "From"], ["until", "available_until", "Until"]].map(([name, field, text]) => html`
          <label>${text} <input type="datetime-local" step="1" value=${draft[name]} ...${marked(problems, field)}
            onChange=${(e) => change({ [name]: e.target.value })} /></label>`)}
        <span class="muted small">Empty: always.</span>
      </div>
      <${Problem} problems=${problems} at="available_from" /><${Problem} problems=${problems} at="available_until" />
    </fieldset>`;
}

function Row({ row, problems, onSet, onRemove }) {
  const name = row.name || "the new feature", mark = marked(problems, row.key);
  const turn = (kind) => onSet({ kind, text: kind === "bool" ? (/^(yes|true|1)$/i.test(row.text.trim()) ? "yes" : "no") : row.text });
  const value = { "aria-label": `Value of ${name}`, value: row.text, ...mark, onInput: (e) => onSet({ text: e.target.value }) };
  return html`
    <div class="feature" role="group" aria-label=${name}>
      <input class="name" type="text" aria-label=${`Name of ${name}`} placeholder="name" maxlength="64" spellcheck="false"
        value=${row.name} ...${marked(problems, row.key, "name")} onInput=${(e) => onSet({ name: e.target.value })} />
      <select aria-label=${`Kind of ${name}`} value=${row.kind} onChange=${(e) => turn(e.target.value)}>
        ${Object.entries(KINDS).map(([kind, text]) => html`<option value=${kind}>${text}</option>`)}</select>
      ${row.kind === "bool" ? html`<select ...${value}><option>yes</option><option>no</option></select>`
        : row.long ? html`<textarea class="prose" rows="3" ...${value}></textarea>`
        : html`<input type="text" inputmode=${row.kind === "number" ? "decimal" : null} ...${value} />`}
      <button type="button" class="quiet" aria-label=${`Remove ${name}`} title="Remove" onClick=${onRemove}>✕</button>
      <${Problem} problems=${problems} at=${row.key} />
    </div>`;
}
