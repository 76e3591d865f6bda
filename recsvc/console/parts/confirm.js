// A button that asks before it does what cannot be undone.

import { html, useLayoutEffect, useRef, useState } from "../html.js";

/** `question`: a sentence; `yes`: what the button that does it says, `text` where it is not told. */
export function Confirm({ text, question, yes = text, onYes, disabled = false, danger = true }) {
  const dialog = useRef(), pressed = useRef(null);
  const [open, setOpen] = useState(false);
  useLayoutEffect(() => { if (open) dialog.current.showModal(); }, [open]); // with its buttons in it, to have the focus
  const close = () => dialog.current.close();
  const beside = (event) => event.target === dialog.current && pressed.current === dialog.current; // all of it is in an element
  return html`
    <button type="button" class=${danger ? "danger" : ""} disabled=${disabled} aria-haspopup="dialog" onClick=${() => setOpen(true)}>${text}</button>
    <dialog ref=${dialog} class="card" aria-label=${text} onClose=${() => setOpen(false)}
      onPointerDown=${(e) => { pressed.current = e.target; }} onClick=${(e) => beside(e) && close()}>
      ${open && html`
        <div class="stack">
          <p>${question}</p>
          <div class="row end">
            <button type="button" autofocus onClick=${close}>Leave it</button>
            <button type="button" class="main danger" onClick=${() => { close(); onYes(); }}>${yes}</button>
          </div>
        </div>`}
    </dialog>`;
}
