// One WebSocket to the service. Messages are answered in the order they are sent; silence ends it.

import { apiKey } from "./api.js";

const PING_MS = 30_000, ANSWER_MS = 10_000;

/** The connection was lost before the answer came, which may yet be true of what was sent. */
export class Lost extends Error {}

/**
 * Connect. `onHeard` is called with the first message, as a service with no room accepts and closes
 * at once; `onUpdate` with each push; `onLost` once, when it is over. Gives `{open, ask, send}`.
 */
export function dial({ onOpen, onHeard, onUpdate, onLost }) {
  const socket = new WebSocket(address());
  const waiting = []; // what was asked and not answered, in order: {id, resolve, reject}; `id`: of an event
  let heard = false, over = false, silence = setTimeout(end, ANSWER_MS);

  const open = () => !over && socket.readyState === WebSocket.OPEN;
  const send = (message) => { if (open()) socket.send(JSON.stringify(message)); };
  const ask = (message) => new Promise((resolve, reject) => {
    if (!open()) return reject(new Lost("There is no connection."));
    waiting.push({ id: message.event_id, resolve, reject });
    send(message);
    silence ??= setTimeout(end, ANSWER_MS);
  });
  const ping = () => ask({ type: "ping" }).catch(() => {});
  const beat = setInterval(ping, PING_MS);

  function end() { // not by closing alone, which waits for an answer, too
    if (over) return;
    over = true;
    clearTimeout(silence);
    clearInterval(beat);
    document.removeEventListener("visibilitychange", ping);
    socket.close();
    for (const one of waiting.splice(0)) one.reject(new Lost("The connection was lost before the answer came."));
    onLost();
  }

  const settle = (place, how, value) => { if (place >= 0) waiting.splice(place, 1)[0]?.[how](value); };
  const answers = {
    pong: (message) => settle(waiting.findIndex((one) => !one.id), "resolve", message),
    sync_result: (message) => settle(waiting.findIndex((one) => one.id === message.event_id), "resolve", message),
    // of the oldest event; where a ping is older, of what was subscribed to before that
    error: ({ message }) => settle(waiting[0]?.id ? 0 : -1, "reject", new Error(message)),
    recommendation_update: onUpdate,
  };
  socket.onmessage = ({ data }) => {
    if (over) return;
    clearTimeout(silence);
    silence = null;
    if (!heard) onHeard();
    heard = true;
    const message = JSON.parse(data);
    answers[message.type]?.(message);
    if (waiting.length) silence ??= setTimeout(end, ANSWER_MS);
  };
  socket.onopen = () => { if (!over) onOpen(); };
  socket.onclose = end;
  document.addEventListener("visibilitychange", ping); // it may have been long
  return { open, send, ask };
}

function address() {
  const url = new URL("v1/ws", document.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  if (apiKey.get()) url.searchParams.set("api_key", apiKey.get());
  return url;
}
