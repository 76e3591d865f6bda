// A user's list as it is now, and how soon what is done here is in it.

import { at, get, useLoad } from "../api.js";
import { useEffect, useLayoutEffect, useRef, useState } from "../html.js";
import { follow, sendEvent } from "../live.js";
import { remember } from "../titles.js";
import { useBefore } from "./ranked.js";

const LISTED = 12, TOLD = 8, SAME = "the order stays";

/**
 * A hook: `{list, before, took, since, story, act}`. `act(event, said)` sends an event; `took`: what became of the
 * last: `{said, error}`, or once a list has it `{said, change, pushed_ms, shown_ms, server_ms}`; `since`: what
 * something else has changed after that; `story`: the acts, the newest first.
 */
export function useLiveList(user, wishes) {
  const [took, setTook] = useState(null), [since, setSince] = useState(null), [story, setStory] = useState([]);
  const landed = useRef([]); // acts that the service has folded, and no list has shown so far
  const { list, before } = useList(user, wishes, (data, change) => {
    const isIn = (one) => one.landed <= data.push.at; // an answer comes before its push
    const last = landed.current.findLast(isIn);
    landed.current = landed.current.filter((one) => !isIn(one));
    if (last || change !== SAME || !data.push.missed) setSince(last ? null : change);
    if (!last) return;
    const { at: start, said, server_ms } = last;
    setTook({ said, change, pushed_ms: data.push.at - start, shown_ms: performance.now() - start, server_ms });
  });
  const act = async (event, said) => {
    const start = performance.now();
    const tell = (more = {}) => setStory((was) => [{ said, key: start, ...more }, ...was].slice(0, TOLD));
    try {
      const { success, error, latency_ms: server_ms, recommendations_updated: isFolded } = await sendEvent({ user_id: user, ...event });
      if (!success) throw new Error(error ?? "It could not be folded.");
      tell();
      if (isFolded) landed.current = [...landed.current, { at: start, landed: performance.now(), said, server_ms }].slice(-TOLD);
      else setTook({ said, error: "Taken, and not in lists so far." });
    } catch (error) {
      tell({ error: error.message });
      setTook({ said, error: error.message });
    }
  };
  return { list, before, took, since, story, act };
}

/** The list, again after each push; `onNews` is called with what a push brought, once it is drawn, and what is different. */
function useList(user, wishes, onNews) {
  const pushed = useRef(null), shown = useRef(null);
  const list = useLoad(async (signal) => {
    const push = pushed.current; // which a list that is asked for from now on has
    const data = await get(at("users", user, "recommendations"), { limit: LISTED, explain: true, ...wishes }, { signal });
    remember(data.items);
    return { ...data, push };
  }, [user, JSON.stringify(wishes)]);
  useEffect(() => follow(user, LISTED, (update) => {
    pushed.current = { at: performance.now(), missed: update === null };
    list.reload();
  }), [user]);
  const before = useBefore(list.data);
  useLayoutEffect(() => {
    const { data } = list, was = shown.current;
    shown.current = data;
    if (was && data.push !== was.push) onNews(data, changed(before, data.items));
  }, [list.data]);
  return { list, before };
}

function changed(before, items) {
  const fresh = items.filter((item) => !before.includes(item.item_id)).length;
  const moved = items.filter((item, n) => before.includes(item.item_id) && before.indexOf(item.item_id) !== n).length;
  return [fresh && `${fresh} new`, moved && `${moved} moved`].filter(Boolean).join(", ") || SAME;
}
