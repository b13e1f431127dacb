/**
 * What it takes to plan the next turn of a very long session, and to list very many sessions. A
 * daemon of its own for each round of the first, because only the first reading is the slow one and
 * because its memory is measured. The files are in the page cache, as after the run that wrote them.
 * The peer does in one pass, in this process, what nobody can do without: it reads the bytes that
 * the request is made of, or looks at every directory once.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { median } from './support/load.ts';
import { pinnable, pinSelf, type RunningProcess, startNode } from './support/processes.ts';
import { type TurnSizes, writeLog, writeTurn } from './support/session-tree.ts';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 5);
const LIST_ROUNDS = 20;
const TURNS = Number(process.env['BENCH_TURNS'] ?? 2000);
const SESSIONS = Number(process.env['BENCH_SESSIONS'] ?? 5000);
/** 20 MB of answers and 900 MB of everything else, over 2,000 turns. */
const LARGE: TurnSizes = { answer: 10_000, events: 200_000, log: 100_000, workspace: 150_000 };
const SMALL: TurnSizes = { answer: 1000, events: 4000, log: 2000, workspace: 0 };
const IDLE_MS = 1500;

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const DAEMON_CORE = 0;
const CLIENT_CORE = 1;
const LARGE_NAME = 'log_20260105_101500_000001';

interface Planned {
  readonly firstMs: number;
  readonly againMs: number;
  readonly idleMiB: number;
  readonly addedMiB: number;
  readonly peerMs: number;
}

interface Listed {
  readonly pageMs: number;
  readonly longPageMs: number;
  readonly peerMs: number;
}

const directory = mkdtempSync(join(tmpdir(), 'headgate-bench-'));
const running: RunningProcess[] = [];
try {
  const large = join(directory, 'large', LARGE_NAME);
  console.error(`writing ${TURNS} turns and ${SESSIONS} sessions`);
  const nowMs = Date.now();
  writeLog(large, { turns: TURNS, sizes: LARGE, endAtMs: nowMs - 3_600_000 });
  const many = join(directory, 'many');
  for (let index = 0; index < SESSIONS; index += 1) {
    writeLog(join(many, nameOf(index)), {
      turns: 1 + (index % 2),
      sizes: SMALL,
      endAtMs: nowMs - (index + 2) * 3_600_000,
    });
  }
  pinSelf(CLIENT_CORE);
  const planned = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    planned.push(await plan(large, round));
    console.error(JSON.stringify(planned.at(-1)));
  }
  print(planned, await list(many));
} finally {
  for (const child of running) await child.stop();
  rmSync(directory, { recursive: true, force: true });
}

/** One dry run by a daemon that has just started, and one more. */
async function plan(large: string, round: number): Promise<Planned> {
  const daemon = await startDaemon(`plan-${round}`, join(directory, 'large'));
  await pause(IDLE_MS);
  const idleMiB = memoryMiB(daemon.pid, 'VmRSS');
  resetPeak(daemon.pid);
  const firstMs = await dryRun(daemon.origin);
  const addedMiB = memoryMiB(daemon.pid, 'VmHWM') - idleMiB;
  const againMs = await dryRun(daemon.origin);
  await stop(daemon);
  return { firstMs, againMs, idleMiB, addedMiB, peerMs: readBytes(large) };
}

async function dryRun(origin: string): Promise<number> {
  const fromMs = performance.now();
  const answer = await fetch(`${origin}/sessions/${LARGE_NAME}/continue`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ message: 'And at night?', dry_run: true }),
  });
  const text = await answer.text();
  const tookMs = performance.now() - fromMs;
  if (answer.status !== 200) throw new Error(`the dry run was answered ${text.slice(0, 500)}`);
  if (!text.includes(`Answer ${TURNS}.`)) throw new Error('the newest turn is not in the request');
  return tookMs;
}

/** The peer: final answers whole, and of the events as much as holds question and winner. */
function readBytes(large: string): number {
  const head = Buffer.alloc(4096);
  const fromMs = performance.now();
  const texts: string[] = [];
  for (const turn of readdirSync(large)) {
    const events = openSync(join(large, turn, 'coordination_events.json'), 'r');
    texts.push(head.toString('utf8', 0, readSync(events, head)));
    closeSync(events);
    texts.push(readFileSync(join(large, turn, 'final', 'agent_a', 'answer.txt'), 'utf8'));
  }
  JSON.stringify(texts);
  return performance.now() - fromMs;
}

async function list(many: string): Promise<{ indexMs: number; rounds: readonly Listed[] }> {
  const daemon = await startDaemon('list', many);
  const fromMs = performance.now();
  await page(daemon.origin);
  const indexMs = performance.now() - fromMs;
  console.error(`indexed in ${Math.round(indexMs)} ms`);
  const rounds: Listed[] = [];
  for (let round = 0; round < LIST_ROUNDS; round += 1) {
    // Each round a turn is added, a second before it has to be seen.
    const name = nameOf(2 * round);
    writeTurn(join(many, name, 'turn_2'), { number: 2, sizes: SMALL, endAtMs: Date.now() });
    await pause(1000);
    const { tookMs, sessions } = await page(daemon.origin);
    const [newest] = sessions;
    if (newest?.log_dir !== name || newest.turns !== 2) {
      throw new Error(`the turn that was added to ${name} is not the newest`);
    }
    const longPage = await page(daemon.origin, '?limit=1000');
    rounds.push({ pageMs: tookMs, longPageMs: longPage.tookMs, peerMs: lookAt(many) });
  }
  await stop(daemon);
  return { indexMs, rounds };
}

