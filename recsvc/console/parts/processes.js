// The figures of a process over time, where one of several answers: each has a past of its own.

import { html, useRef, useState } from "../html.js";

const KEPT = 150, SILENT_S = 10, GONE_S = 60;

/**
 * A hook: from the newest answer to those of one process: `{past: [{at, stats}], names, shown, show}`. The one that is shown
 * stays while it answers, or until another is chosen.
 */
export function useProcesses(stats) {
  const held = useRef({ all: new Map(), shown: null }), [, redraw] = useState(0), now = held.current;
  if (stats) {
    note(now.all, stats);
    const last = now.all.get(now.shown)?.at(-1), newest = now.all.get(stats.instance).at(-1);
    if (!last || newest.at - last.at > SILENT_S) now.shown = stats.instance;
  }
  const show = (name) => {
    now.shown = name;
    redraw((n) => n + 1);
  };
  return { past: now.all.get(now.shown) ?? [], names: [...now.all.keys()], shown: now.shown, show };
}

function note(all, stats) {
  const past = all.get(stats.instance) ?? [], at = Date.now() / 1000;
  if (past.at(-1)?.stats === stats) return;
  all.set(stats.instance, [...past, { at, stats }].slice(-KEPT));
  for (const [name, one] of [...all]) if (one.at(-1).at < at - GONE_S) all.delete(name);
}

export function Processes({ names, shown, show }) {
  if (names.length < 2) return null;
  return html`
    <div class="row small" role="group" aria-label="Processes that answer">
      <span class="muted">${names.length} processes answer in turn; the figures are those of</span>
      ${names.map((name) => html`<button key=${name} aria-pressed=${name === shown} onClick=${() => show(name)}><code>${name}</code></button>`)}
    </div>`;
}

/** What was counted a second, between each answer and the one before. */
export function rate(past, read) {
  return past.map((now, n) => {
    const before = past[n - 1];
    return before ? Math.max(0, (read(now.stats) - read(before.stats)) / (now.at - before.at)) : null;
  });
}

/** The answer from which differences begin: the newest that is `seconds` older than the last, or the first. */
export const since = (past, seconds) => past.findLast((one) => one.at <= past.at(-1).at - seconds) ?? past[0];
