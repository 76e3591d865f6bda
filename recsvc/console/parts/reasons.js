// Reasons: what an item's score is made of, as a bar and in words.

import { done, splitTerm } from "../format.js";
import { html } from "../html.js";

const KINDS = {
  together: "goes together", event: "like earlier events", profile: "profile", hot: "hot now",
  popular: "popular", history: "history", rule: "rules and the rest",
};
const NAMED = 2;

const kindOf = (reason) => (Object.hasOwn(KINDS, reason.kind) ? reason.kind : "rule");
const sum = (parts) => parts.reduce((total, [, value]) => total + value, 0);

/** What speaks for an item and what against it, each `[[kind, value above 0]]`: the score is the difference of their sums. */
function balance(item) {
  const sums = new Map();
  for (const one of item.reasons) sums.set(kindOf(one), (sums.get(kindOf(one)) ?? 0) + one.contribution);
  const parts = Object.keys(KINDS).filter((kind) => sums.get(kind)).map((kind) => [kind, sums.get(kind)]);
  const losses = parts.filter(([, value]) => value < 0).map(([kind, value]) => [kind, -value]);
  return { gains: parts.filter(([, value]) => value > 0), losses };
}

/** The most that speaks for any of `items`: what fills a bar. */
export const reach = (items) => Math.max(...items.map((item) => sum(balance(item).gains)), 1e-9);

/** What the colours of the bars stand for. */
export function Key({ items }) {
  const used = new Set(items.flatMap((item) => item.reasons.map(kindOf)));
  const taken = items.some((item) => balance(item).losses.length);
  return html`
    <div class="key">
      ${Object.entries(KINDS).filter(([kind]) => used.has(kind)).map(([kind, text]) => html`<span><i class=${kind}></i>${text}</span>`)}
      ${taken && html`<span><i class="taken"></i>taken away</span>`}
    </div>`;
}

/** The contributions of an item, side by side; hatched at the end what others take away. `top`: what fills the bar. */
export function Blend({ item, top }) {
  const { gains, losses } = balance(item), gained = sum(gains), lost = Math.min(sum(losses), gained);
  const named = (parts, sign) => parts.map(([kind, value]) => `${KINDS[kind]} ${sign}${value.toFixed(3)}`);
  const told = [...named(gains, ""), ...named(losses, "−")].join(", ") || "nothing counted";
  const wide = (value, of) => ({ width: `${(value / of) * 100}%` });
  return html`
    <div class="blend-of">
      <div class="blend" role="img" aria-label=${told} title=${told}>
        ${gained > 0 && html`
          <div class="gains" style=${wide(gained, top)}>
            ${gains.map(([kind, value]) => html`<span class=${kind} style=${wide(value, gained)}></span>`)}
            ${lost > 0 && html`<i class="taken" style=${wide(lost, gained)}></i>`}
          </div>`}
      </div>
      <span class="muted small number">${item.score.toFixed(3)}</span>
    </div>`;
}

/** What speaks most for an item, in a sentence; all that was counted where it is asked for. `who`: "you" or "they". */
export function Why({ item, titleOf, who, all = false }) {
  const ordered = [...item.reasons].sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution));
  if (all) {
    return html`<ul class="plain small">${ordered.map((one) => html`
      <li class="row between"><span>${inWords(one, titleOf, who)}</span>
        <span class="number">${one.contribution > 0 ? "+" : ""}${one.contribution.toFixed(4)}</span></li>`)}</ul>`;
  }
  const speaking = ordered.filter((one) => one.contribution > 0);
  return (speaking.length ? speaking : ordered).slice(0, NAMED).map((one, n) => html`${n ? " · " : ""}${inWords(one, titleOf, who)}`);
}

/** One reason in words. */
function inWords(reason, titleOf, who) {
  const { kind, item_id: id, times } = reason, name = id && html`<bdi>${titleOf(id)}</bdi>`;
  switch (kind) {
    case "together": return html`${times > 1 ? `${times} people` : "others"} who took up ${name} took this up too`;
    case "event": return id ? html`like ${name}, which ${who} ${done(reason.event_type)}`
      : html`matches ${who === "you" ? "your" : "their"} search <bdi>“${reason.query}”</bdi>`;
    case "profile": return reason.feature === "others" ? "other preferences"
      : html`${who} ${reason.weight < 0 ? "avoid" : "like"} <bdi>${inPlain(reason.feature)}</bdi>`;
    case "hot": return "many take it up at the moment";
    case "popular": return "popular";
    case "history": return `what ${who} did before`;
    case "explore": return "shown to learn about it";
    case "pin": return "has its place by a rule";
    case "fatigue": return "less, for being shown before";
    case "dislike": return `less, for being like what ${who} disliked`;
    case "novelty": return "less, for being popular";
    case "rule": return "a rule";
    default: return kind;
  }
}

function inPlain(term) {
  const [feature, value] = splitTerm(term);
  return feature ? `${value} (${feature.replaceAll("_", " ")})` : value;
}

/** The items whose names the reasons of `items` need. */
export const namedIn = (items) => items.flatMap((item) => item.reasons.map((one) => one.item_id).filter(Boolean));
