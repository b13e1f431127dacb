/**
 * How long a body of 100 MB holds up what else runs: while it passes, small calls come fifty times a
 * second, and the longest delay of the relay's event loop is taken from inside its process. The peer
 * streams the body through without reading it; headgate keeps it and reads what it costs.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { median } from './support/load.ts';
import type { LoopDelay } from './support/loop-delay.ts';
import { pinnable, pinSelf, type RunningProcess, startNode } from './support/processes.ts';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 7);
const BODY_BYTES = 100 * 1000 * 1000;
const PIECE_BYTES = 64 * 1024;
const SMALL_EVERY_MS = 20;
const QUIET_MS = 1500;
const RELAY_CORE = 0;
const LOAD_CORE = 1;

const PEERS = fileURLToPath(new URL('support/peers.ts', import.meta.url));
const PROBE = new URL('support/loop-delay.ts', import.meta.url).href;
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
      }
    }
  }
  print(targets);
} finally {
  for (const child of running) await child.stop();
  rmSync(directory, { recursive: true, force: true });
}

async function startAll(): Promise<Target[]> {
  const typed = process.execArgv;
  const probed = [...typed, '--import', PROBE];
  const upstream = await start('upstream', LOAD_CORE, '/', (port) => [
    ...typed,
    PEERS,
    'upstream',
    String(port),
  ]);
  const { origin } = upstream.process;
  const config = join(directory, 'config.yaml');
  writeFileSync(config, CONFIG.replace('UPSTREAM', origin));
  return [
    await start('bare fastify + undici', RELAY_CORE, '/', (port) => [
      ...probed,
      PEERS,
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
  return { name, process: child, delayFile, rounds: new Map(BODIES.map((body) => [body, []])) };
}

async function measure(target: Target, body: BigBody | null): Promise<Round> {
  const { origin } = target.process;
  await readDelay(target);
  const state = { isDone: false };
  const startMs = performance.now();
  const big = (body === null ? pause(QUIET_MS) : post(origin, body)).finally(() => {
    state.isDone = true;
  });
  const small: Promise<number>[] = [];
  while (!state.isDone) {
    small.push(timed(() => post(origin, { head: '{"contents":[]', piece: '', tail: '}' })));
    await pause(SMALL_EVERY_MS);
  }
  await big;
  const bodyMs = performance.now() - startMs;
  const smallWorstMs = Math.max(...(await Promise.all(small)));
  return { ...(await readDelay(target)), smallWorstMs, bodyMs };
}

/** The longest delay since the last reading. */
async function readDelay({ process: child, delayFile }: Target): Promise<LoopDelay> {
  rmSync(delayFile, { force: true });
  process.kill(child.pid, 'SIGUSR2');
  for (;;) {
    await pause(10);
    try {
      const text = readFileSync(delayFile, 'utf8');
      if (text === '') continue;
      // Written by our own probe.
      return JSON.parse(text) as LoopDelay;
    } catch {
      // Not written yet.
    }
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
  console.log(
    [
      `A body of 100 MB passes while small calls come every ${SMALL_EVERY_MS} ms. ${cores} Medians of ${ROUNDS} interleaved rounds, and the worst of them. Longest work is the most that the relay's thread ran, by the kernel's count, between two turns of its event loop; the delay beside it is by the clock, with what else the machine did in it. The peer streams the body and neither keeps nor reads it.`,
      '',
      '| Way | Body | longest work | worst round | longest delay | slowest small call | body passes in |',
      '|---|---|---:|---:|---:|---:|---:|',
      ...targets.flatMap((target) => BODIES.map((body) => row(target, body))),
    ].join('\n'),
  );
}

function row({ name, rounds }: Target, body: BigBody | null): string {
  const results = rounds.get(body) ?? [];
  const of = (field: keyof Round): number[] => results.map((result) => result[field]);
  const work = of('workMs');
  const took = body === null ? 'none' : `${Math.round(median(of('bodyMs')))} ms`;
  return `| ${name} | ${body?.name ?? 'none'} | ${median(work).toFixed(1)} ms | ${Math.max(...work).toFixed(1)} ms | ${median(of('wallMs')).toFixed(1)} ms | ${median(of('smallWorstMs')).toFixed(1)} ms | ${took} |`;
}
