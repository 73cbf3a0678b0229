// Asks the server. The key stays in this module's memory: no cookie, no storage.

import { say } from "./strings.js";

let key = "";

export class Refusal extends Error {
  constructor(message, needsKey = false) {
    super(message);
    this.needsKey = needsKey;
  }
}

export const useKey = (text) => { key = text; };
export const hasKey = () => key !== "";
export const base = () => new URL(".", location.href).href; // where the server is, below its prefix

// The answer of GET path, or of POST path with a body. Throws a Refusal with words for the reader.
export async function ask(path, body) {
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  const sent = { ...headers, "content-type": "application/json" };
  const options = body ? { method: "POST", body: JSON.stringify(body), headers: sent } : { headers };
  let response, answer;
  try {
    response = await fetch(path, { ...options, credentials: "omit", cache: "no-store" });
  } catch {
    throw new Refusal(say.unreachable);
  }
  try {
    answer = await response.json();
  } catch {
    throw new Refusal(say.failed);
  }
  if (!response.ok) throw explain(response.status, answer.error ?? {});
  return answer;
}

function explain(status, error) {
  if (status === 401) return new Refusal(key ? say.wrongKey : "", true);
  if (status === 429 || status === 503) return new Refusal(say.busy);
  if (status === 504) return new Refusal(say.slow);
  if (error.code === "context_length_exceeded") return new Refusal(say.tooLong);
  if (status >= 500) return new Refusal(say.failed);
  return new Refusal(say.refused(error.message ?? status));
}
