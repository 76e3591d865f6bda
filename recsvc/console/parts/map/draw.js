// Draws the map on a canvas: items, then what a user did, then where the user's interests are.

import { shown } from "./movers.js";
import { onto } from "./view.js";

const LABELS_MAX = 45, LABELLED_FROM = 3, LABEL_MAX = 34, RING_LEAST_PX = 9, RING_PX = 62, PULSE_MS = 1_400;
const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif";

/** The radius of an interest's ring. */
const ringOf = (share) => RING_LEAST_PX + RING_PX * Math.sqrt(Math.max(share, 0)) * 0.75;

const dotOf = (view) => Math.min(2.8 * view.k ** 0.4, 8);

function corners(pen, first, ...others) {
  pen.moveTo(...first);
  for (const corner of others) pen.lineTo(...corner);
  pen.closePath();
}

const SHAPES = {
  circle: (pen, x, y, r) => { pen.moveTo(x + r, y); pen.arc(x, y, r, 0, 7); },
  square: (pen, x, y, r) => pen.rect(x - r * 0.88, y - r * 0.88, r * 1.76, r * 1.76),
  triangle: (pen, x, y, r) => corners(pen, [x, y - r * 1.2], [x + r * 1.1, y + r * 0.8], [x - r * 1.1, y + r * 0.8]),
  diamond: (pen, x, y, r) => corners(pen, [x, y - r * 1.25], [x + r * 1.25, y], [x, y + r * 1.25], [x - r * 1.25, y]),
};

/**
 * `scene`: `{view, size, points, groups, movers, recent, newest, show, lit, picked, aimed, labelOf, tones, at}`;
 * `points`: the items by the key of their group; `movers`: those that have not faded; `picked`: the item that is
 * pointed at; `aimed`: whether by keys; `labelOf` gives a mover's name.
 */
export function draw(pen, scene) {
  const { size, view } = scene, to = onto(view, size);
  pen.clearRect(0, 0, size.width, size.height);
  const written = [];
  points(pen, scene, to);
  if (scene.show.recent) recent(pen, scene, to);
  if (scene.show.movers) movers(pen, scene, to, written);
  if (scene.picked) picked(pen, scene, to);
  if (view.k >= LABELLED_FROM) names(pen, scene, to, written);
  if (scene.aimed) aim(pen, scene);
}

function points(pen, { view, size, points: byKey, groups, tones, lit, show, movers: user }, to) {
  const r = dotOf(view), crowd = show.movers && user.length > 0;
  for (const group of [...groups].reverse()) {
    const rest = group.tone === "rest";
    pen.fillStyle = tones[group.tone];
    pen.globalAlpha = lit && lit !== group.key ? 0.12 : rest ? 0.5 : crowd ? 0.72 : 0.88;
    pen.beginPath();
    for (const point of byKey.get(group.key) ?? []) {
      const [x, y] = to(point);
      if (x > -r && y > -r && x < size.width + r && y < size.height + r) SHAPES[group.shape](pen, x, y, rest ? r * 0.85 : r);
    }
    pen.fill();
  }
  pen.globalAlpha = 1;
}

/** The newest events as dots that are joined, the older the fainter; the newest swells once. */
function recent(pen, { recent: events, tones, at, newest }, to) {
  const faint = (n) => 0.08 + 0.82 * (1 - n / Math.max(events.length, 6)) ** 1.6;
  pen.lineWidth = 1.5;
  pen.strokeStyle = tones.text;
  for (let n = events.length - 1; n > 0; n -= 1) {
    pen.globalAlpha = faint(n) * 0.55;
    pen.beginPath();
    pen.moveTo(...to(events[n]));
    pen.lineTo(...to(events[n - 1]));
    pen.stroke();
  }
  for (let n = events.length - 1; n >= 0; n -= 1) {
    const [x, y] = to(events[n]);
    pen.globalAlpha = faint(n);
    disc(pen, x, y, n === 0 ? 5.5 : 4, events[n].negative ? tones.bad : tones.text, tones.surface);
  }
  if (events.length && pulsing(newest, at)) {
    const t = (at - newest) / PULSE_MS;
    pen.globalAlpha = 1 - t;
    ring(pen, ...to(events[0]), 6 + 26 * t, tones.text, 2);
  }
  pen.globalAlpha = 1;
}

/** How long the newest event swells. */
export const pulsing = (newest, at) => newest !== null && at - newest < PULSE_MS;

function disc(pen, x, y, r, fill, edge) {
  pen.beginPath();
  pen.arc(x, y, r, 0, 7);
  pen.fillStyle = fill;
  pen.fill();
  pen.lineWidth = 1.5;
  pen.strokeStyle = edge;
  pen.stroke();
}

function ring(pen, x, y, r, stroke, width) {
  pen.beginPath();
  pen.arc(x, y, r, 0, 7);
  pen.lineWidth = width;
  pen.strokeStyle = stroke;
  pen.stroke();
}

function movers(pen, scene, to, written) {
  const here = scene.movers.map((one) => ({ ...one, now: shown(one, scene.at) }));
  for (const one of here) trail(pen, one, scene, to);
  for (const one of here.filter(({ kind }) => kind === "interest")) interest(pen, one, scene, to);
  for (const one of here.filter(({ kind }) => kind !== "interest")) star(pen, one, scene, to);
  const taken = here.map((one) => around(to(one.now), one.kind === "interest" ? 4 : 8));
  for (const one of here.sort((a, b) => b.share - a.share)) label(pen, one, scene, to, written, taken);
  written.push(...taken);
}

const toneOf = (mover, tones) => (mover.kind === "interest" ? tones.accent : mover.kind === "taste" ? tones.hot : tones.profile);

