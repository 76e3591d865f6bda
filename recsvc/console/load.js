// Loading what a page shows: when it is asked for, again from time to time, and again where it failed.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";

const AGAIN_MS = 5_000;
const FINAL = [403, 422]; // asking again does not change it

/**
 * Load something when `deps` change, and again each `every` milliseconds. Gives `{data, error, loading,
 * reload, at}`; what is loaded stays until there is something newer; `at`: when it came, in unix seconds.
 * There is one request at a time, and none while the page is hidden.
 */
export function useLoad(load, deps, { every = 0 } = {}) {
  const [state, setState] = useState({ data: null, error: null, loading: true, at: null });
  const loader = useRef(null), run = useCallback(load, deps);
  useEffect(() => {
    setState((before) => ({ ...before, loading: true }));
    const gone = new AbortController();
    loader.current = keepLoading(run, every, setState, gone.signal);
    loader.current();
    return () => gone.abort();
  }, [run, every]);
  const reload = useCallback(() => { loader.current?.(); }, []);
  return { ...state, reload };
}

/** Give a function that loads now, or once more after what is under way. */
function keepLoading(load, every, tell, signal) {
  let busy = false, more = false, timer;
  const once = async () => {
    try {
      const data = await load(signal);
      if (!signal.aborted) tell({ data, error: null, loading: false, at: Date.now() / 1000 });
      return every;
    } catch (error) {
      if (signal.aborted) return 0;
      tell((before) => ({ ...before, error, loading: false }));
      return FINAL.includes(error.status) ? 0 : every || (error.passes ? AGAIN_MS : 0);
    }
  };
  const again = async () => {
    clearTimeout(timer);
    more ||= busy;
    if (busy || signal.aborted) return;
    busy = true;
    let wait;
    do {
      await seen(signal);
      more = false; // what was asked for until now is answered by what begins now
      wait = await once();
    } while (more && !signal.aborted);
    busy = false;
    if (wait && !signal.aborted) timer = setTimeout(again, wait);
  };
  signal.addEventListener("abort", () => clearTimeout(timer));
  return again;
}

/** Wait until the page is seen; for ever where `signal` aborts before. */
export async function seen(signal) {
  while (document.hidden) {
    await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true, signal }));
  }
}
