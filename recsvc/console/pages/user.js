// User: all that is known of one, where it comes from, and what can be done about it.

import { at, get, useLoad } from "../api.js";
import { ago, count, moment, titleOf as nameOfItem, usd } from "../format.js";
import { html, useState } from "../html.js";
import { ActiveUsers } from "../parts/active.js";
import { Erase, Erased } from "../parts/erase.js";
import { Sentence, inOrder, nameOfType, sentence, signed, toneOf } from "../parts/events.js";
import { useFollow } from "../parts/follow.js";
import { Interests } from "../parts/interests.js";
import { Ranked, useBefore } from "../parts/ranked.js";
import { Loaded, Tile } from "../parts/state.js";
import { Timeline } from "../parts/timeline.js";
import { ChooseUser } from "../parts/users.js";
import { Weights } from "../parts/weights.js";
import { go, href, route, useTitle } from "../route.js";
import { remember, useItems } from "../titles.js";

const EVERY_MS = 10_000, LISTED = 5, USERS = 25, EVENTS_SHOWN = 14;

export function User() {
  const [user] = [route.use().params.user].flat();
  useTitle(user);
  return user ? html`<${Known} key=${user} user=${user} />` : html`<${Choose} />`;
}

const choose = (user) => go("user", { user });

function Choose() {
  return html`
    <h1>User</h1>
    <p class="lead">What is known of one user, what it comes from, and what it leads to. Choose somebody.</p>
    <div class="stack">
      <section class="card stack" aria-label="The user">
        <div class="chooser"><${ChooseUser} user="" onChoose=${choose} /></div>
        <${ActiveUsers} page="user" />
      </section>
      <${Users} />
    </div>`;
}

function Users() {
  const [before, setBefore] = useState([]), [cursor, setCursor] = useState(null);
  const page = useLoad((signal) => get("/v1/users", { limit: USERS, cursor }, { signal }), [cursor]);
  const next = (data) => { setBefore([...before, cursor]); setCursor(data.next_cursor); };
  const back = () => { setCursor(before.at(-1)); setBefore(before.slice(0, -1)); };
  return html`
    <section class="card">
      <h2>Known users</h2>
      <${Loaded} from=${page}>${(data) => data.users.length === 0 ? html`<p class="empty">Nobody yet. <a href=${href("try")}>Be the first</a></p>` : html`
        <div class="scroll" tabindex="0" role="region" aria-label="Known users">
          <table class="rows">
            <thead><tr>
              <th scope="col">user</th><th scope="col" class="number">events</th><th scope="col" class="number">version</th>
              <th scope="col">last event</th><th scope="col"><span class="hidden">more</span></th>
            </tr></thead>
            <tbody>${data.users.map((one) => html`
              <tr key=${one.user_id}>
                <td><a href=${href("user", { user: one.user_id })}>${one.user_id}</a></td>
                <td class="number">${count(one.event_count)}</td><td class="number">${one.version}</td>
                <td class="number left">${one.last_event_at === null ? "–" : ago(one.last_event_at)}</td>
                <td class="number"><a href=${href("map", { user: one.user_id })} aria-label=${`${one.user_id} on the map`}>map</a></td>
              </tr>`)}</tbody>
          </table>
        </div>
        <div class="row between pages">
          <button disabled=${page.loading || !before.length} onClick=${back}>Before</button>
          <span class="muted small">page ${before.length + 1}</span>
          <button disabled=${page.loading || !data.next_cursor} onClick=${() => next(data)}>Next</button>
        </div>`}
      <//>
    </section>`;
}

/** Load, with somebody who is not known as null. */
const orNobody = (coming) => coming.then((user) => ({ user }), (error) => {
  if (error.status === 404) return { user: null };
  throw error;
});

function Known({ user }) {
  const known = useLoad((signal) => orNobody(get(at("users", user), {}, { signal })), [user], { every: EVERY_MS });
  const list = useList(user);
  const [erased, setErased] = useState(null);
  const again = () => { known.reload(); list.reload(); };
  useFollow(user, again);
  return html`
    <div class="row between user-head">
      <h1><span class="muted">User</span> <bdi>${user}</bdi></h1>
      <${Actions} user=${user} known=${known.data?.user} onErased=${(answer) => { setErased(answer); again(); }} />
    </div>
    <div class="stack">
      <div class="chooser"><${ChooseUser} user=${user} onChoose=${choose} /></div>
      ${erased && html`<${Erased} answer=${erased} />`}
      <${Loaded} from=${known}>${({ user: data }) => data === null
        ? html`
          <div class="card empty">
            <p>Nothing is known of <bdi>${user}</bdi>.</p>
            <p><a href=${href("try", { user })}>Try as <bdi>${user}</bdi></a> or <a href=${href("user")}>choose another user</a></p>
          </div>`
        : html`<${Pieces} data=${data} list=${list} />`}
      <//>
    </div>`;
}

function useList(user) {
  const list = useLoad(async (signal) => {
    const data = await get(at("users", user, "recommendations"), { limit: LISTED, explain: true }, { signal });
    remember(data.items);
    return data;
  }, [user]);
  return { ...list, before: useBefore(list.data) };
}

