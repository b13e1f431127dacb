import { forgetToken, readToken } from './token.js';

/** Answers that take longer have been lost on their way. */
const ANSWER_MS_MAX = 30_000;
/** Less than this is the way of the answer, and the second to which the `date` header counts. */
const SKEW_MS_MIN = 2_500;

/** What the daemon says no with, or that it cannot be reached (status 0). */
export class Refusal extends Error {
  /**
   * @param {string} message
   * @param {number} status
   */
  constructor(message, status) {
    super(message);
    this.name = 'Refusal';
    this.status = status;
  }
}

let skewMs = 0;

/** The daemon's present time: its clock and that of a phone may differ. */
export function daemonNowMs() {
  return Date.now() + skewMs;
}

/**
 * Sends to the daemon that this page came from, with the token where one was given. Rejects with a
 * Refusal for every answer that is not a success; a 401 forgets the token.
 *
 * @param {string} path From the page's own address, without a slash before it.
 * @param {RequestInit & { signal?: AbortSignal }} [options]
 * @returns {Promise<Response>}
 */
export async function call(path, options = {}) {
  const token = readToken();
  const headers = new Headers(options.headers);
  if (token !== null) headers.set('authorization', `Bearer ${token}`);
  /** @type {Response} */
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: 'no-store' });
  } catch (error) {
    if (options.signal?.aborted === true) throw error;
    throw new Refusal('headgate cannot be reached.', 0);
  }
  compareClocks(response.headers.get('date'));
  if (response.ok) return response;
  if (response.status === 401) forgetToken();
  throw new Refusal(await detailOf(response), response.status);
}

/**
 * A call whose answer is JSON. What it is, is for the caller to know.
 *
 * @param {'GET' | 'POST' | 'PATCH' | 'DELETE'} method
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<unknown>}
 */
export async function ask(method, path, body) {
  const signal = AbortSignal.timeout(ANSWER_MS_MAX);
  const sent =
    body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
  const response = await call(path, { method, signal, ...sent });
  return /** @type {unknown} */ (await response.json());
}

/**
 * What to tell a person of anything thrown.
 *
 * @param {unknown} error
 */
export function wordsOf(error) {
  if (error instanceof DOMException && error.name === 'TimeoutError') {
    return 'headgate has not answered for 30 seconds.';
  }
  return error instanceof Error ? error.message : String(error);
}

/** @param {Response} response */
async function detailOf(response) {
  const text = await response.text().catch(() => '');
  try {
    const problem = /** @type {unknown} */ (JSON.parse(text));
    if (typeof problem === 'object' && problem !== null && 'detail' in problem) {
      return String(problem.detail);
    }
  } catch {
    // Whatever stands between may answer with a page of its own, which says nothing to a person.
  }
  return `The answer was ${response.status} ${response.statusText}.`;
}

/** @param {string | null} date */
function compareClocks(date) {
  const atMs = date === null ? Number.NaN : Date.parse(date);
  if (Number.isNaN(atMs)) return;
  const seenMs = atMs + 500 - Date.now();
  skewMs = Math.abs(seenMs) < SKEW_MS_MIN ? 0 : seenMs;
}
