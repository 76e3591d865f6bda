// The HTTP API: JSON in and out, problems as errors, and the key that calls are made with.

import { kept, cell } from "./cell.js";
import { query } from "./query.js";

export { useLoad } from "./load.js";

const ANSWER_MS = 15_000;
const AWAY = [0, 502, 503, 504]; // no answer, or one of a proxy that had none

/** The API key of this tab; empty where none is asked for. */
export const apiKey = kept("sessionStorage", "recsvc.key", "");

/** Why a key is asked for at the moment: a sentence, or null. */
export const keyWanted = cell(null);

/** No answer (`status` 0), one that is no JSON, or a refusal: RFC 9457 problem details. */
export class Refusal extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `The service answers ${status}, and does not say why.`); // a detail names the fields, too
    Object.assign(this, { status, problem });
  }

  /** Whether the same call may do soon. */
  get passes() {
    return AWAY.includes(this.status);
  }
}

/** Call the API; a body is sent as JSON. Throws a `Refusal`, or an AbortError where `signal` aborts. */
export async function call(method, path, { body, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (apiKey.get()) headers["X-API-Key"] = apiKey.get();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const asked = { method, headers, signal: method === "GET" ? inTime(signal) : signal, body: JSON.stringify(body) };
  const { status, ok, text } = await answered(path.replace(/^\//, ""), asked);
  if (status === 204) return null;
  const said = parsed(text);
  if (ok && said === undefined) throw new Refusal(status, { detail: `The answer is no JSON: something else than the service has answered (${status}).` });
  if (ok || status === 503 && said?.parts) return said;
  if (status === 401) keyWanted.set(apiKey.get() ? "This key is not known here." : "This service asks for an API key.");
  throw new Refusal(status, said ?? {});
}

export const get = (path, params = {}, options = {}) => call("GET", path + query(params), options);

/** Where a path of one resource is: its parts, each encoded. */
export const at = (...parts) => `/v1/${parts.map(encodeURIComponent).join("/")}`;

const inTime = (signal) => AbortSignal.any([AbortSignal.timeout(ANSWER_MS), ...(signal ? [signal] : [])]);

async function answered(path, asked) {
  try {
    const answer = await fetch(path, asked);
    return { status: answer.status, ok: answer.ok, text: await answer.text() };
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, { detail: "The service does not answer." });
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
