// Where in the console one is: the fragment of the address, as `#/page?name=value`.

import { cell } from "./cell.js";
import { useEffect } from "./html.js";
import { query, read } from "./query.js";

function here() {
  const [page, ...written] = location.hash.replace(/^#\/?/, "").split("?");
  return { page: page || "overview", params: read(written.join("?")) };
}

/** The page and its parameters: texts, and lists of them where one is repeated. */
export const route = cell(here());
addEventListener("hashchange", () => route.set(here()));

/** The address of a page. */
export const href = (page, params = {}) => `#/${page}${query(params)}`;

/** Go to a page; `replace`: without a step to go back by. */
export function go(page, params = {}, { replace = false } = {}) {
  if (!replace) location.hash = href(page, params);
  else {
    history.replaceState(null, "", href(page, params));
    route.set(here());
  }
}

/** What is looked at on the page, by its name: a user, an item; null where it is the page alone. */
export const subject = cell(null);

/** A hook: what is looked at is called `text`, or null, while this is shown. */
export function useTitle(text) {
  useEffect(() => {
    subject.set(text);
    return () => subject.set(null);
  }, [text]);
}
