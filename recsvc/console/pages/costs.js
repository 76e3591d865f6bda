// Costs: what models cost, day by day, against the budget, and at other models' prices.

import { get, useLoad } from "../api.js";
import { count, dated, ms, percent, usd } from "../format.js";
import { html, useState } from "../html.js";
import { Bars } from "../parts/chart.js";
import { Days, daysUntil } from "../parts/days.js";
import { Fine, Loaded, Tile } from "../parts/state.js";
import { href } from "../route.js";

const EVERY_MS = 10_000;
const SPANS = { 7: "7 days", 30: "30 days", 90: "90 days" };
const EMBEDDING = "embedding";
const TONES = { embedding: "together", profile: "profile", summary: "popular" };
const MORE_TONES = ["event", "hot", "rule", "history"];

export function Costs() {
  const [days, setDays] = useState(30);
  const costs = useLoad(async (signal) => ({ ...await get("/v1/costs", { days }, { signal }), days }), [days], { every: EVERY_MS });
  const stats = useLoad((signal) => get("/v1/stats", {}, { signal }), []);
  return html`
    <div class="row between"><h1>Costs</h1>
      <label><span class="hidden">Days in the charts</span><select value=${days} onChange=${(e) => setDays(Number(e.target.value))}>
        ${Object.entries(SPANS).map(([n, text]) => html`<option value=${n}>${text}</option>`)}</select></label></div>
    <p class="lead">What calls to model providers cost, of all tenants together, in US dollars. Days are UTC; the month is the calendar's.</p>
    <${Loaded} from=${costs}>${(data) => {
      const used = data.rows.length > 0 || data.daily.length > 0;
      if (!used && stats.data?.providers.length === 0) return html`<${Free} />`;
      return html`
        <div class="stack">
          <${Tiles} costs=${data} />
          <${Budget} budget=${data.budget} />
          ${used ? html`<${Charts} costs=${data} />`
            : html`<p class="card empty">No call has been made yet. Send some events, and come back.</p>`}
          ${data.rows.length > 0 && html`<${Models} rows=${data.rows} />`}
          <div class="grid two">
            ${data.alternatives.length > 0 && html`<${Alternatives} costs=${data} />`}
            ${data.users.length > 0 && html`<${Dearest} users=${data.users} />`}
          </div>
        </div>`;
    }}
    <//>`;
}

const Free = () => html`
  <${Fine} title="Nothing here costs anything">
    <p class="muted">No provider is set: texts are embedded and profiles counted on this machine.</p>
    <p class="muted">With one, texts are understood better and profiles are written by a model. Any OpenAI-compatible endpoint will do:</p>
    <pre tabindex="0" role="group" aria-label="How to set a provider">export RECSVC_PROVIDER_BASE_URL=https://your-provider/v1
export RECSVC_PROVIDER_API_KEY=sk-...
export RECSVC_BUDGET_DAY_USD=5   # at most so much a day
recsvc serve</pre>
  <//>`;

function Tiles({ costs }) {
  const { unpriced_calls: unpriced } = costs;
  const known = unpriced ? html`<span class="warn">their cost is not in the sums</span>` : "every price is known";
  return html`
    <div class="grid tiles">
      <${Tile} name="Today" value=${usd(costs.today_usd)} note=${dated(costs.day)} />
      <${Tile} name="Month to date" value=${usd(costs.month_usd)} note=${`${count(costs.events)} events`} />
      <${Tile} name="This month, projected" value=${usd(costs.projected_month_usd)} note="if it goes on like this" />
      <${Tile} name="Per 1,000 events" value=${usd(costs.per_1000_events_usd)} note="this month" />
      <${Tile} name="Unpriced calls" value=${count(unpriced)} note=${known} />
    </div>`;
}

const STATES = {
  ok: ["good", "Within the budget"],
  warning: ["warn", "80 % is reached"],
  spent: ["bad", "Stopped: no LLM call begins before midnight UTC; profiles are counted meanwhile"],
};

const NoBudget = () => html`
  <section class="card"><h2>Budget today</h2>
    <p class="muted">No budget is set. <code>RECSVC_BUDGET_DAY_USD=5</code> would stop calls to LLMs at five dollars a day;
      profiles are counted from then on.</p></section>`;

function Budget({ budget }) {
  const { day_usd: day, user_day_usd: user, spent_usd: spent, state } = budget;
  if (day === null && user === null) return html`<${NoBudget} />`;
  const [tone, text] = STATES[state] ?? ["muted", state], share = day ? spent / day : null;
  const limits = [share !== null && percent(share), user !== null && `at most ${usd(user)} for one user`].filter(Boolean).join(", ");
  return html`
    <section class="card stack budget">
      <div class="row between"><h2>Budget today</h2><span class=${`state ${tone}`}>${text}</span></div>
      ${day !== null && html`
        <div class="meter" role="meter" aria-label="Spent of the day's budget" aria-valuemin="0" aria-valuemax=${day}
          aria-valuenow=${Math.min(spent, day)} aria-valuetext=${`${usd(spent)} of ${usd(day)}`}>
          <span class=${tone} style=${{ width: `${Math.min(1, share ?? 1) * 100}%` }}></span><i></i>
        </div>`}
      <div class="row between small">
        <span><strong>${usd(spent)}</strong> ${day === null ? "spent" : `of ${usd(day)}`} <span class="muted">on calls that count</span></span>
        <span class="muted">${limits}</span>
      </div>
    </section>`;
}

