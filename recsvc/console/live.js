// The live connection: it comes back by itself, and whoever follows a user is told of what was missed.

import { call } from "./api.js";
import { cell } from "./cell.js";
import { Lost, dial } from "./socket.js";

const RETRY_MS = 500, RETRY_MAX_MS = 10_000, OPEN_MS = 2_000;

/** `connecting`, `open` or `closed`. */
export const connection = cell("closed");

const followed = new Map(); // by user: {limit, tell: set of functions}
const opening = []; // called when it is known whether there is a connection
let link = null, failures = 0, timer;

/**
 * Have `tell` called with each update of a user, and with null where some may have been missed: to
 * load again what is shown. Returns what ends it.
 */
export function follow(user, limit, tell) {
  const topic = followed.get(user) ?? { limit: 0, tell: new Set() };
  topic.tell.add(tell);
  followed.set(user, topic);
  const more = limit > topic.limit;
  topic.limit = Math.max(limit, topic.limit);
  if (!link) connect();
  else if (more && link.open()) subscribe([user]);
  return () => {
    topic.tell.delete(tell);
    if (topic.tell.size || followed.get(user) !== topic) return;
    followed.delete(user);
    link?.send({ type: "unsubscribe", user_id: user });
  };
}

/**
 * Send an event of a user; resolves to its `sync_result`. It goes by a request where there is no
 * WebSocket; its id makes it count once, also where it was sent by both.
 */
export async function sendEvent(event) {
  const sent = { event_id: newId(), ...event };
  if (await opened()) {
    try {
      return await link.ask({ type: "user_event", ...sent });
    } catch (error) {
      if (!(error instanceof Lost)) throw error;
    }
  }
  return post(sent);
}

async function post(event) {
  const { results } = await call("POST", "/v1/events?wait=applied", { body: event });
  const { success = true, latency_ms = null, profile_updated = false, error = null } = results?.[0] ?? {};
  setTimeout(() => tellAll([event.user_id])); // after the answer, as a push comes
  return { type: "sync_result", success, latency_ms, recommendations_updated: profile_updated, event_id: event.event_id, error };
}

/** A random id, also on pages that came by plain HTTP from another machine. */
function newId() {
  return crypto.randomUUID?.() ?? [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Whether there is a connection; waits for the first attempt only, and not for long. */
async function opened() {
  if (!link && !failures) connect();
  if (link && !link.open() && !failures) {
    await new Promise((resolve) => {
      opening.push(resolve);
      setTimeout(resolve, OPEN_MS);
    });
  }
  return Boolean(link?.open());
}

function tellAll(users) {
  for (const user of users) for (const tell of [...followed.get(user)?.tell ?? []]) tell(null);
}

/** Subscribe, and have what came before that loaded again: it is certain once a ping is answered. */
function subscribe(users) {
  for (const user of users) link.send({ type: "subscribe", user_id: user, limit: followed.get(user).limit });
  link.ask({ type: "ping" }).then(() => tellAll(users), () => {});
}

function connect() {
  clearTimeout(timer);
  connection.set("connecting");
  link = dial({ onOpen, onHeard, onUpdate, onLost });
}

function onOpen() {
  subscribe([...followed.keys()]);
  for (const go of opening.splice(0)) go();
}

function onHeard() {
  failures = 0;
  connection.set("open");
}

function onUpdate(update) {
  for (const tell of [...followed.get(update.user_id)?.tell ?? []]) tell(update);
}

function onLost() {
  link = null;
  connection.set("closed");
  for (const go of opening.splice(0)) go();
  const wait_ms = Math.min(RETRY_MS * 2 ** failures++, RETRY_MAX_MS) * (0.5 + Math.random());
  timer = setTimeout(() => { if (followed.size) connect(); }, wait_ms);
}

addEventListener("online", () => { if (!link && followed.size) connect(); });
