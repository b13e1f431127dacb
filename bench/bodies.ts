/**
 * How long a body of 100 MB holds up what else runs: while it passes, and a little longer, small calls
 * come fifty times a second, and every delay of the relay's event loop is taken from inside its
 * process. The same process is looked at in turns with a body and without one, which tells what the
 * machine does by itself. The peer streams the body through without reading it; headgate keeps it and
 * reads what it costs.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { median } from './support/load.ts';
import type { LoopDelay } from './support/loop-delay.ts';
import { plainCopy } from './support/plain-copy.ts';
import { pinnable, pinSelf, type RunningProcess, startNode } from './support/processes.ts';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 7);
const BODY_BYTES = 100 * 1000 * 1000;
const PIECE_BYTES = 64 * 1024;
const SMALL_EVERY_MS = 20;
const QUIET_MS = 1500;
/** After a body: its 100 MB are let go, which is the body's doing too. */
const AFTER_MS = 750;
/** No turn of the event loop is to work for longer. */
const TURN_MS_MAX = 10;
const RELAY_CORE = 0;
const LOAD_CORE = 1;

const PEERS = fileURLToPath(new URL('support/peers.ts', import.meta.url));
const PROBE = fileURLToPath(new URL('support/loop-delay.ts', import.meta.url));
const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));

const CONFIG = `
upstream: { base_url: UPSTREAM, api_key: bench }
rate_limits:
  gemini:
    gemini-2.5-flash: { rpm: 1000000000, tpm: 1000000000000, rpd: 1000000000 }
cooldown: null
sessions: { roots: [], record: off }
storage: { path: ./headgate.db }
`;

const HEADS = `| Way | Body | p99 | p99.9 | worst | median of the rounds' worst | over ${TURN_MS_MAX} ms |
|---|---|---:|---:|---:|---:|---:|`;

/** Pieces of one body; the same piece again and again takes no memory. */
interface BigBody {
  readonly name: string;
  readonly head: string;
  readonly piece: string;
  readonly tail: string;
}

const BODIES: readonly (BigBody | null)[] = [
  null,
  {
    name: 'one image in base64',
    head: '{"contents":[{"parts":[{"inlineData":{"mimeType":"image/jpeg","data":"',
    piece: 'QUJD'.repeat(PIECE_BYTES / 4),
    tail: '"}}]}]}',
  },
  {
    name: 'a million small texts',
    head: '{"contents":[{"parts":[{"text":"x"}',
    piece:
      ',{"text":"Why is the sky blue? And why is it red at evening, as we all know?\\n"}'.repeat(
        800,
      ),
    tail: ']}]}',
  },
];

interface Target {
  readonly name: string;
  readonly process: RunningProcess;
  readonly delayFile: string;
  /** By body, one per round. */
  readonly rounds: Map<BigBody | null, Round[]>;
  /** What the thread worked at a stretch in the round before, while its code was new. */
  readonly cold: number[];
}

interface Round extends LoopDelay {
  readonly smallWorstMs: number;
  readonly bodyMs: number;
}

const directory = mkdtempSync(join(tmpdir(), 'headgate-bench-'));
const running: RunningProcess[] = [];
try {
  const targets = await startAll();
  pinSelf(LOAD_CORE);
  for (let round = -1; round < ROUNDS; round += 1) {
    process.stderr.write(round < 0 ? 'warm up\n' : `round ${round + 1} of ${ROUNDS}\n`);
    for (const target of targets) {
      for (const body of BODIES) {
        const result = await measure(target, body);
        if (round >= 0) target.rounds.get(body)?.push(result);
        else target.cold.push(...result.workMs);
      }
    }
  }
  print(targets);
} finally {
  for (const child of running) await child.stop();
  rmSync(directory, { recursive: true, force: true });
}

async function startAll(): Promise<Target[]> {
  const peers = fileURLToPath(plainCopy(PEERS, directory));
  const probed = ['--import', plainCopy(PROBE, directory)];
  const upstream = await start('upstream', LOAD_CORE, '/', (port) => [
    peers,
    'upstream',
    String(port),
  ]);
  const { origin } = upstream.process;
  const config = join(directory, 'config.yaml');
  writeFileSync(config, CONFIG.replace('UPSTREAM', origin));
  return [
    await start('bare fastify + undici', RELAY_CORE, '/', (port) => [
      ...probed,
      peers,
      'bare-relay',
      String(port),
      origin,
    ]),
    await start('headgate', RELAY_CORE, '/livez', (port) => [
      ...probed,
      MAIN,
      'serve',
      '--config',
      config,
      '--log-level',
      'warn',
      '--listen',
      `127.0.0.1:${port}`,
    ]),
  ];
}

async function start(
  name: string,
  core: number,
  probe: string,
  args: (port: number) => readonly string[],
): Promise<Target> {
  const delayFile = join(directory, `${name}.delay`);
  process.env['LOOP_DELAY_FILE'] = delayFile;
  const child = await startNode(core, { args, probe });
  running.unshift(child);
  return {
    name,
    process: child,
    delayFile,
    rounds: new Map(BODIES.map((body) => [body, []])),
    cold: [],
  };
}

