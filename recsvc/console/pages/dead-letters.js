// Dead letters: events that could not be folded, to be mended and sent again, or dropped.

import { at, call, get, useLoad } from "../api.js";
import { ago, count, moment } from "../format.js";
import { Fragment, html, useRef, useState } from "../html.js";
import { Confirm } from "../parts/confirm.js";
import { Orphan, drafts, useDraft } from "../parts/drafts.js";
import { linked, sentence, told as inParts } from "../parts/events.js";
import { Fine, Loaded } from "../parts/state.js";
import { href } from "../route.js";
import { useTitles } from "../titles.js";

const EVERY_MS = 5_000, SHOWN = 100, SHOWN_MAX = 1_000;
const MADE_ANEW = ["event_id", "tenant"]; // by whoever sends it again
const TOLD = ["user_id", "event_type", "item_id", "query"];

export function DeadLetters() {
  const [limit, setLimit] = useState(SHOWN);
  const found = useLoad((signal) => get("/v1/dead-letters", { limit }, { signal }), [limit], { every: EVERY_MS });
  const stats = useLoad((signal) => get("/v1/stats", {}, { signal }), [], { every: EVERY_MS });
  const [told, tell] = useState(null), [kept, keep] = useState(new Map());
  const place = useRef();
  const settle = (text, stays = new Map(), bad = false) => {
    tell({ text, bad });
    keep(stays);
    found.reload();
    stats.reload();
    place.current.focus();
  };
  return html`
    <h1>Dead letters</h1>
    <p class="lead">Events that were accepted but could not be folded into what is known of their users: they are kept
      here with the reason, until somebody mends, sends or drops them.</p>
    <div class=${told ? `told after ${told.bad ? "bad" : ""}` : "hidden"} role="status" tabindex="-1" ref=${place}>${told?.text}</div>
    ${found.data && found.data.dead_letters.length < limit && html`<${Orphans} letters=${found.data.dead_letters} />`}
    <${Loaded} from=${found}>${({ dead_letters: letters }) => letters.length === 0 ? html`<${None} />` : html`
      <section class="card stack" aria-label="Letters">
        <${Bar} letters=${letters} total=${stats.data?.totals.dead_letters} settle=${settle} />
        <${Letters} letters=${letters} kept=${kept} settle=${settle} />
        ${letters.length === limit && limit < SHOWN_MAX && html`
          <div><button onClick=${() => setLimit(SHOWN_MAX)}>Show up to ${count(SHOWN_MAX)}</button></div>`}
      </section>`}
    <//>`;
}

const nameOf = (id) => `letter:${id}`; // of its draft

/** What was written in letters that are not here any more. */
function Orphans({ letters }) {
  const here = new Set(letters.map((one) => nameOf(one.letter_id)));
  const gone = [...drafts.use()].filter(([name]) => name.startsWith(nameOf("")) && !here.has(name));
  return gone.map(([name, { text }]) => html`
    <${Orphan} key=${name} name=${name} written=${text} text="A letter is gone: somebody has sent it again, or dropped it." />`);
}

const None = () => html`
  <${Fine} title="No event has failed">
    <p class="muted">Should one, it appears here by itself; nothing is lost meanwhile, and the others go on.</p>
  <//>`;

/** How many there are, and what is done with all of them. */
function Bar({ letters, total, settle }) {
  const [busy, setBusy] = useState(false);
  const all = async () => {
    setBusy(true);
    try {
      const { retried, kept } = await call("POST", "/v1/dead-letters/retry", { body: {} });
      const stay = kept.length === 1 ? " 1 stays, as told beside it." : kept.length ? ` ${count(kept.length)} stay, as told beside each.` : "";
      settle(`${count(retried)} sent again.${stay}`, new Map(kept.map((one) => [one.letter_id, one.reason])), !retried && kept.length > 0);
    } catch (error) {
      settle(error.message, new Map(), true);
    } finally {
      setBusy(false);
    }
  };
  const sum = Math.max(total ?? 0, letters.length);
  const part = sum > letters.length && html`<span class="muted small">, the oldest ${count(letters.length)} of them shown</span>`;
  return html`
    <div class="row between">
      <h2>${count(sum)} ${sum === 1 ? "letter" : "letters"}${part}</h2>
      <button disabled=${busy} onClick=${all}>${busy ? "Sending …" : "Send all again"}</button>
    </div>`;
}

/** What is told of an event, whose fields may be of any kind: those that are texts. */
const texts = (event) => Object.fromEntries(TOLD.map((name) => [name, typeof event[name] === "string" ? event[name] : ""]));

