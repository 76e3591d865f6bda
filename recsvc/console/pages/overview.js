// Overview: how much comes in, how soon it is in the lists, what is wrong, what it costs.

import { get, useLoad } from "../api.js";
import { ago, count, ms, percent, usd } from "../format.js";
import { html, useState } from "../html.js";
import { Chart } from "../parts/chart.js";
import { Columns } from "../parts/columns.js";
import { Sentence, sentence } from "../parts/events.js";
import { Processes, rate, since, useProcesses } from "../parts/processes.js";
import { Loaded, Tile } from "../parts/state.js";
import { href } from "../route.js";
import { useTitles } from "../titles.js";

const EVERY_MS = 2_000, SPAN_S = 300, WINDOW_S = 60, FEED = 16;
const STEPS = { freshness: "event to list", recommend: "one list", pipeline: "a micro-batch", append: "made durable", embed: "embedded", upsert: "upserted" };

export function Overview() {
  const stats = useLoad((signal) => get("/v1/stats", {}, { signal }), [], { every: EVERY_MS });
  const processes = useProcesses(stats.data);
  return html`
    <h1>Overview</h1>
    <p class="lead">What this process does at the moment; the charts begin when this page is opened.</p>
    <div class="stack">
      <${Parts} />
      <${Processes} ...${processes} />
      <${Loaded} from=${stats}>${() => html`<${Figures} past=${processes.past} />`}<//>
    </div>`;
}

function Figures({ past }) {
  const { stats } = past.at(-1), folds = folded(stats) > 0 || accepted(stats) === 0;
  return html`
    <${Tiles} past=${past} folds=${folds} />
    <div class="grid two">
      <${Rates} past=${past} folds=${folds} />
      <${Freshness} past=${past} />
    </div>
    <div class="grid two">
      <${Distribution} past=${past} step="freshness" title="Event to visible" />
      <${Distribution} past=${past} step="recommend" title="Time to make a list" />
    </div>
    <div class="grid two">
      <div class="stack">
        <${Steps} stats=${stats} />
        <${Providers} stats=${stats} />
      </div>
      <${Feed} />
    </div>`;
}

const total = (name) => (stats) => stats.events?.[name] ?? 0;
const accepted = total("accepted"), folded = total("folded"), failed = total("dead_letter");
const ONLY_ACCEPTS = "folded by workers; this process only accepts";

/** How many of the events that were folded while one looked did not fail, or since the start where none was. */
function success(past) {
  const { stats } = past.at(-1), first = since(past, SPAN_S), sum = folded(stats) - folded(first.stats);
  if (sum > 0) return [Math.max(0, 1 - (failed(stats) - failed(first.stats)) / sum), `of ${count(sum)} in ${spanned(past, SPAN_S)}`];
  return folded(stats) > 0 ? [stats.success_rate, "since the start"] : [null, "nothing folded here"];
}

/** How long it is since where differences begin, in words. */
const spanned = (past, seconds) => `the last ${Math.round(past.at(-1).at - since(past, seconds).at)} s`;

function Tiles({ past, folds }) {
  const { stats } = past.at(-1), { costs, steps_lately: lately, totals } = stats;
  const perSecond = rate(past, folds ? folded : accepted).at(-1), [share, of] = success(past);
  return html`
    <div class="grid tiles">
      <${Tile} name=${folds ? "Events a second" : "Accepted a second"} value=${count(perSecond)}
        note=${folds ? `${count(totals.events)} in the log` : ONLY_ACCEPTS} />
      <${Tile} name="Event to visible" value=${ms(lately.freshness?.p50)} note=${`p99 ${ms(lately.freshness?.p99)}, last minute`} />
      <${Tile} name="Success" value=${percent(share, 1)} note=${html`${of}, <a href=${href("dead-letters")}>${count(totals.dead_letters ?? 0)} dead letters</a>`} />
      <${Tile} name="Queue" value=${count(stats.queue_depth)} note="events not folded yet" />
      <${Tile} name="Cost today" value=${usd(costs.today_usd)} note=${html`<a href=${href("costs")}>${usd(costs.projected_month_usd)} this month, projected</a>`} />
      <${Tile} name="Catalogue" value=${count(totals.indexed_items)} note=${`${count(totals.users)} users`} />
    </div>`;
}

function Rates({ past, folds }) {
  const lines = [{ label: "accepted", tone: "together", values: rate(past, accepted) }];
  if (folds) lines.push({ label: "folded", tone: "accent", fill: true, values: rate(past, folded) });
  return html`
    <section class="card">
      <div class="row between"><h2>Events a second</h2>${!folds && html`<span class="muted small">${ONLY_ACCEPTS}</span>`}</div>
      <${Chart} label=${`Events ${lines.map((one) => one.label).join(" and ")} a second`} times=${past.map((one) => one.at)}
        format=${count} span_s=${SPAN_S} lines=${lines} />
    </section>`;
}