/** Sum up one figure by day and name. */
function byDay(days, rows, nameOf, valueOf) {
  const places = new Map(days.map((day, n) => [day, n])), sums = new Map();
  for (const row of rows) {
    const place = places.get(row.day), name = nameOf(row);
    if (place === undefined) continue;
    if (!sums.has(name)) sums.set(name, days.map(() => 0));
    sums.get(name)[place] += valueOf(row);
  }
  return sums;
}

/** Series of a colour each, the same for a purpose everywhere. */
function inColours(sums) {
  const names = [...sums.keys()].sort(), others = names.filter((name) => !(name in TONES));
  return names.map((name) => ({ name, tone: TONES[name] ?? MORE_TONES[others.indexOf(name) % MORE_TONES.length], values: sums.get(name) }));
}

const dollars = (value) => `$${Number(value.toPrecision(2))}`;
const purpose = (row) => row.purpose;

function Charts({ costs }) {
  const days = daysUntil(costs.day, costs.days), { daily } = costs;
  const tokens = (name, field, tone) =>
    ({ name, tone, values: byDay(days, daily, () => name, (row) => row[field]).get(name) ?? days.map(() => 0) });
  const both = [tokens("sent", "tokens_in", "event"), tokens("received", "tokens_out", "hot")];
  const dollarsBy = byDay(days, daily, purpose, (row) => row.cost_usd), calls = byDay(days, daily, purpose, (row) => row.calls);
  const events = byDay(days, costs.events_daily, () => "events", (row) => row.events);
  return html`
    <section class="card stack"><h2>Dollars a day, by purpose</h2>
      <${Days} label="Dollars a day, by purpose" days=${days} series=${inColours(dollarsBy)} format=${usd} tick=${dollars} /></section>
    <div class="grid three">
      <section class="card stack"><h2>Tokens a day</h2>
        <${Days} label="Tokens a day" days=${days} series=${both} format=${count} /></section>
      <section class="card stack"><h2>Calls a day</h2>
        <${Days} label="Calls a day" days=${days} series=${inColours(calls)} format=${count} /></section>
      <section class="card stack"><h2>Events a day</h2>
        <${Days} label="Events a day" days=${days} series=${inColours(events)} format=${count} /></section>
    </div>`;
}

const FIGURES = ["calls", "failed", "tokens sent", "received", "mean time", "today", "month"];
const numbers = (names) => names.map((name) => html`<th scope="col" class="number">${name}</th>`);

function Models({ rows }) {
  const month = (row) => (row.unpriced_calls ? html`<span class="warn" title=${`${row.unpriced_calls} calls without a price`}>unknown</span>`
    : usd(row.month_usd));
  return html`
    <section class="card">
      <h2>By purpose and model, this month</h2>
      <div class="scroll" tabindex="0" role="region" aria-label="By purpose and model"><table>
        <thead><tr><th scope="col">purpose</th><th scope="col">model</th>${numbers(FIGURES)}</tr></thead>
        <tbody>${rows.map((row) => html`
          <tr><td>${row.purpose}</td><td>${row.model}<br /><span class="muted small">${row.provider}</span></td>
            <td class="number">${count(row.calls)}</td><td class=${`number ${row.failed ? "bad" : "muted"}`}>${count(row.failed)}</td>
            <td class="number">${count(row.tokens_in)}</td><td class="number">${count(row.tokens_out)}</td>
            <td class="number">${ms(row.latency_ms_mean)}</td><td class="number">${usd(row.today_usd)}</td><td class="number">${month(row)}</td></tr>`)}
        </tbody></table></div>
    </section>`;
}

/** This month's LLM traffic, at what it did cost and would cost. */
function Alternatives({ costs }) {
  const paid = costs.rows.filter((row) => row.purpose !== EMBEDDING).reduce((sum, row) => sum + row.month_usd, 0);
  const text = (value, ratio) => (ratio === null ? usd(value) : `${usd(value)} · ${ratio.toFixed(ratio < 10 ? 2 : 0)} ×`);
  const rows = [
    ...costs.alternatives.map((one) => ({ name: one.model, value: one.month_usd, text: text(one.month_usd, one.ratio) })),
    { name: "as it is", value: paid, tone: "now", text: text(paid, 1) },
  ].sort((a, b) => a.value - b.value);
  return html`
    <section class="card">
      <h2>The same traffic at other models' prices</h2>
      <p class="muted small">This month's calls to LLMs; embeddings are not among them.</p>
      <${Bars} rows=${rows} />
    </section>`;
}

function Dearest({ users }) {
  return html`
    <section class="card">
      <h2>Users that cost most, this month</h2>
      <div class="scroll" tabindex="0" role="region" aria-label="Users that cost most"><table>
        <thead><tr><th scope="col">user</th>${numbers(["calls", "tokens", "month"])}</tr></thead>
        <tbody>${users.map((one) => html`
          <tr><td><a href=${href("user", { user: one.user_id })}><bdi>${one.user_id}</bdi></a> <span class="muted small">${one.tenant}</span></td>
            <td class="number">${count(one.calls)}</td><td class="number">${count(one.tokens_in + one.tokens_out)}</td>
            <td class="number">${usd(one.cost_usd)}</td></tr>`)}
        </tbody></table></div>
    </section>`;
}
