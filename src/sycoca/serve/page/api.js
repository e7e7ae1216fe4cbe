// Requests to the server. Errors carry text that can be shown as it is.

import { sentence } from "./dom.js";
import { askForToken } from "./token.js";

const TOKEN_KEY = "sycoca-token";

/** An error of a request, in words for people. */
export class RequestError extends Error {
  constructor(message, { status = 0, mayPass = false } = {}) {
    super(message);
    this.status = status;
    /** Whether the same request may succeed later. */
    this.mayPass = mayPass;
  }
}

let asking = null; // one dialog, however many requests were refused

async function newToken(message) {
  asking ??= askForToken(message).finally(() => (asking = null));
  sessionStorage.setItem(TOKEN_KEY, await asking);
}

function authorization() {
  const token = sessionStorage.getItem(TOKEN_KEY);
  return token === null ? {} : { Authorization: `Bearer ${token}` };
}

async function answerOf(path, options) {
  try {
    return await fetch(path, { ...options, headers: authorization() });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestError("The server does not answer. Is sycoca serve still running?", { mayPass: true });
  }
}

async function send(path, options = {}) {
  const used = sessionStorage.getItem(TOKEN_KEY);
  const response = await answerOf(path, options);
  if (response.status !== 401) return content(response);
  // Another request may have been given the token meanwhile.
  if (sessionStorage.getItem(TOKEN_KEY) === used) {
    await newToken(used === null ? "" : "The server does not know this token.");
  }
  return send(path, options);
}

async function content(response) {
  const body = await response.json().catch(() => null);
  if (response.ok && body !== null) return body;
  const message = body?.error ?? `The server answered with status ${response.status} and no reason.`;
  throw new RequestError(sentence(message), {
    status: response.status,
    mayPass: response.status === 429 || response.status >= 500,
  });
}

/** Return the answer to a GET request. */
export function get(path) {
  return send(path);
}

/** Return the answer to a form. Fields that are null are left out; lists are repeated. */
export function post(path, fields, signal = undefined) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null) form.append(name, one);
    }
  }
  return send(path, { method: "POST", body: form, signal });
}
