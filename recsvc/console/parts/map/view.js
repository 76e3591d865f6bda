// The part of the map that is seen: pure reckoning between places (−1 to 1) and pixels.

const EDGE = 0.9, BEYOND = 0.3, CLOSEST = 40, ROOM = 1.5;

/** The whole map. `k`: how much larger, `x`, `y`: the place in the middle. */
export const WHOLE = { k: 1, x: 0, y: 0 };

const scaleX = (view, size) => (size.width / 2) * EDGE * view.k;
const scaleY = (view, size) => (size.height / 2) * EDGE * view.k;

/** A function from a place to pixels. */
export function onto(view, size) {
  const kx = scaleX(view, size), ky = scaleY(view, size);
  return (place) => [(place.x - view.x) * kx + size.width / 2, (view.y - place.y) * ky + size.height / 2];
}

function within({ k, x, y }) {
  const close = Math.min(Math.max(k, 1), CLOSEST), far = 1 - 1 / close + BEYOND / close;
  return { k: close, x: Math.min(far, Math.max(-far, x)), y: Math.min(far, Math.max(-far, y)) };
}

/** Closer by `factor`, with what is at the pixel `px`, `py` staying there. */
export function closer(view, size, factor, px = size.width / 2, py = size.height / 2) {
  const k = Math.min(Math.max(view.k * factor, 1), CLOSEST), right = px - size.width / 2, down = py - size.height / 2;
  const share = 1 - view.k / k;
  return within({ k, x: view.x + (right / scaleX(view, size)) * share, y: view.y - (down / scaleY(view, size)) * share });
}

/** Moved by pixels, as if the map was dragged. */
export const dragged = (view, size, dx, dy) => within({ k: view.k, x: view.x - dx / scaleX(view, size), y: view.y + dy / scaleY(view, size) });

/** So that all `places` are seen. */
export function around(places) {
  const xs = places.map((place) => place.x), ys = places.map((place) => place.y);
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const k = 2 / (Math.max(right - left, high - low, 0.25) * ROOM);
  return within({ k, x: (left + right) / 2, y: (low + high) / 2 });
}

/** On the way from one to another; `t` from 0 to 1. */
export const between = (from, to, t) => ({
  k: from.k * (to.k / from.k) ** t,
  x: from.x + (to.x - from.x) * t,
  y: from.y + (to.y - from.y) * t,
});
