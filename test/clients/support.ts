import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import { type Gate, type GateOptions, idle, limits, startGate, until } from '../support/gate.ts';

/** The key that clients are given, and in whose place headgate puts its own. */
export const CLIENT_KEY = 'headgate';
const UPSTREAM_KEY = 'AIza-configured';

export const PROMPT = 'Tell me about the sea.';
/** So long that a test ends before it, unless the call is given up. */
export const LONG_PROMPT = `${PROMPT} [[out:1000]]`;
/** Its tag shows in the simulator's log that the instruction arrived. */
export const SYSTEM = 'Speak as the keeper of a sluice. [[tag:keeper]]';
export const TOOL_PROMPT = 'How is the weather? [[call:get_weather city=Oslo]]';
export const TOOL_ARGS = { city: 'Oslo' } as const;
/** What the tool answers. The simulator says it again. */
export const TOOL_ANSWER = 'cloudless';
export const REPEATED = /^\s*(?:cloudless\s*)+$/;
export const UNKNOWN_MODEL = 'gemini-0-unknown';
export const EMBEDDING_MODEL = 'gemini-embedding-001';

/** One call each two seconds, and none waits: the next is told to come back then. */
export const SHORT_MINUTE = {
  rate_limits: { ...limits({ rpm: 1 }), minute_span: '2s', window_guard: '0s' },
  queue: { max_wait: '100ms' },
};
/** With a key that the upstream does not take. */
export const WRONG_KEY = { upstream: { api_key: 'AIza-wrong' } };
/** One call a day. */
export const ONE_A_DAY = { rate_limits: limits({ rpd: 1 }) };
/** No call with a prompt of some words is ever let through. */
export const TINY_MINUTE = { rate_limits: limits({ tpm: 2 }) };

/** A gate before a simulator that takes only the configured key, and does not know one model. */
export function clientGate(t: Test, options: GateOptions = {}): Promise<Gate> {
  const { config = {}, scenario = {} } = options;
  return startGate(t, {
    config: { upstream: { api_key: UPSTREAM_KEY }, ...config },
    scenario: { keys: [UPSTREAM_KEY], unknown_models: [UNKNOWN_MODEL], ...scenario },
  });
}

/** The same, whose streams come in pieces far enough apart to be told one from another. */
export function slowGate(t: Test): Promise<Gate> {
  const latency = { first_byte: [0, 0], per_chunk: 80, chunks: 5 } as const;
  return clientGate(t, { scenario: { latency } });
}

/** Notes, with each chunk that a client sees, how much of the answer had been sent. */
export class ChunkWatch {
  readonly #gate: Gate;
  readonly #sent: number[] = [];
  readonly #texts: string[] = [];

  constructor(gate: Gate) {
    this.#gate = gate;
  }

  saw(text: string): void {
    this.#texts.push(text);
    this.#sent.push(this.#gate.simulator.arrivals.at(-1)?.outputTokens ?? 0);
  }

  /** The first chunk was seen before the last was sent, and nothing of the answer is missing. */
  check(t: Test): void {
    const [first = Infinity] = this.#sent;
    const all = this.#gate.simulator.arrivals.at(-1)?.outputTokens ?? 0;
    t.ok(first < all, `tokens sent when chunks were seen: ${this.#sent.join()} of ${all}`);
    t.equal(this.#texts.join('').trim().split(/\s+/).length, all, 'as many words as tokens');
  }
}

/** What became of each call, in the words of headgate's log. */
export function outcomes(gate: Gate): readonly string[] {
  return gate.log.flatMap((line) => {
    const { exchange } = JSON.parse(line);
    return exchange === undefined ? [] : [exchange.outcome];
  });
}

/** Nothing reached the upstream but through headgate. For calls of which none was refused or cut. */
export async function allThrough(t: Test, gate: Gate): Promise<void> {
  await idle(gate);
  const { length } = gate.simulator.arrivals;
  t.ok(length > 0);
  t.equal(outcomes(gate).length, length, 'every request came through headgate');
}

/** The upstream sees within a second of `leave` that the client of the latest call has left. */
export async function leavesUpstream(t: Test, gate: Gate, leave: () => void): Promise<void> {
  await until(() => gate.simulator.arrivals.length > 0);
  const call = gate.simulator.arrivals.at(-1);
  const fromMs = systemClock.monotonicMs();
  leave();
  await until(() => call?.aborted === true || systemClock.monotonicMs() - fromMs > 10_000);
  t.ok(call?.aborted, 'the upstream sees it');
  const tookMs = Math.round(systemClock.monotonicMs() - fromMs);
  t.ok(tookMs < 1000, `after ${tookMs} ms`);
}

/** What a promise is rejected with. Throws when it is not. */
export async function failureOf(promise: Promise<unknown>): Promise<Error> {
  const settled = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  if (settled instanceof Error) return settled;
  throw new Error('the client did not throw an error');
}

/** A file of 20 MB that no compression makes smaller, and its SHA-256 in hexadecimal. */
export interface BigFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Removed with the test. */
export function bigFile(t: Test): BigFile {
  const directory = mkdtempSync(join(tmpdir(), 'headgate-upload-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'tide.mp4');
  const content = randomBytes(20 * 1024 * 1024);
  writeFileSync(path, content);
  const sha256 = createHash('sha256').update(content).digest('hex');
  return { path, bytes: content.length, sha256 };
}

/** The checksum of a file resource: base64, of the digest or of its hexadecimal digits. */
export function checksumOf(sha256Hash: string | undefined): string {
  const bytes = Buffer.from(sha256Hash ?? '', 'base64');
  return bytes.length === 32 ? bytes.toString('hex') : bytes.toString();
}
