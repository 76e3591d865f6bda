// Map: the catalogue as places where like is near like, and somebody's interests moving over it.

import { at, get, useLoad } from "../api.js";
import { ago, count, percent, shown, titleOf as nameOfItem } from "../format.js";
import { html, useEffect, useMemo, useRef, useState } from "../html.js";
import { STILL } from "../media.js";
import { ActiveUsers } from "../parts/active.js";
import { Sentence, sentence } from "../parts/events.js";
import { useFollow } from "../parts/follow.js";
import { Share, nameOf } from "../parts/interests.js";
import { colouring } from "../parts/map/colouring.js";
import { Legend } from "../parts/map/legend.js";
import { moved } from "../parts/map/movers.js";
import { Plane } from "../parts/map/plane.js";
import { Loaded } from "../parts/state.js";
import { ChooseUser } from "../parts/users.js";
import { go, href, route, useTitle } from "../route.js";
import { useItems } from "../titles.js";

const EVERY_MS = 10_000, ITEMS = 2_000, FIRST_FEATURE = "category", NEWEST = 6, NAMED = 3, SAME = 0.001, VALUES = 4;
const SHOWN = { movers: "Interests, taste and profile", recent: "Recent events" };

export function MapPage() {
  const { params } = route.use(), [user, feature] = [params.user ?? "", params.feature].map((one) => [one].flat()[0]);
  useTitle(user);
  const features = useLoad((signal) => get("/v1/items/features", {}, { signal }), []);
  return html`
    <h1>Map</h1>
    <p class="lead">Items that are alike are near each other. Choose a user to see where their interests are, and how they move with each event.</p>
    <${Loaded} from=${features}>${({ features: all }) => html`<${Chart} user=${user} features=${all} asked=${feature} />`}<//>`;
}

function Chart({ user, features, asked }) {
  const feature = features.find((one) => one.name === asked) ?? features.find((one) => one.name === FIRST_FEATURE) ?? features[0];
  const map = useLoad((signal) => get("/v1/map", { feature: feature?.name, limit: ITEMS }, { signal }), [feature?.name]);
  const known = useUser(user, map);
  const choose = (params) => go("map", { user, feature: asked, ...params }, { replace: "feature" in params });
  return html`
    <div class="map">
      <div class="card map-bar">
        <${ChooseUser} user=${user} onChoose=${(chosen) => choose({ user: chosen })} />
        ${feature && html`
          <label>Coloured by
            <select value=${feature.name} onChange=${(e) => choose({ feature: e.target.value })}>
              ${features.map((one) => html`<option value=${one.name}>${one.name.replaceAll("_", " ")}</option>`)}</select></label>`}
        <${ActiveUsers} page="map" params=${{ feature: asked }} />
      </div>
      <section class="card atlas" aria-label="The map">
        <${Loaded} from=${map}>${(data) => data.items.length === 0
          ? html`<p class="empty">No items yet. <a href=${href("items")}>Add some</a></p>`
          : html`<${Atlas} data=${data} kind=${features.find((one) => one.name === data.feature)?.kind} user=${user} known=${known} />`}
        <//>
      </section>
      <${Panel} user=${user} known=${known} />
    </div>`;
}

/** Somebody's places and what they are made of, again after each event. */
function useUser(user, map) {
  const load = useLoad(async (signal) => {
    if (!user) return { user: null };
    try {
      const [places, held] = await Promise.all([get(at("users", user, "map"), {}, { signal }), get(at("users", user), {}, { signal })]);
      return { user: held, places };
    } catch (error) {
      if (error.status === 404) return { user: null };
      throw error;
    }
  }, [user], { every: EVERY_MS });
  useFollow(user, load.reload);
  const mine = load.data?.user?.user_id === user ? load.data : null;
  const groups = mine ? placed(mine) : [];
  const itemOf = useItems(groups.flatMap((group) => group.items));
  const old = useRef(null);
  useEffect(() => { // the catalogue was laid out anew
    if (mine && old.current !== mine && map.data && strays(mine.places, map.data.items)) map.reload();
    old.current = mine;
  }, [mine, map.data]);
  return { ...load, groups, itemOf, held: mine?.user ?? null, places: mine?.places ?? null, titleOf: (id) => nameOfItem(itemOf(id)) };
}

/** The interests that have a place, with the searches that they are made of. */
function placed({ user, places }) {
  const left = [...user.groups];
  return places.interests.map((one) => {
    const same = left.findIndex((group) => group.items.join(" ") === one.items.join(" ") && Math.abs(group.share - one.share) < SAME);
    const [group] = same === -1 ? [null] : left.splice(same, 1);
    return { ...one, queries: group?.queries ?? [] };
  });
}

function strays({ recent }, items) {
  const places = new Map(items.map((item) => [item.item_id, item]));
  return recent.some(({ item_id: id, x, y }) => places.has(id) && Math.hypot(places.get(id).x - x, places.get(id).y - y) > SAME);
}

/** A user's places as things that move, and when the newest event came. */
function useMovers(user, known) {
  const held = useRef({ user: null, places: null, movers: [], newest: null, last: null });
  const now = held.current;
  if (now.user !== user) Object.assign(now, { user, places: null, movers: [], newest: null, last: null });
  if (!known.places && !known.loading) Object.assign(now, { places: null, movers: [] });
  if (known.places && known.places !== now.places) {
    const first = now.places === null, last = known.places.recent[0]?.timestamp ?? null;
    const wanted = [
      ...known.groups.map((group) => ({ kind: "interest", x: group.x, y: group.y, share: group.share, members: [...group.items, ...group.queries], group })),
      ...["taste", "profile"].flatMap((kind) => (known.places[kind] ? [{ id: kind, kind, ...known.places[kind], share: 0, members: [] }] : [])),
    ];
    const at = performance.now();
    Object.assign(now, { places: known.places, movers: moved(now.movers, wanted, at, STILL.matches), newest: !first && last !== now.last ? at : now.newest, last });
  }
  return now;
}