async function measure(target: Target, body: BigBody | null): Promise<Round> {
  const { origin } = target.process;
  await readDelay(target);
  const state = { isDone: false };
  const big = (body === null ? pause(QUIET_MS, 0) : timed(() => post(origin, body)))
    .then(async (tookMs) => {
      if (body !== null) await pause(AFTER_MS);
      return tookMs;
    })
    .finally(() => {
      state.isDone = true;
    });
  const small: Promise<number>[] = [];
  while (!state.isDone) {
    small.push(timed(() => post(origin, { head: '{"contents":[]', piece: '', tail: '}' })));
    await pause(SMALL_EVERY_MS);
  }
  const bodyMs = await big;
  const smallWorstMs = Math.max(...(await Promise.all(small)));
  return { ...(await readDelay(target)), smallWorstMs, bodyMs };
}

/** The delays since the last reading. */
async function readDelay({ process: child, delayFile }: Target): Promise<LoopDelay> {
  rmSync(delayFile, { force: true });
  process.kill(child.pid, 'SIGUSR2');
  for (;;) {
    await pause(10);
    // Not written yet, or whole: the probe gives it its name once it is.
    if (!existsSync(delayFile)) continue;
    // Written by our own probe.
    return JSON.parse(readFileSync(delayFile, 'utf8')) as LoopDelay;
  }
}

async function timed(run: () => Promise<void>): Promise<number> {
  const startMs = performance.now();
  await run();
  return performance.now() - startMs;
}

function post(origin: string, { head, piece, tail }: Omit<BigBody, 'name'>): Promise<void> {
  const bytes = Buffer.from(piece);
  const times = piece === '' ? 0 : Math.floor(BODY_BYTES / bytes.length);
  return new Promise((resolve, reject) => {
    const outgoing = request(
      `${origin}/v1beta/models/gemini-2.5-flash:generateContent`,
      {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'x-goog-api-key': 'bench',
          'content-length': head.length + times * bytes.length + tail.length,
        },
      },
      (response) => {
        if (response.statusCode !== 200) reject(new Error(`${origin}: ${response.statusCode}`));
        response.resume().on('end', resolve);
      },
    );
    outgoing.on('error', reject).write(head);
    let sent = 0;
    const more = (): void => {
      while (sent < times) {
        sent += 1;
        if (!outgoing.write(bytes)) return void outgoing.once('drain', more);
      }
      outgoing.end(tail);
    };
    more();
  });
}

function print(targets: readonly Target[]): void {
  const cores = pinnable
    ? 'The relay has one core, upstream and load another.'
    : 'Cores are shared.';
  const rows = (cellsOf: (rounds: readonly Round[], body: BigBody | null) => readonly string[]) =>
    targets.flatMap(({ name, rounds }) =>
      BODIES.map(
        (body) =>
          `| ${[name, body?.name ?? 'none', ...cellsOf(rounds.get(body) ?? [], body)].join(' | ')} |`,
      ),
    );
  console.log(
    [
      `A body of 100 MB passes while small calls come every ${SMALL_EVERY_MS} ms, and for ${AFTER_MS} ms more; each process is looked at in turns with a body and without, ${ROUNDS} interleaved rounds of all. ${cores} The peer streams the body and neither keeps nor reads it. All is taken between two ticks of a timer of 1 ms, which one or more turns of the event loop fit into.`,
      '',
      "**What the event loop's own thread works at a stretch**, by the kernel's count, collections of garbage on it included. Waiting for a core is not in it, nor for other threads:",
      '',
      HEADS,
      ...rows((rounds) => spread(rounds.map(({ workMs }) => workMs))),
      '',
      `The first round of each process, in which its code is still being compiled, is left out everywhere. In it the thread worked at a stretch for at most ${targets.map(({ name, cold }) => `${ms(Math.max(0, ...cold))} (${name})`).join(' and ')}.`,
      '',
      '**What all threads of the process work in the same time.** V8 collects garbage on threads of its own as well. Where they share one core with the event loop, as here, it may wait for them so long:',
      '',
      HEADS,
      ...rows((rounds) => spread(rounds.map(({ allWorkMs }) => allWorkMs))),
      '',
      '**By the clock**: the delay of the same ticks, with what other processes did on that core too. What is told without a body is not the work of one:',
      '',
      HEADS,
      ...rows((rounds) => spread(rounds.map(({ wallMs }) => wallMs))),
      '',
      '**What callers and the heap see:**',
      '',
      '| Way | Body | slowest small call, median | body passes in, median | longest collection, by the clock |',
      '|---|---|---:|---:|---:|',
      ...rows(callerCells),
    ].join('\n'),
  );
}

function callerCells(rounds: readonly Round[], body: BigBody | null): string[] {
  return [
    ms(median(rounds.map(({ smallWorstMs }) => smallWorstMs))),
    body === null ? 'none' : `${Math.round(median(rounds.map(({ bodyMs }) => bodyMs)))} ms`,
    ms(Math.max(0, ...rounds.flatMap(({ collectionMs }) => collectionMs))),
  ];
}

/** Of the ticks of all rounds together; `n of m` is how many took longer than they are to. */
function spread(rounds: readonly (readonly number[])[]): string[] {
  const all = rounds.flat().toSorted((a, b) => a - b);
  if (all.length === 0) return Array.from({ length: 5 }, () => 'not told');
  const at = (part: number): number => all[Math.ceil(all.length * part) - 1] ?? 0;
  return [
    ms(at(0.99)),
    ms(at(0.999)),
    ms(at(1)),
    ms(median(rounds.map((round) => Math.max(0, ...round)))),
    `${all.filter((took) => took > TURN_MS_MAX).length} of ${all.length}`,
  ];
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}
