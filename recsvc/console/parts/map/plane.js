// The plane that the map is drawn on: what is seen of it, what is pointed at, and when it is drawn.

import { html, useEffect, useMemo, useRef, useState } from "../../html.js";
import { STILL } from "../../media.js";
import { tone } from "../chart.js";
import { draw, pulsing } from "./draw.js";
import { faded, gliding } from "./movers.js";
import { listen } from "./pointers.js";
import { WHOLE, around, between, closer, dragged, onto } from "./view.js";

const REACH_PX = 14, AIM_PX = 80, GLIDE_MS = 260, STEP_PX = 70, ZOOM = 1.5;
const TONES = ["text", "muted", "surface", "line", "accent", "hot", "profile", "bad", "rest",
  ...[1, 2, 3, 4, 5, 6, 7, 8].map((n) => `c${n}`), ...[1, 2, 3, 4, 5].map((n) => `s${n}`)];

/**
 * `points`: items by the key of their group; `groups`: those that are shown; `movers`, `recent`: of a user;
 * `newest`: when the newest event came, in milliseconds of the page, or null; `valueOf` writes an item's value;
 * `onOpen` is called with an item; `label` says what the canvas shows.
 */
export function Plane({ label, valueOf, onOpen, ...scene }) {
  const place = useRef(), canvas = useRef(), plane = useRef();
  const [tip, setTip] = useState(null);
  useEffect(() => {
    plane.current = makePlane(place.current, canvas.current, setTip, (item) => latest.current.onOpen(item));
    return plane.current.end;
  }, []);
  const latest = useRef();
  latest.current = { onOpen };
  useEffect(() => plane.current.show(scene));
  const user = useMemo(() => [...scene.movers.filter((one) => !one.gone), ...scene.recent.slice(0, 1)], [scene.movers, scene.recent]);
  return html`
    <div class="plane" ref=${place} tabindex="0" role="group"
      aria-label="The map; arrow keys move it, plus and minus zoom, 0 shows all, Enter opens the item in the middle">
      <canvas ref=${canvas} role="img" aria-label=${label}></canvas>
      ${tip && html`<${Tip} tip=${tip} value=${valueOf(tip.item)} onOpen=${onOpen} />`}
      <p class="hidden" role="status">${tip?.byKey ? `${tip.item.label}, ${valueOf(tip.item)}` : ""}</p>
    </div>
    <div class="plane-keys" role="group" aria-label="What is seen of the map">
      <button aria-label="Closer" title="Closer (+)" onClick=${() => plane.current.zoom(ZOOM)}>+</button>
      <button aria-label="Farther" title="Farther (−)" onClick=${() => plane.current.zoom(1 / ZOOM)}>−</button>
      <button aria-label="Show all" title="Show all (0)" onClick=${() => plane.current.go(WHOLE)}>All</button>
      ${user.length > 0 && html`<button title="Show where the user is" onClick=${() => plane.current.go(around(user))}>User</button>`}
    </div>`;
}

function Tip({ tip: { item, x, y, size, isTouch }, value, onOpen }) {
  const below = y < 90, inside = `translateX(-${(x / Math.max(size.width, 1)) * 100}%)`;
  const style = below ? { left: `${x}px`, top: `${y + 16}px`, transform: inside } : { left: `${x}px`, bottom: `${size.height - y + 14}px`, transform: inside };
  return html`
    <div class=${`map-tip ${isTouch ? "open" : ""}`} style=${style} key=${item.item_id + below}>
      <strong dir="auto">${item.label}</strong>${value && html`<span class="muted small" dir="auto">${value}</span>`}
      ${isTouch && html`<button class="link small" onClick=${() => onOpen(item)}>Open in Items</button>`}
    </div>`;
}