function Letters({ letters, kept, settle }) {
  const titleOf = useTitles(letters.map((one) => texts(one.event).item_id).filter(Boolean));
  const [open, setOpen] = useState(null);
  return html`
    <table class="letters">
      <thead><tr>
        ${["when", "user", "event", "item or search", "reason"].map((name) => html`<th scope="col">${name}</th>`)}
        <th scope="col"><span class="hidden">mend</span></th>
      </tr></thead>
      <tbody>${letters.map((letter) => html`
        <${Letter} key=${letter.letter_id} letter=${letter} titleOf=${titleOf} why=${kept.get(letter.letter_id)} settle=${settle}
          open=${open === letter.letter_id} onOpen=${(wanted) => setOpen(wanted ? letter.letter_id : null)} />`)}
      </tbody>
    </table>`;
}

function Letter({ letter, titleOf, why, settle, open, onOpen }) {
  const event = texts(letter.event), { user_id: user, event_type: type } = event;
  const name = type ? `${user || "somebody"} ${sentence(event, titleOf)}` : "an event that is no JSON", said = open ? "Close" : "Mend";
  return html`
    <${Fragment}>
      <tr class=${open ? "letter open" : "letter"}>
        <td class="number" title=${moment(letter.at)}>${ago(letter.at)}</td>
        <td>${user ? html`<a href=${href("user", { user })}><bdi>${user}</bdi></a>` : html`<span class="muted">unknown</span>`}</td>
        <td>${type || html`<span class="muted">no JSON</span>`}</td>
        <td>${linked(event, inParts(event, titleOf).what || "–")}</td>
        <td class="reason">${letter.reason}${why && html`<p class="problem" role="alert">Still here: ${why}</p>`}</td>
        <td><button aria-expanded=${open} aria-label=${`${said}: ${name}`} onClick=${() => onOpen(!open)}>${said}</button></td>
      </tr>
      ${open && html`<tr class="mend"><td colspan="6"><${Mend} letter=${letter} name=${name} settle=${settle} /></td></tr>`}
    <//>`;
}

/** The event as it is to be sent; the text that came in place of one, where it was none. */
function written(event) {
  if (typeof event.raw === "string") return event.raw;
  return JSON.stringify(Object.fromEntries(Object.entries(event).filter(([name]) => !MADE_ANEW.includes(name))), null, 2);
}

function Mend({ letter, name, settle }) {
  const { letter_id: id, event } = letter;
  const [draft, setDraft, drop] = useDraft(nameOf(id));
  const [problems, setProblems] = useState([]), [busy, setBusy] = useState(false);
  const text = draft?.text ?? written(event), field = `letter-${id}`;
  const write = (next) => (next === written(event) ? drop() : setDraft({ text: next, changed: true }));
  const attempt = async (task, said) => {
    setBusy(true);
    try {
      await task();
      drop();
      settle(said);
    } catch (error) {
      setProblems(inWords(error));
      setBusy(false);
    }
  };
  const post = (body) => call("POST", `${at("dead-letters", id)}/retry`, { body });
  const sent = "as a new event. Should it fail once more, it comes back here.";
  const sendMended = (e) => {
    e.preventDefault();
    attempt(() => post({ event: parsed(text) }), `Mended and sent again, ${sent}`);
  };
  const marks = { "aria-invalid": problems.length ? "true" : null, "aria-describedby": problems.length ? field : null };
  const rows = Math.min(16, text.split("\n").length + 1);
  return html`
    <form class="stack" onSubmit=${sendMended}>
      <label>The event, to be mended
        <textarea rows=${rows} spellcheck="false" value=${text} ...${marks} onInput=${(e) => write(e.target.value)}></textarea></label>
      ${problems.length > 0 && html`<ul class="problem plain" id=${field} role="alert">${problems.map((one) => html`<li>${one}</li>`)}</ul>`}
      <div class="row">
        <button class="main" disabled=${busy || !draft}>Send again</button>
        <button type="button" disabled=${busy} onClick=${() => attempt(() => post({}), `Sent again, ${sent}`)}>Send again as it is</button>
        ${draft && html`<button type="button" disabled=${busy} onClick=${() => { drop(); setProblems([]); }}>As it was</button>`}
        <${Confirm} text="Drop" yes="Drop it" disabled=${busy}
          question="Drop this letter? The event never counts then, and cannot be sent again from here."
          onYes=${() => attempt(() => call("DELETE", at("dead-letters", id)), `Dropped: ${name}.`)} />
        <span class="muted small">${draft ? "Changed, not sent." : "Change it, or send it as it is when the cause is gone."} It gets a new id.</span>
      </div>
    </form>`;
}

/** Read the event; throws what is wrong with it. */
function parsed(text) {
  let event;
  try {
    event = JSON.parse(text);
  } catch (error) {
    throw new Error(`This is not JSON: ${error.message}`);
  }
  if (event === null || typeof event !== "object" || Array.isArray(event)) {
    throw new Error("An event is an object: {\"user_id\": …, \"event_type\": …}");
  }
  return event;
}

/** Why an event was refused, a sentence for each field. */
function inWords(error) {
  const errors = error.problem?.errors;
  if (!errors?.length) return [error.message];
  return errors.map(({ loc, msg }) => [loc.slice(loc[0] === "event" ? 1 : 0).join("."), msg].filter(Boolean).join(": "));
}