function Freshness({ past }) {
  const of = (name) => past.map((one) => one.stats.steps_lately.freshness?.[name] ?? null);
  return html`
    <section class="card">
      <h2>Event to visible, milliseconds, over a minute</h2>
      <${Chart} label="Percentiles of the time from an event to its visibility" times=${past.map((one) => one.at)} format=${ms} tick=${count} span_s=${SPAN_S} lines=${[
        { label: "p50", tone: "accent", values: of("p50") },
        { label: "p95", tone: "profile", values: of("p95") },
        { label: "p99", tone: "hot", values: of("p99") },
      ]} />
    </section>`;
}

/** How long a step took lately, as a share of its runs by duration; since the start where it was not taken. */
function Distribution({ past, step, title }) {
  const now = past.at(-1).stats.distributions?.[step];
  const before = past.length > 1 && since(past, WINDOW_S).stats.distributions?.[step];
  const lately = before ? now?.counts.map((n, place) => n - before.counts[place]) : null, isLately = Boolean(lately?.some(Boolean));
  const counts = isLately ? lately : now?.counts, sum = counts?.reduce((a, b) => a + b, 0);
  const span = isLately ? spanned(past, WINDOW_S) : "since the start";
  return html`
    <section class="card">
      <div class="row between"><h2>${title}</h2><span class="muted small">${span}${sum ? `, ${count(sum)} times` : ""}</span></div>
      ${sum ? html`<${Columns} edges=${now.edges_ms} counts=${counts} sum=${sum} />` : html`<p class="empty">Nothing yet</p>`}
    </section>`;
}

function Parts() {
  const ready = useLoad((signal) => get("/readyz", {}, { signal }), [], { every: EVERY_MS });
  return html`
    <section class="card row" aria-label="Parts">
      <${Loaded} from=${ready}>${({ parts }) => Object.entries(parts).map(([name, state]) => html`
        <span class=${`health ${kindOf(state)}`} key=${name}>${name.replaceAll("_", " ")}
          ${state && state !== "ok" && html` <span class="muted small">${state}</span>`}</span>`)}
      <//>
    </section>`;
}

const kindOf = (state) => (state === "ok" ? "good" : state ? "warn" : "idle");

function Feed() {
  const feed = useLoad((signal) => get("/v1/events", { limit: FEED }, { signal }), [], { every: EVERY_MS });
  const titleOf = useTitles((feed.data?.events ?? []).map((one) => one.item_id).filter(Boolean));
  return html`
    <section class="card">
      <h2>Newest events</h2>
      <${Loaded} from=${feed}>${({ events }) => events.length === 0 ? html`<p class="empty">No event yet</p>` : html`
        <ol class="feed plain">${events.map((one) => html`
          <li key=${one.position}>
            <span class="text" title=${`${one.user_id} ${sentence(one, titleOf)}`}>
              <a href=${href("user", { user: one.user_id })}><bdi>${one.user_id}</bdi></a> <${Sentence} event=${one} titleOf=${titleOf} /></span>
            <span class="muted small number">${ago(one.accepted_at)}</span>
          </li>`)}</ol>`}
      <//>
    </section>`;
}

function Steps({ stats }) {
  const [lately, setLately] = useState(true);
  const steps = lately ? stats.steps_lately : stats.steps;
  return html`
    <section class="card">
      <div class="row between"><h2>Steps</h2>
        <div class="row" role="group" aria-label="Which">
          <button aria-pressed=${lately} onClick=${() => setLately(true)}>The last minute</button>
          <button aria-pressed=${!lately} onClick=${() => setLately(false)}>The newest 10,000</button>
        </div></div>
      <div class="scroll" tabindex="0" role="region" aria-label="How long each step takes"><table>
        <thead><tr><th scope="col">step</th>${["p50", "p95", "p99"].map((name) => html`<th scope="col" class="number">${name}</th>`)}</tr></thead>
        <tbody>${Object.entries(steps).map(([name, one]) => html`
          <tr key=${name}><td>${name.replaceAll("_", " ")}${Object.hasOwn(STEPS, name) && html` <span class="muted small">${STEPS[name]}</span>`}</td>
            <td class="number">${ms(one.p50)}</td><td class="number">${ms(one.p95)}</td><td class="number">${ms(one.p99)}</td></tr>`)}
        </tbody></table></div>
    </section>`;
}

function Providers({ stats }) {
  return html`
    <section class="card">
      <h2>Provider calls since the start</h2>
      ${stats.provider.length === 0 ? html`<p class="empty">None: texts are embedded and profiles counted on this machine.</p>` : html`
        <div class="scroll" tabindex="0" role="region" aria-label="Provider calls"><table>
          <thead><tr><th scope="col">purpose</th><th scope="col">model</th><th scope="col">calls</th>
            <th scope="col" class="number">tokens</th><th scope="col" class="number">cost</th></tr></thead>
          <tbody>${stats.provider.map((one) => html`
            <tr key=${[one.purpose, one.provider, one.model].join(" ")}><td>${one.purpose}</td><td>${one.model}<br /><span class="muted small">${one.provider}</span></td>
              <td>${Object.entries(one.calls).map(([outcome, n]) => html`<div class=${outcome === "ok" ? "" : "bad"}>${n} ${outcome}</div>`)}</td>
              <td class="number">${count(one.tokens)}</td><td class="number">${usd(one.cost_usd)}</td></tr>`)}
          </tbody></table></div>`}
    </section>`;
}
