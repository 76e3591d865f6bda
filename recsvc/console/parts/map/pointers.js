// Wheel, mouse and fingers over the map: dragging, pinching, pointing and tapping.

const CLICK_PX = 5, WHEEL = 0.0016;

/**
 * Listen to `place`; returns what ends it. `on`: `{drag(dx, dy), zoom(factor, x, y), point(x, y), leave(), tap(x, y, isTouch)}`;
 * `zoom` says whether anything changed, so that the page scrolls where the map cannot.
 */
export function listen(place, on) {
  const down = new Map();
  let start = null, far = false;
  const where = (event) => {
    const box = place.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const spread = () => {
    const [a, b] = [...down.values()];
    return { apart: Math.hypot(a.x - b.x, a.y - b.y), x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
  };
  const handlers = {
    pointerdown(event) {
      if (event.button !== 0) return;
      down.set(event.pointerId, where(event));
      far = down.size > 1;
      place.setPointerCapture(event.pointerId);
      start = where(event);
    },
    pointermove(event) {
      const now = where(event), was = down.get(event.pointerId);
      if (!was) return down.size || event.pointerType === "touch" ? undefined : on.point(now.x, now.y);
      if (!far && Math.hypot(now.x - start.x, now.y - start.y) < CLICK_PX) return undefined;
      far = true;
      if (down.size === 2) {
        const before = spread();
        down.set(event.pointerId, now);
        const after = spread();
        on.zoom(after.apart / Math.max(before.apart, 1), after.x, after.y);
        on.drag(after.x - before.x, after.y - before.y);
      } else {
        down.set(event.pointerId, now);
        on.drag(now.x - was.x, now.y - was.y);
      }
      return undefined;
    },
    pointerup(event) {
      if (!down.delete(event.pointerId) || far) return;
      const { x, y } = where(event);
      on.tap(x, y, event.pointerType === "touch");
    },
    pointercancel: (event) => down.delete(event.pointerId),
    pointerleave: (event) => event.pointerType === "touch" || on.leave(),
    wheel(event) {
      const { x, y } = where(event), lines = event.deltaMode === 1 ? 16 : 1;
      if (on.zoom(Math.exp(-event.deltaY * lines * WHEEL * (event.ctrlKey ? 4 : 1)), x, y)) event.preventDefault();
    },
  };
  for (const [name, handler] of Object.entries(handlers)) place.addEventListener(name, handler, { passive: false });
  return () => {
    for (const [name, handler] of Object.entries(handlers)) place.removeEventListener(name, handler);
  };
}