function Atlas({ data, kind, user, known }) {
  const { entries, keys } = useMemo(() => colouring(data.items, kind), [data, kind]);
  const points = useMemo(() => grouped(data.items, keys), [data, keys]);
  const [hidden, setHidden] = useState(new Set()), [lit, setLit] = useState(null), [show, setShow] = useState({ movers: true, recent: true });
  useEffect(() => setHidden(new Set()), [data.feature]);
  const { movers, newest } = useMovers(user, known);
  const recent = known.places?.recent ?? [];
  const values = useMemo(() => new Map(data.items.map((item) => [item.item_id, item.value])), [data]);
  const labelOf = (mover) => (mover.kind === "interest" ? nameOf(mover.group, known.itemOf) : mover.kind);
  return html`
    <div class="frame">
      <${Plane} label=${inWords(data, user, known)} points=${points} groups=${entries.filter((one) => !hidden.has(one.key))}
        lit=${hidden.has(lit) ? null : lit} movers=${movers} recent=${recent} newest=${newest} show=${show} labelOf=${labelOf}
        valueOf=${(item) => shown(values.get(item.item_id), VALUES)} onOpen=${(item) => go("items", { item: item.item_id })} />
    </div>
    <${Legend} entries=${entries} hidden=${hidden} onHidden=${setHidden} onLit=${setLit} />
    <div class="row between small">
      ${known.held ? html`<div class="row">${Object.entries(SHOWN).map(([name, text]) => html`
        <label class="check">
          <input type="checkbox" checked=${show[name]} onChange=${(e) => setShow({ ...show, [name]: e.target.checked })} /> ${text}
        </label>`)}</div>` : html`<span></span>`}
      <span class="muted">${count(data.items.length)} items${data.sampled ? ", some of all there are" : ""}. Point, drag, turn the wheel; click opens an item.</span>
    </div>`;
}

function grouped(items, keys) {
  const groups = new Map();
  for (const key of keys) if (!groups.has(key)) groups.set(key, []);
  items.forEach((item, n) => groups.get(keys[n]).push(item));
  return groups;
}

function inWords(data, user, known) {
  const items = `Map of ${data.items.length} items${data.feature ? `, coloured by ${data.feature.replaceAll("_", " ")}` : ""}`;
  if (!known.held) return items;
  const told = known.groups.map((group) => `${nameOf(group, known.itemOf)} ${percent(group.share)}`).join(", ");
  return `${items}, with the interests of ${user}: ${told || "none yet"}`;
}

function Panel({ user, known }) {
  if (!user) {
    return html`<aside class="card panel" aria-label="The user"><h2>Nobody chosen</h2>
      <p class="muted">Choose a user above: one of those who are active now moves within seconds.</p></aside>`;
  }
  return html`
    <aside class="card panel stack" aria-label="The user">
      <div class="row between"><h2><bdi>${user}</bdi></h2><a class="small" href=${href("user", { user })}>all that is known</a></div>
      <${Loaded} from=${known}>${() => !known.held ? !known.loading && html`<p class="muted">Nothing is known of <bdi>${user}</bdi> yet.</p>` : html`
        <${Groups} known=${known} /><${Newest} known=${known} />`}
      <//>
      <a class="button" href=${href("try", { user })}>Try as this user</a>
    </aside>`;
}

function Groups({ known }) {
  const { groups, itemOf, titleOf, places } = known;
  if (!groups.length) return html`<p class="muted">No interests yet: nothing was liked so far.</p>`;
  return html`
    <section><h3>Interests</h3>
      <ul class="plain shares">${groups.map((group, n) => html`
        <li key=${n}>
          <div class="row between"><strong dir="auto">${nameOf(group, itemOf)}</strong><span class="number">${percent(group.share)}</span></div>
          <${Share} share=${group.share} />
          <p class="muted small" dir="auto">${madeOf(group, titleOf)}</p>
        </li>`)}</ul>
      <p class="small key-of">
        <span><i class="ring-of"></i>interest</span>
        ${places.taste && html`<span><i class="star-of">★</i>taste: all that is liked</span>`}
        ${places.profile && html`<span><i class="cross-of">+</i>profile</span>`}
      </p>
    </section>`;
}

function madeOf({ items, queries }, titleOf) {
  const named = [...items.slice(0, NAMED).map(titleOf), ...queries.slice(0, 1).map((query) => `“${query}”`)].join(" · ");
  return items.length > NAMED ? `${named} and ${items.length - NAMED} more` : named;
}

function Newest({ known }) {
  const labels = new Map(known.places.recent.map((one) => [one.item_id, one.label]));
  const titleOf = (id) => labels.get(id) ?? id;
  return html`
    <section><h3>Newest events</h3>
      <ol class="feed plain">${known.held.recent.slice(0, NEWEST).map((event) => html`
        <li key=${event.event_id}>
          <span class="text" title=${sentence(event, titleOf)}><${Sentence} event=${event} titleOf=${titleOf} /></span>
          <span class="muted small number">${ago(event.timestamp)}</span>
        </li>`)}
      </ol>
    </section>`;
}
