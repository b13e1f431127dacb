import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import {
  call,
  type Gate,
  type GateOptions,
  GENERATE,
  idle,
  limits,
  saying,
  startGate,
} from '../support/gate.ts';
import { ManualClock } from '../support/manual-clock.ts';

/** The key that clients are given, and in whose place headgate puts its own. */
export const CLIENT_KEY = 'headgate';
const UPSTREAM_KEY = 'AIza-configured';

export const PROMPT = 'Tell me about the sea.';
/** Its tag shows in the simulator's log that the instruction arrived. */
export const SYSTEM = 'Speak as the keeper of a sluice. [[tag:keeper]]';
export const TOOL_PROMPT = 'How is the weather? [[call:get_weather city=Oslo]]';
export const TOOL_ARGS = { city: 'Oslo' } as const;
/** What the tool answers. The simulator says it again. */
export const TOOL_ANSWER = 'cloudless';
export const REPEATED = /^\s*(?:cloudless\s*)+$/;
export const UNKNOWN_MODEL = 'gemini-0-unknown';
export const EMBEDDING_MODEL = 'gemini-embedding-001';

/** Asking without a pause would take the processor from the client that is waited for. */
const POLL_MS = 5;
/** It takes tens of milliseconds; this much only on a machine that is busy with something else. */
const ABORT_MS_MAX = 10_000;

/**
 * One call each two seconds, and the next is told to come back then: none waits that long here. A client
 * that comes a little before it waits for the rest.
 */
export const SHORT_MINUTE = {
  rate_limits: { ...limits({ rpm: 1 }), minute_span: '2s', window_guard: '0s' },
  queue: { max_wait: '500ms' },
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
    ...options,
    config: { upstream: { api_key: UPSTREAM_KEY }, ...config },
    scenario: { keys: [UPSTREAM_KEY], unknown_models: [UNKNOWN_MODEL], ...scenario },
  });
}

/** The same, whose one call of a minute or a day has been made, at a time that stands still. */
export async function spentGate(
  t: Test,
  config: NonNullable<GateOptions['config']>,
): Promise<{ readonly gate: Gate; readonly clock: ManualClock }> {
  const clock = new ManualClock();
  const gate = await clientGate(t, { config, clock });
  const { status } = await call(gate, GENERATE, { body: saying(PROMPT) });
  t.equal(status, 200, 'the one call that passes');
  await idle(gate);
  return { gate, clock };
}

/**
 * Lets time go by as the machine's does once `isSo`, until the promise is settled. Until then it stands
 * still, so that nothing hangs on how long a client takes to start.
 */
export async function passFrom<T>(
  clock: ManualClock,
  isSo: () => boolean,
  promise: Promise<T>,
): Promise<T> {
  const state = { isSettled: false };
  const settle = () => {
    state.isSettled = true;
  };
  promise.then(settle, settle);
  let passedMs: number | null = null;
  while (!state.isSettled) {
    await setTimeout(POLL_MS);
    const nowMs = Math.floor(systemClock.monotonicMs());
    if (passedMs !== null) clock.advance(nowMs - passedMs);
    if (passedMs !== null || isSo()) passedMs = nowMs;
  }
  return promise;
}

/** A gate whose streams send their next piece only when a test lets them. */
export interface SteppedGate {
  readonly gate: Gate;
  step(): void;
}

const PIECES = 5;
/** Any time will do, because it passes only in steps. */
const STEP_MS = 80;

export async function steppedGate(t: Test): Promise<SteppedGate> {
  const clock = new ManualClock();
  const latency = { first_byte: [0, 0], per_chunk: STEP_MS, chunks: PIECES } as const;
  const gate = await clientGate(t, { clock, scenario: { latency } });
  return { gate, step: () => clock.advance(STEP_MS) };
}

/**
 * Has each piece of an answer sent once a client has seen the one before. Where anybody on the way kept
 * a piece back, the answer would never end.
 */
export class ChunkWatch {
  readonly #stepped: SteppedGate;
  readonly #sent: number[] = [];
  readonly #texts: string[] = [];

  constructor(stepped: SteppedGate) {
    this.#stepped = stepped;
  }

  saw(text: string): void {
    this.#texts.push(text);
    this.#sent.push(this.#stepped.gate.simulator.arrivals.at(-1)?.outputTokens ?? 0);
    this.#stepped.step();
  }

  /** Every piece was seen by itself, and nothing of the answer is missing. */
  check(t: Test): void {
    const all = this.#stepped.gate.simulator.arrivals.at(-1)?.outputTokens ?? 0;
    t.comment(`tokens sent when chunks were seen: ${this.#sent.join()} of ${all}`);
    t.ok(new Set(this.#sent).size >= PIECES, 'each piece was seen before the next was sent');
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

/** The upstream sees after `leave` that the client of the latest call has left. Tells how soon. */
export async function leavesUpstream(t: Test, gate: Gate, leave: () => void): Promise<void> {
  const call = gate.simulator.arrivals.at(-1);
  t.strictSame([call?.status, call?.aborted], [200, false], 'the answer is under way');
  const fromMs = systemClock.monotonicMs();
  leave();
  const passedMs = () => systemClock.monotonicMs() - fromMs;
  const isSeen = () => call?.aborted === true;
  while (!isSeen() && passedMs() < ABORT_MS_MAX) await setTimeout(1);
  t.ok(isSeen(), 'the upstream sees it');
  t.comment(`after ${Math.round(passedMs())} ms`);
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