/** The fields of a listing that are looked at. */
interface ListedSession {
  readonly log_dir: string;
  readonly turns: number;
}

async function page(
  origin: string,
  query = '',
): Promise<{ tookMs: number; sessions: readonly ListedSession[] }> {
  const fromMs = performance.now();
  const answer = await fetch(`${origin}/sessions${query}`);
  const text = await answer.text();
  const tookMs = performance.now() - fromMs;
  if (answer.status !== 200) throw new Error(`the listing was answered ${text.slice(0, 500)}`);
  // As docs/sessions.md describes it.
  const { sessions } = JSON.parse(text) as { sessions: readonly ListedSession[] };
  return { tookMs, sessions };
}

/** The peer: whether a directory of sessions has changed, and whether one of its turns has. */
function lookAt(many: string): number {
  const fromMs = performance.now();
  for (const name of readdirSync(many)) {
    const session = join(many, name);
    statSync(session);
    for (const turn of readdirSync(session)) statSync(join(session, turn));
  }
  return performance.now() - fromMs;
}

async function startDaemon(name: string, root: string): Promise<RunningProcess> {
  const home = join(directory, name);
  const config = join(home, 'config.yaml');
  mkdirSync(home);
  writeFileSync(
    config,
    JSON.stringify({
      upstream: { base_url: 'http://127.0.0.1:9', api_key: 'bench' },
      sessions: { roots: [root], record: 'off' },
      storage: { path: './headgate.db' },
    }),
  );
  const daemon = await startNode(DAEMON_CORE, {
    args: (port) => [
      ...(process.env['BENCH_PROFILE'] === undefined
        ? []
        : ['--cpu-prof', `--cpu-prof-dir=${process.env['BENCH_PROFILE']}`]),
      MAIN,
      'serve',
      '--config',
      config,
      '--listen',
      `127.0.0.1:${port}`,
      '--log-level',
      'warn',
    ],
    probe: '/livez',
  });
  running.push(daemon);
  return daemon;
}

async function stop(daemon: RunningProcess): Promise<void> {
  running.splice(running.indexOf(daemon), 1);
  await daemon.stop();
}

function nameOf(index: number): string {
  return `log_20260105_${String(100_000 + index)}_000001`;
}

/** Of proc(5): VmRSS is what is resident now, VmHWM the most since the peak was reset. */
function memoryMiB(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1] ?? Number.NaN) / 1024;
}

function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

function print(planned: readonly Planned[], listed: Awaited<ReturnType<typeof list>>): void {
  const { rounds, indexMs } = listed;
  const megabytes = spawnSync('du', ['-sm', '--apparent-size', join(directory, 'large')], {
    encoding: 'utf8',
  }).stdout.split('\t')[0];
  console.log(
    [
      `One log of ${TURNS.toLocaleString('en-US')} turns (${(TURNS * LARGE.answer) / 1e6} MB of answers, ${megabytes} MiB in all), and ${SESSIONS.toLocaleString('en-US')} session directories. ${pinnable ? 'The daemon has one core, the client another. ' : ''}Medians of ${ROUNDS} fresh daemons, and of ${LIST_ROUNDS} listings before each of which a turn was added.`,
      '',
      'The peer reads the same answers and the heads of the same events with `fs`, or looks once at each directory of the 5,000 and its turns.',
      '',
      '| What | median | worst | over the peer |',
      '|---|---:|---:|---:|',
      row(
        '`continue` with `dry_run`, first after start',
        planned,
        (p) => p.firstMs,
        (p) => p.peerMs,
      ),
      row(
        'the same once more',
        planned,
        (p) => p.againMs,
        (p) => p.peerMs,
      ),
      row(
        '`GET /sessions`',
        rounds,
        (r) => r.pageMs,
        (r) => r.peerMs,
      ),
      row(
        '`GET /sessions?limit=1000`',
        rounds,
        (r) => r.longPageMs,
        (r) => r.peerMs,
      ),
      '',
      `The first listing, which reads every log, took ${(indexMs / 1000).toFixed(1)} s. A daemon at rest has ${Math.round(middle(planned, (p) => p.idleMiB))} MiB; the first dry run adds at most ${Math.round(Math.max(...planned.map((p) => p.addedMiB)))} MiB at its peak.`,
    ].join('\n'),
  );
}

function row<T>(
  what: string,
  rounds: readonly T[],
  value: (round: T) => number,
  peer: (round: T) => number,
): string {
  const ratio = middle(rounds, (round) => value(round) / peer(round));
  const worst = Math.max(...rounds.map(value));
  return `| ${what} | ${Math.round(middle(rounds, value))} ms | ${Math.round(worst)} ms | ${ratio.toFixed(1)} |`;
}

function middle<T>(rounds: readonly T[], value: (round: T) => number): number {
  return median(rounds.map(value));
}