function makePlane(place, canvas, setTip, onOpen) {
  const pen = canvas.getContext("2d");
  let scene = null, view = WHOLE, way = null, picked = null, aimed = false, tones = {}, size = { width: 0, height: 0 }, frame = 0;

  const paint = () => { tones = Object.fromEntries(TONES.map((name) => [name, tone(name)])); };
  const redraw = () => { frame ||= requestAnimationFrame(drawn); };

  function drawn() {
    frame = 0;
    if (!scene || !size.width) return;
    const at = performance.now();
    if (way) {
      const t = Math.min((at - way.since) / GLIDE_MS, 1);
      view = between(way.from, way.to, 1 - (1 - t) ** 3);
      if (t === 1) way = null;
    }
    place.dataset.near = view.k > 1.01;
    const movers = scene.movers.filter((one) => !faded(one, at));
    draw(pen, { ...scene, movers, view, size, tones, picked, aimed, at });
    if (way || !STILL.matches && (gliding(scene.movers, at) || pulsing(scene.newest, at))) redraw();
    else if (aimed) pick(nearest(size.width / 2, size.height / 2, AIM_PX), { byKey: true });
  }

  function resize() {
    const ratio = devicePixelRatio || 1;
    size = { width: place.clientWidth, height: place.clientHeight };
    canvas.width = Math.round(size.width * ratio);
    canvas.height = Math.round(size.height * ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    redraw();
  }

  function nearest(x, y, reach = REACH_PX) {
    if (!scene) return null;
    const to = onto(view, size), shown = scene.groups.flatMap((group) => scene.points.get(group.key) ?? []);
    let found = null, least = reach;
    for (const point of scene.show.recent ? [...shown, ...scene.recent] : shown) {
      const [px, py] = to(point), far = Math.hypot(px - x, py - y);
      if (far < least) [found, least] = [point, far];
    }
    return found;
  }

  function pick(item, more = {}) {
    if (item?.item_id === picked?.item_id && !more.isTouch) return;
    picked = item;
    const [x, y] = item ? onto(view, size)(item) : [0, 0];
    setTip(item && { item, x, y, size, ...more });
    redraw();
  }

  function look(next) {
    if (next.k === view.k && next.x === view.x && next.y === view.y) return false;
    [view, way] = [next, null];
    pick(null);
    redraw();
    return true;
  }

  function go(next) {
    pick(null);
    way = STILL.matches ? null : { from: view, to: next, since: performance.now() };
    if (!way) view = next;
    redraw();
  }

  const target = () => way?.to ?? view;
  const zoom = (factor) => go(closer(target(), size, factor));
  const pan = (dx, dy) => go(dragged(target(), size, dx * STEP_PX, dy * STEP_PX));
  const KEYS = {
    "+": () => zoom(ZOOM), "=": () => zoom(ZOOM), "-": () => zoom(1 / ZOOM), 0: () => go(WHOLE),
    ArrowLeft: () => pan(1, 0), ArrowRight: () => pan(-1, 0), ArrowUp: () => pan(0, 1), ArrowDown: () => pan(0, -1),
    Enter: () => picked && onOpen(picked), Escape: () => pick(null),
  };
  const onKey = (event) => {
    if (event.target !== place || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
    event.preventDefault();
    aimed = event.key !== "Escape";
    KEYS[event.key]();
  };
  const onBlur = () => { aimed = false; redraw(); };

  const deafen = listen(canvas, {
    drag: (dx, dy) => look(dragged(view, size, dx, dy)),
    zoom: (factor, x, y) => look(closer(view, size, factor, x, y)),
    point(x, y) {
      aimed = false;
      const item = nearest(x, y);
      canvas.style.cursor = item ? "pointer" : "";
      pick(item);
    },
    leave: () => !aimed && pick(null),
    tap(x, y, isTouch) {
      const item = nearest(x, y);
      if (isTouch) pick(item, { isTouch });
      else if (item) onOpen(item);
    },
  });
  const sized = new ResizeObserver(resize), themed = new MutationObserver(() => { paint(); redraw(); });
  sized.observe(place);
  themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  place.addEventListener("keydown", onKey);
  place.addEventListener("blur", onBlur);
  paint();
  return {
    zoom,
    go,
    show(next) { scene = next; redraw(); },
    end() {
      deafen();
      sized.disconnect();
      themed.disconnect();
      place.removeEventListener("keydown", onKey);
      place.removeEventListener("blur", onBlur);
      cancelAnimationFrame(frame);
    },
  };
}
