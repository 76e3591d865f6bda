// What was written and not sent: kept while the console is open, whatever page is looked at.

import { cell } from "../cell.js";
import { html } from "../html.js";
import { Confirm } from "./confirm.js";

/** Drafts by key, each `{changed, …}`; leaving the console with changed ones is asked about. */
export const drafts = cell(new Map());

/** A hook: the draft under a key or null, what sets it, and what drops it. */
export function useDraft(key) {
  const draft = drafts.use().get(key) ?? null;
  return [draft, (next) => put(key, next), () => put(key, null)];
}

function put(key, draft) {
  const all = new Map(drafts.get());
  if (draft) all.set(key, draft);
  else all.delete(key);
  drafts.set(all);
}

/** A draft of what is gone. `text`: what is gone; `written`: what was written of it; `children`: what else can be done. */
export function Orphan({ name, text, written, children }) {
  const [draft, , drop] = useDraft(name);
  return draft?.changed && html`
    <section class="notice stack tight" aria-label=${text}>
      <p>${text} What you wrote is still here:</p>
      <pre tabindex="0" role="group" aria-label="What you wrote">${written}</pre>
      <div class="row">
        ${children}
        <${Confirm} text="Discard" question="What you wrote is nowhere else. Discard it?" yes="Discard it" danger=${false} onYes=${drop} />
      </div>
    </section>`;
}

addEventListener("beforeunload", (event) => {
  if ([...drafts.get().values()].some((one) => one.changed)) event.preventDefault();
});
