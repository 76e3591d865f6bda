// Erasing a user: what goes is named before, and what became of it is told after.

import { at, call } from "../api.js";
import { count } from "../format.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { Confirm } from "./confirm.js";

/** `known`: what is known of the user; `onErased` is called with the answer, `onFailed` with why there is none. */
export function Erase({ user, known, onErased, onFailed }) {
  const [busy, setBusy] = useState(false);
  const erase = async () => {
    setBusy(true);
    await call("DELETE", at("users", user)).then(onErased, onFailed);
    setBusy(false);
  };
  return html`<${Confirm} text=${busy ? "Erasing …" : "Erase"} yes=${`Erase ${user}`} disabled=${busy} onYes=${erase} question=${html`
    Erase <strong><bdi>${user}</bdi></strong>? These go and do not come back: ${goes(known).join("; ")}.
    Then all of it is looked for again. Items stay.`} />`;
}

function goes({ event_count: events, groups, profile, waiting }) {
  return [
    `${count(events)} ${events === 1 ? "event" : "events"} in the log${waiting ? `, ${count(waiting)} of them waiting` : ""}`,
    `the vectors of the user’s taste${groups.length ? ` and of ${groups.length} ${groups.length === 1 ? "interest" : "interests"}` : ""}`,
    ...(profile ? [`the profile with ${Object.keys(profile.weights).length} weights`] : []),
    "cached lists and what was noted of calls to models",
  ];
}

/** What became of it; it is where one goes on from, as the button is gone. */
export function Erased({ answer: { events, verified } }) {
  const place = useRef();
  useEffect(() => place.current.focus(), []);
  return html`
    <p class=${`notice ${verified ? "fine" : "bad"}`} tabindex="-1" ref=${place}>
      <strong>${verified ? "Erased and verified" : "Erased, but not verified"}</strong>: ${count(events)} ${events === 1 ? "event is" : "events are"} gone.
      ${" "}${verified ? "Everything was looked for again, and nothing was found." : "Something of the user was still found afterwards: erase again."}
    </p>`;
}