function Actions({ user, known, onErased }) {
  const [error, setError] = useState(null), [busy, setBusy] = useState(false);
  const take = async () => {
    setBusy(true);
    setError(null);
    try {
      save(`user-${user}.json`, await get(at("users", user, "export")));
    } catch (refusal) {
      setError(refusal.message);
    }
    setBusy(false);
  };
  return html`
    <div class="row">
      <a class="button" href=${href("try", { user })}>Try as this user</a>
      <a class="button" href=${href("map", { user })}>On the map</a>
      ${known && html`
        <button disabled=${busy} onClick=${take} title="All that is held of the user, events included">${busy ? "Exporting …" : "Export"}</button>
        <${Erase} user=${user} known=${known} onErased=${onErased} onFailed=${(refusal) => setError(refusal.message)} />`}
    </div>
    ${error && html`<p class="notice bad wide" role="alert">${error}</p>`}`;
}

function save(name, content) {
  const url = URL.createObjectURL(new Blob([JSON.stringify(content, null, 2)], { type: "application/json" }));
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1_000);
}

function Pieces({ data, list }) {
  const [active, setActive] = useState(null);
  const ids = [...data.recent.map((event) => event.item_id), ...data.groups.flatMap((group) => group.items)].filter(Boolean);
  const itemOf = useItems(ids), titleOf = (id) => nameOfItem(itemOf(id));
  return html`
    <${Counts} data=${data} />
    <section class="card">
      <h2>Events over time</h2>
      ${data.recent.length === 0 ? html`<p class="empty">No event yet</p>`
        : html`<${Timeline} events=${data.recent} counts=${data.counts} active=${active} onActive=${setActive} titleOf=${titleOf} />`}
    </section>
    <section class="card"><h2>Interests</h2><${Interests} groups=${data.groups} itemOf=${itemOf} /></section>
    <div class="grid two top">
      <${Profile} data=${data} itemOf=${itemOf} titleOf=${titleOf} />
      <div class="stack">
        <${Recommended} user=${data.user_id} list=${list} />
        <${Recent} events=${data.recent} active=${active} onActive=${setActive} titleOf=${titleOf} />
      </div>
    </div>`;
}

function Counts({ data }) {
  const last = data.recent.length ? Math.max(...data.recent.map((event) => event.timestamp)) : null;
  return html`
    <div class="grid tiles">
      <${Tile} name="Events" value=${count(data.event_count)} note=${`version ${data.version}`} />
      <${Tile} name="Last event" value=${last === null ? "–" : ago(last)} note=${last === null ? null : moment(last)} />
      <${Tile} name="Waiting" value=${count(data.waiting)} note="events on items not known yet" />
      <div class="card types"><span class="muted small">By type</span>
        <ul class="plain">${inOrder(Object.keys(data.counts)).map((type) => html`
          <li key=${type}><i style=${{ background: `var(--${toneOf(type)})` }}></i>
            ${nameOfType(type)} <strong class="number">${count(data.counts[type])}</strong></li>`)}</ul>
      </div>
    </div>`;
}

function Profile({ data, itemOf, titleOf }) {
  const { profile } = data;
  return html`
    <section class="card">
      <h2>Profile</h2>
      ${!profile ? html`<p class="empty">None yet: it is made a little after the first events.</p>` : html`
        <p dir="auto">${profile.summary || "Nothing stands out so far."}</p>
        <p class="muted small">Made by <code>${profile.model}</code> <span title=${moment(profile.updated_at)}>${ago(profile.updated_at)}</span>,
          ${" "}${priceOf(profile)}. Open a line to see what it rests on.</p>
        <${Weights} profile=${profile} recent=${data.recent} itemOf=${itemOf} titleOf=${titleOf} />`}
    </section>`;
}

function priceOf({ cost_usd: cost }) {
  return cost === null ? "price unknown" : cost === 0 ? "at no cost" : `for ${usd(cost)}`;
}

function Recommended({ user, list }) {
  return html`
    <section class="stack tight">
      <div class="row between">
        <h2>Recommended now</h2><a class="small" href=${href("try", { user })}>the whole list in Try it</a>
      </div>
      <${Loaded} from=${list}>${(data) => data.items.length === 0 ? html`<p class="empty">Nothing</p>`
        : html`<${Ranked} items=${data.items} before=${list.before} label=${`Recommended to ${user}`} />`}<//>
    </section>`;
}

function Recent({ events, active, onActive, titleOf }) {
  const [all, setAll] = useState(false);
  const shown = all ? events : events.slice(0, EVENTS_SHOWN);
  return html`
    <section class="card">
      <h2>Recent events</h2>
      ${!events.length && html`<p class="empty">No event yet</p>`}
      <ol class="feed plain events">${shown.map((event) => html`
        <li key=${event.event_id} class=${event.event_id === active ? "active" : ""}
          onMouseEnter=${() => onActive(event.event_id)} onMouseLeave=${() => onActive(null)}>
          <i style=${{ background: `var(--${toneOf(event.event_type)})` }} aria-hidden="true"></i>
          <span class="text" title=${sentence(event, titleOf)}><${Sentence} event=${event} titleOf=${titleOf} /></span>
          <span class="muted small number" title=${moment(event.timestamp)}>
            ${event.waiting ? html`<span class="warn">waiting</span> ` : ""}${signed(event.weight)} · ${ago(event.timestamp)}
          </span>
        </li>`)}</ol>
      ${events.length > EVENTS_SHOWN && html`
        <button class="link small" aria-expanded=${all} onClick=${() => setAll(!all)}>${all ? "fewer" : `all ${events.length}`}</button>`}
    </section>`;
}
