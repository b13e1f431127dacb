import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, type ClientRequest, type IncomingHttpHeaders, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Test } from 'tap';
import { type Clock, systemClock } from '../../src/clock.ts';
import { type LoadFlags, loadConfig } from '../../src/config/load.ts';
import { type Daemon, startDaemon } from '../../src/daemon.ts';
import type {
  LimitsView,
  LimitView,
  PartitionView,
  QueuedView,
  StatusView,
  WindowView,
} from '../../src/http/views.ts';
import { createLogger } from '../../src/log.ts';
import { makeScenario, type ScenarioInput } from '../../src/simulator/scenario.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { bodyOf } from './loopback.ts';
import { ManualClock } from './manual-clock.ts';

export const MODEL = 'gemini-2.5-flash';
export const GENERATE = generate(MODEL);
export const STREAM = `/v1beta/models/${MODEL}:streamGenerateContent?alt=sse`;
/** A simulator that answers at once. */
export const INSTANT = { first_byte: [0, 0], per_chunk: 0 } as const;
const NO_LIMITS = { models: {}, default: { rpm: null, tpm: null, rpd: null } };

export interface GateOptions {
  /** Keys of the configuration file; each section is laid over a bare one that limits nothing. */
  readonly config?: Readonly<Record<string, object | string | boolean | null>>;
  /** Laid over a simulator that answers at once and limits nothing. */
  readonly scenario?: ScenarioInput;
  /** Takes the simulator's place. */
  readonly upstreamUrl?: string;
  readonly clock?: Clock;
  readonly flags?: LoadFlags;
}

/** A whole daemon in this process, with a simulated Gemini behind it unless told otherwise. */
export interface Gate {
  readonly url: string;
  readonly file: string;
  readonly databasePath: string;
  /** Every line it has logged, restarts included. */
  readonly log: readonly string[];
  /** Throws where another upstream was given. */
  readonly simulator: Simulator;
  readonly daemon: Daemon;
  /** Writes the file anew; takes effect when the daemon reads it. */
  configure(config: GateOptions['config']): void;
  /** Stops the daemon and starts another on the same files. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export async function startGate(t: Test, options: GateOptions = {}): Promise<Gate> {
  const { clock = systemClock, flags = {} } = options;
  let running: Daemon | null = null;
  const directory = mkdtempSync(join(tmpdir(), 'headgate-gate-'));
  const file = join(directory, 'config.yaml');
  const simulator = options.upstreamUrl === undefined ? await simulate(options) : null;
  t.teardown(async () => {
    if (running !== null) await stopped(running, clock);
    await simulator?.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const upstreamUrl = options.upstreamUrl ?? simulator?.url ?? '';
  const configure: Gate['configure'] = (config = {}) =>
    writeFileSync(file, configText(upstreamUrl, config));
  configure(options.config);
  const log: string[] = [];
  const logger = createLogger({
    level: 'debug',
    format: 'json',
    destination: { write: (line) => log.push(line) },
    secrets: () => running?.config().secrets ?? [],
    clock,
  });
  const load = () => loadConfig({ file, env: {}, cwd: directory, flags });
  const start = () => startDaemon({ load, clock, random: () => 0.5, logger });
  let daemon = await start();
  running = daemon;
  return {
    get url() {
      return daemon.url;
    },
    get daemon() {
      return daemon;
    },
    get simulator() {
      if (simulator === null) throw new Error('no simulator runs behind this daemon');
      return simulator;
    },
    file,
    databasePath: join(directory, 'headgate.db'),
    log,
    configure,
    async restart() {
      await stopped(daemon, clock);
      daemon = await start();
      running = daemon;
    },
    stop: () => stopped(daemon, clock),
  };
}

/** A file that limits nothing but what `config` says. */
export function configText(upstreamUrl: string, config: NonNullable<GateOptions['config']>) {
  const bare: Record<string, object | string | null> = {
    listen: '127.0.0.1:0',
    upstream: { base_url: upstreamUrl, api_key: null },
    rate_limits: {
      profile: 'none',
      gemini: { default: { rpm: null, tpm: null, rpd: null } },
    },
    cooldown: null,
    storage: { path: './headgate.db' },
    log: { level: 'debug', format: 'json' },
  };
  const laid = Object.entries(config).map(([key, value]) => {
    const under = bare[key];
    const isBoth = typeof under === 'object' && typeof value === 'object' && value !== null;
    return [key, isBoth ? { ...under, ...value } : value];
  });
  // JSON is YAML.
  return JSON.stringify({ ...bare, ...Object.fromEntries(laid) }, null, 2);
}

/** Limits of every model; what is not named is not limited. */
export function limits(row: Readonly<Record<string, unknown>>, more: object = {}) {
  return { gemini: { default: { rpm: null, tpm: null, rpd: null, ...row } }, ...more };
}

export function generate(model: string): string {
  return `/v1beta/models/${model}:generateContent`;
}

export function saying(text: string) {
  return { contents: [{ role: 'user', parts: [{ text }] }] };
}

/** A client's call, on its way. */
export interface Sent {
  readonly request: ClientRequest;
  /** With its whole body. */
  readonly answer: Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  readonly text: string;
}

export interface CallOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** An object goes out as JSON. */
  readonly body?: object | string | Buffer;
}

