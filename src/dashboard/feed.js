import { ask, call, Refusal, wordsOf } from './daemon.js';
import { readEvents } from './event-stream.js';
import { Store } from './store.js';

/** @import { ExchangeView, StatusView } from '../http/views.ts' */

/**
 * What the page knows of the daemon.
 *
 * @typedef {object} Known
 * @property {'connecting' | 'live' | 'lost' | 'token'} connection
 * @property {string | null} trouble Why there is no connection, or why the token was not taken.
 * @property {number} retryAtMs By this machine's clock; while the connection is lost.
 * @property {StatusView | null} status
 * @property {readonly ExchangeView[]} exchanges The newest first.
 * @property {number} minutes Goes up with each minute that has closed.
 */

/** As many as the daemon keeps. */
const EXCHANGES_MAX = 200;
/** Whatever the page is told, it draws no more often than this. */
const GATHER_MS = 150;
/** The daemon says something every five seconds, and a comment every fifteen. */
const SILENCE_MS_MAX = 40_000;
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 10_000;

/** @type {Store<Known>} */
export const known = new Store({
  connection: 'connecting',
  trouble: null,
  retryAtMs: 0,
  status: null,
  exchanges: [],
  minutes: 0,
});

/** @type {ExchangeView[]} */
let gathered = [];
/** Ends the pause before the next try. */
let wake = () => {};

/** Listens to the daemon for as long as the page is there. */
export async function follow() {
  let retryMs = RETRY_MS_MIN;
  for (;;) {
    try {
      await listen();
      retryMs = RETRY_MS_MIN;
      lose('headgate has closed the connection.', retryMs);
    } catch (error) {
      if (error instanceof Refusal && error.status === 401) {
        await askForToken(error);
        continue;
      }
      const wasLive = known.value.connection === 'live';
      retryMs = wasLive ? RETRY_MS_MIN : Math.min(RETRY_MS_MAX, retryMs * 2);
      lose(wordsOf(error), retryMs);
    }
    await pause(retryMs);
  }
}

/** Tries again now: a token was given, or somebody does not want to wait. */
export function retry() {
  wake();
}

/** @param {Refusal} error */
function askForToken(error) {
  const wasGiven = known.value.connection === 'token';
  known.set({
    connection: 'token',
    trouble: wasGiven ? error.message : null,
    status: null,
    exchanges: [],
  });
  return new Promise((resolve) => {
    wake = () => resolve(null);
  });
}

/**
 * @param {string} trouble
 * @param {number} retryMs
 */
function lose(trouble, retryMs) {
  known.set({ connection: 'lost', trouble, retryAtMs: Date.now() + retryMs });
}

/** @param {number} ms */
function pause(ms) {
  return new Promise((resolve) => {
    const timer = window.setTimeout(() => resolve(null), ms);
    wake = () => {
      window.clearTimeout(timer);
      resolve(null);
    };
  });
}

async function listen() {
  const silence = new AbortController();
  let timer = 0;
  const heard = () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(() => silence.abort(), SILENCE_MS_MAX);
  };
  heard();
  try {
    const response = await call('events', { signal: silence.signal });
    if (response.body === null) throw new Error('The answer had no body.');
    gathered = [];
    const read = readEvents(response.body, { onEvent: take, onBytes: heard });
    // Whatever ends it is told below, by whoever waits for it.
    read.catch(() => undefined);
    // Listened to first, so that nothing is missed in between.
    const last = /** @type {{ exchanges: ExchangeView[] }} */ (await ask('GET', 'exchanges'));
    known.set({ exchanges: merged(known.value.exchanges, last.exchanges) });
    await read;
  } catch (error) {
    if (silence.signal.aborted) throw new Error('Nothing came for 40 seconds.', { cause: error });
    if (error instanceof Refusal) throw error;
    throw new Error('The connection was cut.', { cause: error });
  } finally {
    window.clearTimeout(timer);
    silence.abort();
  }
}

/**
 * @param {string} name
 * @param {string} text
 */
function take(name, text) {
  const view = /** @type {unknown} */ (JSON.parse(text));
  if (name === 'status') {
    known.set({
      connection: 'live',
      trouble: null,
      status: /** @type {StatusView} */ (view),
    });
  } else if (name === 'exchange') {
    if (gathered.length === 0) window.setTimeout(showGathered, GATHER_MS);
    gathered.push(/** @type {ExchangeView} */ (view));
    if (gathered.length > EXCHANGES_MAX) gathered.shift();
  } else if (name === 'sample') {
    known.set({ minutes: known.value.minutes + 1 });
  }
}

function showGathered() {
  const newest = gathered.toReversed();
  gathered = [];
  known.set({ exchanges: merged(known.value.exchanges, newest) });
}

/**
 * Both lists as one, the newest first and none twice.
 *
 * @param {readonly ExchangeView[]} before
 * @param {readonly ExchangeView[]} more
 */
function merged(before, more) {
  const byId = new Map([...before, ...more].map((exchange) => [exchange.id, exchange]));
  return [...byId.values()]
    .sort((left, right) => Date.parse(right.at) - Date.parse(left.at))
    .slice(0, EXCHANGES_MAX);
}
