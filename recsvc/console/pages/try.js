// Try it: be somebody, do something, and see the list change.

import { get, useLoad } from "../api.js";
import { ms } from "../format.js";
import { html, useEffect, useState } from "../html.js";
import { Acts, FEW } from "../parts/acts.js";
import { Item } from "../parts/item.js";
import { useLiveList } from "../parts/live-list.js";
import { Ranked } from "../parts/ranked.js";
import { Key } from "../parts/reasons.js";
import { Loaded } from "../parts/state.js";
import { ChooseUser } from "../parts/users.js";
import { Wishes, wishesOf } from "../parts/wishes.js";
import { go, href, route, useTitle } from "../route.js";
import { remember } from "../titles.js";

const FOUND = 20, TYPING_MS = 180;
const FIRST_USER = "ada";

export function Try() {
  const { params } = route.use();
  const [user] = [params.user ?? FIRST_USER].flat();
  useTitle(user);
  return html`
    <h1>Try it</h1>
    <p class="lead">Do something as a user, and see the list change. Everything here goes through the API that your own pages would use.</p>
    <${Shop} key=${user} user=${user} wishes=${wishesOf(params)} />`;
}

const change = (params, more) => go("try", { ...route.get().params, ...params }, more);

function Shop({ user, wishes }) {
  const { list, before, took, since, story, act } = useLiveList(user, wishes);
  const acts = (item) => html`<${Acts} item=${item} act=${act} types=${FEW} />`;
  return html`
    <div class="try">
      <div class="stack shop">
        <section class="card stack" aria-label="The user">
          <${ChooseUser} user=${user} invent=${true} onChoose=${(chosen) => change({ user: chosen })} />
          <a class="small" href=${href("user", { user })}>What is known of <bdi>${user}</bdi></a>
        </section>
        <${Catalogue} act=${act} />
        <${Wishes} wishes=${wishes} onChange=${(params) => change(params, { replace: true })} />
        <${Story} story=${story} />
      </div>
      <${Took} took=${took} since=${since} user=${user} />
      <section class="stack" aria-label="Recommendations">
        <${Loaded} from=${list}>${(data) => html`
          <div class="row between">
            <h2>${data.strategy === "popular" ? `Popular: nothing is known of ${user} yet` : `Recommended to ${user} now`}</h2>
            <${Key} items=${data.items} />
          </div>
          ${data.degraded.length > 0 && html`<p class="notice">Made without: ${data.degraded.join(", ")}</p>`}
          ${data.items.length ? html`<${Ranked} items=${data.items} before=${before} label=${`Recommended to ${user}`} who="you" acts=${acts} />`
            : html`<p class="empty">Nothing passes these filters.</p>`}`}
        <//>
      </section>
    </div>`;
}

/** What the last act has come to; only this is read aloud, not what others do. */
function Took({ took, since, user }) {
  return html`
    <div class="took">
      <div role="status" data-shown-ms=${took?.shown_ms?.toFixed(1)}>${took && html`<${Outcome} took=${took} />`}</div>
      ${since ? html`<span class=${took ? "muted small" : ""}>${took ? "and since" : `Something else happened to ${user}`}: ${since}</span>`
        : !took && html`<span class="muted">Click or buy something: the list answers.</span>`}
    </div>`;
}

function Outcome({ took: { said, error, change: made, shown_ms, pushed_ms, server_ms } }) {
  const did = html`<span>You ${said.did} <bdi>${said.what}</bdi></span>`;
  if (error) return html`${did} <span class="bad">${error}</span>`;
  return html`
    ${did} <span><strong>${ms(shown_ms)}</strong> <span class="muted">to the new list</span></span>
    ${" "}<span class="muted small">pushed after ${ms(pushed_ms)}${server_ms === null ? "" : `, folded in ${ms(server_ms)}`} · ${made}</span>`;
}

function Catalogue({ act }) {
  const [text, setText] = useState(""), [asked, setAsked] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setAsked(text.trim()), TYPING_MS);
    return () => clearTimeout(timer);
  }, [text]);
  const found = useLoad(async (signal) => {
    const answer = await get("/v1/items", { limit: FOUND, q: asked }, { signal });
    remember(answer.items);
    return answer;
  }, [asked]);
  const search = (event) => {
    event.preventDefault();
    const query = text.trim();
    if (query) act({ event_type: "search", query }, { did: "searched for", what: `“${query}”` });
  };
  return html`
    <section class="card stack" aria-label="The catalogue">
      <form class="row" onSubmit=${search}>
        <label class="wide">Catalogue <input type="search" dir="auto" placeholder="a title, or what it is about"
          value=${text} onInput=${(e) => setText(e.target.value)} /></label>
        <button disabled=${!text.trim()} title="Sends a search event: it counts for the list">Search as the user</button>
      </form>
      <${Loaded} from=${found}>${({ items }) => items.length === 0 ? html`<p class="empty">Nothing found</p>` : html`
        <ul class="results plain" aria-label="Found items" tabindex="0">${items.map((item) => html`
          <li key=${item.item_id}><${Item} item=${item} /><${Acts} item=${item} act=${act} /></li>`)}</ul>`}
      <//>
    </section>`;
}

function Story({ story }) {
  if (!story.length) return null;
  return html`
    <section class="card"><h2>What you did</h2>
      <ol class="feed plain">${story.map(({ key, said, error }) => html`
        <li key=${key}><span class=${`text ${error ? "bad" : ""}`} title=${`${said.did} ${said.what}`}>
          ${said.did} <bdi>${said.what}</bdi>${error && `: ${error}`}</span></li>`)}</ol>
    </section>`;
}
