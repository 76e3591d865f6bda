// Filters as the API takes them: a feature, a comparison, a value.

import { get, useLoad } from "../api.js";
import { shown } from "../format.js";
import { html, useState } from "../html.js";
import { Loaded } from "./state.js";

const COMPARISONS = { keyword: ["=", "!=", "~"], number: ["<=", ">=", "="], bool: ["=", "!="] };
const SAID = { "=": "is", "!=": "is not", "~": "contains", "<=": "at most", ">=": "at least" };

/** `filters`: texts like `category=books`; `onChange` is called with the new ones. */
export function Filters({ filters, onChange }) {
  const known = useLoad((signal) => get("/v1/items/features", {}, { signal }), []);
  const add = (filter) => { if (!filters.includes(filter)) onChange([...filters, filter]); };
  return html`
    <div class="stack">
      <${Loaded} from=${known}>${({ features }) => features.length > 0
        ? html`<${Add} features=${features} onAdd=${add} />` : html`<p class="muted small">No item has a feature to filter by.</p>`}<//>
      ${filters.length > 0 && html`<div class="row">${filters.map((one) => html`
        <span class="chip wrap" key=${one}><bdi>${one}</bdi><button type="button" aria-label=${`Remove the filter ${one}`}
          onClick=${() => onChange(filters.filter((other) => other !== one))}>✕</button></span>`)}</div>`}
    </div>`;
}

function Add({ features, onAdd }) {
  const [name, setName] = useState(""), [comparison, setComparison] = useState("="), [value, setValue] = useState("");
  const feature = features.find((one) => one.name === name) ?? features[0];
  const kinds = COMPARISONS[feature.kind] ?? ["="], used = kinds.includes(comparison) ? comparison : kinds[0];
  const add = (event) => {
    event.preventDefault();
    if (value !== "") onAdd(`${feature.name}${used}${value.replaceAll(",", "\\,")}`);
    setValue("");
  };
  const options = (all, text) => all.map((one) => html`<option key=${one} value=${one}>${text(one)}</option>`);
  return html`
    <form class="row" onSubmit=${add}>
      <label>Feature <select value=${feature.name} onChange=${(e) => { setName(e.target.value); setValue(""); }}>
        ${options(features.map((one) => one.name), (one) => one.replaceAll("_", " "))}</select></label>
      <label>Comparison <select value=${used} onChange=${(e) => setComparison(e.target.value)}>${options(kinds, (one) => SAID[one])}</select></label>
      <label>Value <${Value} feature=${feature} value=${value} onValue=${setValue} /></label>
      <button disabled=${value === ""}>Add filter</button>
    </form>`;
}

function Value({ feature: { kind, values, min, max }, value, onValue }) {
  const onInput = (e) => onValue(e.target.value);
  if (kind === "number") return html`<input type="number" step="any" value=${value} onInput=${onInput} placeholder=${`${min} to ${max}`} />`;
  if (kind === "bool") {
    return html`<select value=${value} onChange=${onInput}>
      <option value="">choose</option>${[true, false].map((one) => html`<option value=${String(one)}>${shown(one)}</option>`)}</select>`;
  }
  return html`
    <input type="text" dir="auto" list="values" value=${value} onInput=${onInput} />
    <datalist id="values">${(values ?? []).map((one) => html`<option key=${one.value} value=${one.value}></option>`)}</datalist>`;
}
