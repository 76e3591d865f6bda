// Choosing a user: one that is known, any other by name, or somebody new.

import { get, useLoad } from "../api.js";
import { html, useEffect, useState } from "../html.js";
import { ID_FIELD } from "../ids.js";

const OFFERED = 50;
const NAMES = ["amber", "basil", "cedar", "dahlia", "elm", "fern", "ginger", "hazel", "iris", "juniper", "laurel", "maple", "olive", "poppy", "rowan", "sage"];

/** `onChoose` is called with the id of a user. */
export function ChooseUser({ user, onChoose, invent = false }) {
  const [text, setText] = useState(user);
  const known = useLoad((signal) => get("/v1/users", { limit: OFFERED }, { signal }), []);
  const users = known.data?.users ?? [];
  useEffect(() => setText(user), [user]);
  const submit = (event) => {
    event.preventDefault();
    if (text) onChoose(text);
  };
  const write = (event) => {
    const { value } = event.target;
    setText(value);
    if (isPick(event) && users.some((one) => one.user_id === value)) onChoose(value);
  };
  return html`
    <form class="row" onSubmit=${submit}>
      <label class="wide">User <input ...${ID_FIELD} list="users" value=${text} onInput=${write} /></label>
      <datalist id="users">${users.map((one) => html`<option key=${one.user_id} value=${one.user_id}>${one.event_count} events</option>`)}</datalist>
      <button>Look</button>
      ${invent && html`<button type="button" onClick=${() => onChoose(somebody())}>Somebody new</button>`}
    </form>`;
}

/** Whether a text was put in whole, as what is offered is, not typed. */
const isPick = ({ inputType }) => !inputType || inputType === "insertReplacementText";

const somebody = () => `${NAMES[Math.floor(Math.random() * NAMES.length)]}-${Math.floor(Math.random() * 9_000 + 1_000)}`;