function trail(pen, mover, { tones }, to) {
  const places = [...mover.trail, mover.now].map(to);
  pen.strokeStyle = pen.fillStyle = toneOf(mover, tones);
  for (let n = 1; n < places.length; n += 1) {
    pen.globalAlpha = 0.12 + 0.6 * (n / places.length);
    pen.lineWidth = mover.kind === "interest" ? 3 : 2;
    pen.beginPath();
    pen.moveTo(...places[n - 1]);
    pen.lineTo(...places[n]);
    pen.stroke();
    pen.beginPath();
    pen.arc(...places[n - 1], 3, 0, 7);
    pen.fill();
  }
  pen.globalAlpha = 1;
}

function interest(pen, { now }, { tones }, to) {
  const [x, y] = to(now), r = ringOf(now.share);
  pen.globalAlpha = 0.16;
  pen.fillStyle = tones.accent;
  pen.beginPath();
  pen.arc(x, y, r, 0, 7);
  pen.fill();
  pen.globalAlpha = 1;
  ring(pen, x, y, r, tones.surface, 4.5);
  ring(pen, x, y, r, tones.accent, 2.25);
}

/** Taste is a star, the profile a cross in a disc. */
function star(pen, mover, { tones }, to) {
  const [x, y] = to(mover.now), tone = toneOf(mover, tones), r = 8;
  if (mover.kind === "taste") {
    pen.beginPath();
    for (let n = 0; n < 10; n += 1) {
      const far = n % 2 ? r * 0.5 : r * 1.25, turn = (n * Math.PI) / 5 - Math.PI / 2;
      pen.lineTo(x + far * Math.cos(turn), y + far * Math.sin(turn));
    }
    pen.closePath();
    pen.lineWidth = 3;
    pen.strokeStyle = tones.surface;
    pen.stroke();
    pen.fillStyle = tone;
    pen.fill();
    return;
  }
  disc(pen, x, y, r, tone, tones.surface);
  pen.strokeStyle = tones.surface;
  pen.lineWidth = 2;
  pen.beginPath();
  pen.moveTo(x - 4, y);
  pen.lineTo(x + 4, y);
  pen.moveTo(x, y - 4);
  pen.lineTo(x, y + 4);
  pen.stroke();
}

const around = ([x, y], r) => ({ left: x - r, right: x + r, top: y - r, bottom: y + r });
const covers = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

/** A name at the first of four sides where it covers nothing that is written. */
function label(pen, mover, { labelOf, tones, size }, to, written, taken) {
  const text = labelOf(mover);
  if (!text || mover.gone) return;
  pen.font = `600 13px ${FONT}`;
  const [x, y] = to(mover.now), r = mover.kind === "interest" ? ringOf(mover.now.share) : 10, wide = pen.measureText(text).width;
  if (x < -r || y < -r || x > size.width + r || y > size.height + r) return;
  const sides = [[x - wide / 2, y - r - 7], [x - wide / 2, y + r + 17], [x + r + 6, y + 4], [x - r - 6 - wide, y + 4]];
  const boxes = sides.map(([left, base]) => ({ left: left - 2, right: left + wide + 2, top: base - 13, bottom: base + 4 }));
  const free = boxes.find((box) => box.left > 0 && box.right < size.width && box.top > 0 && box.bottom < size.height
    && ![...written, ...taken].some((other) => covers(box, other)));
  if (!free && mover.kind !== "interest") return;
  const box = free ?? boxes[0], left = Math.min(Math.max(box.left, 4), size.width - wide - 6);
  written.push({ ...box, left, right: left + wide + 4 });
  write(pen, text, left + 2, Math.max(box.bottom - 4, 14), tones.text, tones.surface);
}

function write(pen, text, x, y, tone, edge) {
  pen.lineJoin = "round";
  pen.lineWidth = 4;
  pen.strokeStyle = edge;
  pen.strokeText(text, x, y);
  pen.fillStyle = tone;
  pen.fillText(text, x, y);
}

function picked(pen, { picked: point, tones, view }, to) {
  const [x, y] = to(point), r = dotOf(view) + 4;
  ring(pen, x, y, r, tones.surface, 5);
  ring(pen, x, y, r, tones.text, 2);
}

/** The names of items, where it is close enough that they have room. */
function names(pen, { points: byKey, groups, size, tones, view }, to, written) {
  pen.font = `12px ${FONT}`;
  let left = LABELS_MAX;
  for (const group of groups) {
    for (const point of byKey.get(group.key) ?? []) {
      const [x, y] = to(point);
      if (x < 0 || y < 10 || x > size.width || y > size.height - 4) continue;
      const text = point.label.length > LABEL_MAX ? `${[...point.label].slice(0, LABEL_MAX - 1).join("")}…` : point.label;
      const start = x + dotOf(view) + 4, box = { left: start - 2, right: start + text.length * 6.2, top: y - 9, bottom: y + 9 };
      if (box.right > size.width || written.some((other) => covers(box, other))) continue;
      written.push(box);
      write(pen, text, start, y + 4, tones.muted, tones.surface);
      if ((left -= 1) === 0) return;
    }
  }
}

/** Where the keys look: the middle. */
function aim(pen, { size, tones }) {
  const x = size.width / 2, y = size.height / 2;
  pen.strokeStyle = tones.muted;
  pen.lineWidth = 1;
  pen.beginPath();
  for (const [a, b] of [[-14, -5], [5, 14]]) {
    pen.moveTo(x + a, y);
    pen.lineTo(x + b, y);
    pen.moveTo(x, y + a);
    pen.lineTo(x, y + b);
  }
  pen.stroke();
}
