// Events over time: a lane for each type, a dot for each event.

import { count, moment } from "../format.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { go } from "../route.js";
import { axis, ticks } from "./axis.js";
import { inOrder, nameOfType, sentence, signed, told, toneOf } from "./events.js";

const LANE_PX = 34, TOP_PX = 6, FOOT_PX = 26, DOT_PX = 5, APART_PX = 9.5, ROWS = 3;
const GAPS = [["days", 86_400], ["h", 3_600], ["min", 60]];

/**
 * `events`: the newest first; `counts`: all there were, by type; `active`: the id of the event that is
 * pointed at, `onActive` is called with another, or null.
 */
export function Timeline({ events, counts, active, onActive, titleOf }) {
  const place = useRef(), width = useWidth(place);
  const old = [...events].reverse();
  return html`
    <div class="timeline" ref=${place}>
      ${width > 0 && html`<${Lanes} events=${old} counts=${counts} width=${width} active=${active} onActive=${onActive} titleOf=${titleOf} />`}
    </div>
    <${Readout} event=${events.find((one) => one.event_id === active)} shown=${events.length} all=${sumOf(counts)} titleOf=${titleOf} />`;
}

const sumOf = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);

function useWidth(place) {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const seen = new ResizeObserver(() => setWidth(place.current?.clientWidth ?? 0));
    seen.observe(place.current);
    return () => seen.disconnect();
  }, []);
  return width;
}

function Lanes({ events, counts, width, active, onActive, titleOf }) {
  const types = inOrder(new Set(events.map((event) => event.event_type)));
  const names = width < 520 ? 106 : 128, height = TOP_PX + types.length * LANE_PX + FOOT_PX, foot = height - FOOT_PX;
  const laid = axis(events.map((event) => event.timestamp).sort((a, b) => a - b), names + 12, width - 12);
  const dots = placed(events, types, laid, width), stop = dots.some((dot) => dot.event.event_id === active) ? active : events.at(-1).event_id;
  return html`
    <svg width=${width} height=${height} role="group" aria-label="Events over time; the arrow keys go from one to the next"
      onKeyDown=${(e) => step(e, dots)}>
      ${types.map((type, n) => html`
        <g key=${type}>
          <line class="lane" x1=${names} x2=${width} y1=${middle(n)} y2=${middle(n)} />
          <text x="0" y=${middle(n) + 4}>${nameOfType(type)}</text>
          <text class="muted number" x=${names - 10} y=${middle(n) + 4} text-anchor="end">${count(counts[type] ?? 0)}</text>
        </g>`)}
      ${ticks(laid).map(({ x, text }) => html`
        <g key=${text + x}>
          <line class="tick" x1=${x} x2=${x} y1=${TOP_PX} y2=${foot} />
          <text class="muted" x=${x} y=${foot + 18} text-anchor="middle">${text}</text>
        </g>`)}
      ${laid.gaps.map(({ x, s }) => html`
        <g key=${x}><rect class="gap" x=${x - 17} y=${TOP_PX} width="34" height=${foot - TOP_PX} rx="6" />
          <text class="muted" transform=${`translate(${x + 4} ${(TOP_PX + foot) / 2}) rotate(-90)`} text-anchor="middle">${lasting(s)}</text></g>`)}
      ${dots.map(({ event, x, y }) => html`
        <circle key=${event.event_id} data-event=${event.event_id} cx=${x} cy=${y} r=${event.event_id === active ? DOT_PX + 2 : DOT_PX}
          class=${`dot ${event.waiting ? "waiting" : ""} ${event.event_id === active ? "active" : ""}`}
          style=${{ color: `var(--${toneOf(event.event_type)})` }}
          role=${event.item_id ? "link" : "img"} tabindex=${event.event_id === stop ? 0 : -1}
          aria-label=${`${sentence(event, titleOf)}, ${moment(event.timestamp)}`}
          onMouseEnter=${() => onActive(event.event_id)} onMouseLeave=${() => onActive(null)} onFocus=${() => onActive(event.event_id)}
          onClick=${() => open(event)} />`)}
    </svg>`;
}

const middle = (lane) => TOP_PX + (lane + 0.5) * LANE_PX;

function lasting(seconds) {
  const [name, size] = GAPS.find(([, one]) => seconds >= one) ?? ["s", 1];
  return `${Math.round(seconds / size)} ${name}`;
}

/** Dots where their times are; those that would cover each other stand around the place. */
function placed(events, types, laid, width) {
  const bunches = new Map();
  for (const event of events) {
    const lane = types.indexOf(event.event_type), x = laid.at(event.timestamp);
    const key = `${lane} ${Math.round(x / (DOT_PX * 1.6))}`;
    bunches.set(key, [...(bunches.get(key) ?? []), { event, x, lane }]);
  }
  return [...bunches.values()].flatMap((bunch) => spread(bunch, width)).sort((a, b) => a.event.timestamp - b.event.timestamp);
}

function spread(bunch, width) {
  const rows = Math.min(ROWS, bunch.length), columns = Math.ceil(bunch.length / ROWS), reach = ((columns - 1) / 2) * APART_PX;
  const centre = Math.min(bunch[0].x, width - DOT_PX - 2 - reach);
  return bunch.map(({ event, x, lane }, n) => ({
    event,
    x: columns > 1 ? centre - reach + Math.floor(n / ROWS) * APART_PX : x,
    y: middle(lane) + ((n % ROWS) - (rows - 1) / 2) * APART_PX,
  }));
}

function open(event) {
  if (event.item_id) go("items", { item: event.item_id });
}

function step(key, dots) {
  const here = dots.findIndex((dot) => dot.event.event_id === key.target.dataset.event);
  if (key.key === "Enter" && here !== -1) return open(dots[here].event);
  const next = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: dots.length - 1 }[key.key];
  if (next === undefined || here === -1) return;
  key.preventDefault();
  const { event } = dots[Math.max(0, Math.min(dots.length - 1, next))];
  key.currentTarget.querySelector(`[data-event="${CSS.escape(event.event_id)}"]`)?.focus();
}

function Readout({ event, shown, all, titleOf }) {
  if (!event) {
    const which = shown < all ? `The newest ${shown} of ${count(all)} events.` : "All events.";
    return html`<p class="readout small muted">${which} Point at a dot, or go through them with the arrow keys.</p>`;
  }
  const { did, what, rest } = told(event, titleOf);
  const more = `${moment(event.timestamp)}, counts ${signed(event.weight)}${event.waiting ? ", waits for its item" : ""}`;
  return html`<p class="readout small"><strong>${did} <bdi>${what}</bdi>${rest}</strong> <span class="muted">${more}</span></p>`;
}
