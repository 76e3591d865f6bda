// A time axis that folds long gaps, so that what happened close together can be told apart.

import { clock, day, minute } from "../format.js";

const FOLDED_PX = 54, FOLDED_MAX = 3, FOLD_SHARE = 0.4, FOLD_LEAST_S = 60, PIECE_LEAST_PX = 40, TICK_PX = 84;
const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000];
const DAY_S = 86_400;

/** The gaps that are folded, by the place of the time before each: the longest, while they are most of what is left. */
function folds(times) {
  const gaps = times.slice(1).map((time, n) => ({ n, s: time - times[n] })).sort((a, b) => b.s - a.s);
  let span = times.at(-1) - times[0];
  const folded = [];
  for (const { n, s } of gaps.slice(0, FOLDED_MAX)) {
    if (s < FOLD_LEAST_S || s < span * FOLD_SHARE) break;
    folded.push(n);
    span -= s;
  }
  return folded.sort((a, b) => a - b);
}

/**
 * Lay `times` (unix seconds, in order, at least one) out between `left` and `right` pixels.
 * Gives `{at, pieces, gaps}`: `at(time)` a pixel, `gaps`: `[{x, s}]` the folded ones.
 */
export function axis(times, left, right) {
  const cuts = folds(times), starts = [0, ...cuts.map((n) => n + 1)], ends = [...cuts, times.length - 1];
  const spans = starts.map((start, n) => times[ends[n]] - times[start]), sum = spans.reduce((a, b) => a + b, 0);
  const free = Math.max(0, right - left - FOLDED_PX * cuts.length - PIECE_LEAST_PX * spans.length);
  let x = left;
  const pieces = spans.map((span, n) => {
    const wide = PIECE_LEAST_PX + free * (sum > 0 ? span / sum : 1 / spans.length);
    const piece = { from: times[starts[n]], to: times[ends[n]], left: x, right: x + wide };
    x += wide + FOLDED_PX;
    return piece;
  });
  const gaps = cuts.map((n, k) => ({ x: pieces[k].right + FOLDED_PX / 2, s: times[n + 1] - times[n] }));
  return { at: (time) => placed(pieces, time), pieces, gaps };
}

function placed(pieces, time) {
  const { from, to, left, right } = pieces.find((piece) => time <= piece.to) ?? pieces.at(-1);
  return to > from ? left + ((time - from) / (to - from)) * (right - left) : (left + right) / 2;
}

/** Where the axis is written on: `[{x, text}]`, no two too close. */
export function ticks({ pieces }) {
  const now = Date.now() / 1000;
  const all = pieces.flatMap(({ from, to, left, right }) => {
    const perPixel = (to - from) / (right - left), step = STEPS_S.find((one) => one >= perPixel * TICK_PX) ?? STEPS_S.at(-1);
    const zone = new Date(from * 1000).getTimezoneOffset() * 60, found = [];
    for (let at = Math.ceil((from - zone) / step) * step + zone; at <= to && perPixel > 0; at += step) {
      found.push({ x: left + (at - from) / perPixel, text: written(at, step, now) });
    }
    return found.length ? found : [{ x: (left + right) / 2, text: written((from + to) / 2, to - from, now) }];
  });
  const kept = [];
  for (const tick of all) if (!kept.length || tick.x - kept.at(-1).x >= TICK_PX * 0.8) kept.push(tick);
  return kept;
}

function written(seconds, step, now) {
  if (step >= DAY_S) return day(seconds);
  if (now - seconds >= DAY_S) return `${day(seconds)} ${minute(seconds)}`;
  return step < 60 ? clock(seconds) : minute(seconds);
}