const agent = new Agent({ keepAlive: false, maxSockets: Infinity });

/** Sends to a path of the daemon. POST with a body, else GET. */
export function send(
  gate: { readonly url: string },
  path: string,
  options: CallOptions = {},
): Sent {
  const { body, headers = {} } = options;
  const method = options.method ?? (body === undefined ? 'GET' : 'POST');
  const bytes =
    body === undefined || typeof body === 'string' || Buffer.isBuffer(body)
      ? body
      : JSON.stringify(body);
  const { hostname, port } = new URL(gate.url);
  const outgoing = request({
    agent,
    hostname,
    port,
    path,
    method,
    headers: {
      ...(bytes === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(bytes) }),
      ...headers,
    },
  });
  const answer = answerTo(outgoing);
  // Whoever wants to know awaits it.
  answer.catch(() => undefined);
  outgoing.end(bytes);
  return { request: outgoing, answer };
}

export function call(
  gate: { readonly url: string },
  path: string,
  options: CallOptions = {},
): Promise<Answer> {
  return send(gate, path, options).answer;
}

async function answerTo(outgoing: ClientRequest): Promise<Answer> {
  const [response] = await once(outgoing, 'response');
  const body = await bodyOf(response);
  const { statusCode: status, headers, rawHeaders } = response;
  return { status, headers, rawHeaders, body, text: body.toString() };
}

export async function statusOf(gate: { readonly url: string }): Promise<StatusView> {
  return JSON.parse((await call(gate, '/status')).text);
}

export async function queueOf(gate: { readonly url: string }): Promise<readonly QueuedView[]> {
  return JSON.parse((await call(gate, '/queue')).text).queue;
}

/** Where a model stands. Throws when nothing has been counted for it. */
export async function partitionOf(gate: Gate, model = MODEL): Promise<PartitionView> {
  const { partitions } = await statusOf(gate);
  const found = partitions.find((partition) => partition.model === model);
  if (found === undefined) throw new Error(`nothing is known of ${model}`);
  return found;
}

export async function windowOf(gate: Gate, policy: string, model = MODEL): Promise<WindowView> {
  const { windows } = await partitionOf(gate, model);
  const found = windows.find((window) => window.policy === policy);
  if (found === undefined) throw new Error(`${model} has no ${policy}`);
  return found;
}

export async function limitOf(gate: Gate, policy: string, model = MODEL): Promise<LimitView> {
  const views: readonly LimitsView[] = JSON.parse((await call(gate, '/limits')).text).limits;
  const found = views
    .find((view) => view.model === model)
    ?.windows.find((window) => window.policy === policy);
  if (found === undefined) throw new Error(`no limit ${policy} of ${model} is listed`);
  return found;
}

/** Resolves once so many calls wait. */
export async function waiting(gate: Gate, count: number): Promise<void> {
  for (;;) {
    const { totals } = await statusOf(gate);
    if (totals.waiting === count) return;
    await setTimeout(POLL_MS);
  }
}

/** Resolves once no call is under way: a client has its answer before the call is settled. */
export async function idle(gate: { readonly url: string }): Promise<void> {
  while ((await statusOf(gate)).totals.running > 0) await setTimeout(POLL_MS);
}

/** Resolves once it is so. Sockets are real, so what they bring is waited for. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await turn();
}

/**
 * Moves the clock on in steps until the promise is settled; sockets get their turn in between. Throws
 * when `maxMs` have passed before.
 */
export async function passUntil<T>(clock: ManualClock, promise: Promise<T>, maxMs: number) {
  const state = { isSettled: false };
  const settle = () => {
    state.isSettled = true;
  };
  promise.then(settle, settle);
  const fromMs = clock.monotonicMs();
  for (;;) {
    for (let turns = 0; turns < 20 && !state.isSettled; turns += 1) await turn();
    if (state.isSettled) return { value: await promise, tookMs: clock.monotonicMs() - fromMs };
    if (clock.monotonicMs() - fromMs >= maxMs) throw new Error(`no end within ${maxMs} ms`);
    clock.advance(Math.min(STEP_MS, maxMs));
  }
}

const STEP_MS = 100;
/** Asking without a pause would take the processor from what is waited for. */
const POLL_MS = 3;

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function simulate({ scenario = {}, clock = systemClock }: GateOptions): Promise<Simulator> {
  const whole = makeScenario({ latency: INSTANT, ...NO_LIMITS, ...scenario });
  return startSimulator({ clock, random: () => 0.5, scenario: whole });
}

async function stopped(daemon: Daemon, clock: Clock): Promise<void> {
  const stop = daemon.stop();
  // What still runs has until `queue.drain`, which passes only when somebody moves the clock.
  if (clock instanceof ManualClock) await passUntil(clock, stop, 60_000);
  else await stop;
}
