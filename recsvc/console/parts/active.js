// Users who did something a moment ago, to choose one of them.

import { get, useLoad } from "../api.js";
import { ago } from "../format.js";
import { html } from "../html.js";
import { href } from "../route.js";

const LOOKED_AT = 100, OFFERED = 6;

/** `page`: where choosing one leads to; `params`: what is kept on the way. */
export function ActiveUsers({ page, params = {} }) {
  const { data, reload } = useLoad((signal) => get("/v1/events", { limit: LOOKED_AT }, { signal }), []);
  const newest = new Map();
  for (const event of data?.events ?? []) if (!newest.has(event.user_id)) newest.set(event.user_id, event.accepted_at);
  if (!newest.size) return null;
  return html`
    <div class="row small active-users">
      <span class="muted">Active now</span>
      ${[...newest].slice(0, OFFERED).map(([user, at]) => html`
        <a class="chip" key=${user} href=${href(page, { ...params, user })} title=${ago(at)}><bdi>${user}</bdi></a>`)}
      <button class="link small" onClick=${reload}>look again</button>
    </div>`;
}
