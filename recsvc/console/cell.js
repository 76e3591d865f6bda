// Cells: values that several parts look at, and that redraw them when they change.

import { useEffect, useState } from "preact/hooks";

/** Make a cell; `use` is a hook that gives its value and follows it. */
export function cell(value) {
  const watchers = new Set();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const watch of [...watchers]) watch(next);
    },
    use() {
      const [seen, see] = useState(value);
      useEffect(() => {
        see(value); // it may have changed since it was drawn
        watchers.add(see);
        return () => watchers.delete(see);
      }, []);
      return seen;
    },
  };
}

/**
 * Make a cell whose value, a text, outlives the page in `storage`, which is "localStorage" or
 * "sessionStorage"; where the browser forbids that, it is forgotten with the page.
 */
export function kept(storage, name, fallback) {
  const held = cell(attempt(() => window[storage].getItem(name)) ?? fallback);
  const { set } = held;
  held.set = (next) => {
    attempt(() => (next === fallback ? window[storage].removeItem(name) : window[storage].setItem(name, next)));
    set(next);
  };
  return held;
}

/** Do what a browser may forbid, or have no room for. */
function attempt(task) {
  try {
    return task();
  } catch (error) {
    if (error instanceof DOMException) return null;
    throw error;
  }
}
