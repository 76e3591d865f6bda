// Following a user: loading again soon after each change of them.

import { useEffect, useRef } from "../html.js";
import { follow } from "../live.js";
import { seen } from "../load.js";

const FOLLOWED = 5, SOON_MS = 150;

/** A hook: call `again` after changes of `user`, once for changes close together, and when the page is seen. */
export function useFollow(user, again) {
  const latest = useRef(again);
  latest.current = again;
  useEffect(() => {
    if (!user) return undefined;
    const gone = new AbortController();
    let timer = null;
    const tell = async () => {
      await seen(gone.signal);
      timer = null;
      latest.current();
    };
    const end = follow(user, FOLLOWED, () => { timer ??= setTimeout(tell, SOON_MS); });
    return () => {
      clearTimeout(timer);
      gone.abort();
      end();
    };
  }, [user]);
}
