/**
 * What a call costs on its way through headgate, beside two relays that do nothing else. All
 * relays share one core in turn; upstream and load share another. Rounds are interleaved, so that
 * a slow minute of the machine hits all alike, and differences are taken within a round.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { callFor, median, type RoundResult } from './support/load.ts';
import { pinnable, pinSelf, type RunningProcess, startNode } from './support/processes.ts';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 7);
const ROUND_MS = 1500;
const WARM_UP_MS = 2000;
const CONCURRENCIES = [1, 32] as const;

const RELAY_CORE = 0;
const LOAD_CORE = 1;

const PEERS = fileURLToPath(new URL('support/peers.ts', import.meta.url));
const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));

/** Limits that are counted in full and never reached. */
const CONFIG = `
upstream: { base_url: UPSTREAM, api_key: bench }
rate_limits:
  gemini:
    gemini-2.5-flash: { rpm: 1000000000, tpm: 1000000000000, rpd: 1000000000 }
cooldown: null
sessions: { roots: [], record: off }
storage: { path: ./headgate.db }
`;

interface Measured {
  readonly name: string;
  readonly origin: string;
  /** Results by concurrency, one per round. */
  readonly rounds: Map<number, RoundResult[]>;
}

const directory = mkdtempSync(join(tmpdir(), 'headgate-bench-'));
const running: RunningProcess[] = [];
try {
  const targets = await startAll();
  pinSelf(LOAD_CORE);
  await measure(targets);
  print(targets);
} finally {
  for (const child of running) await child.stop();
  rmSync(directory, { recursive: true, force: true });
}

async function startAll(): Promise<Measured[]> {
  const upstream = await startPeer('upstream', '', LOAD_CORE);
  return [
    target('direct', upstream),
    target('bare fastify + undici', await startPeer('bare-relay', upstream)),
    target('@fastify/http-proxy', await startPeer('fastify-http-proxy', upstream)),
    target('headgate', await startHeadgate('counting', upstream)),
    target('headgate --no-rate-limit', await startHeadgate('off', upstream, '--no-rate-limit')),
  ];
}

async function startPeer(name: string, upstream: string, core = RELAY_CORE): Promise<string> {
  return keep(
    await startNode(core, {
      args: (port) => [...process.execArgv, PEERS, name, String(port), upstream],
      probe: '/',
    }),
  );
}

/** `name` is a directory of its own: two headgates on one database would count together. */
async function startHeadgate(name: string, upstream: string, ...flags: string[]): Promise<string> {
  const config = join(directory, name, 'config.yaml');
  mkdirSync(join(directory, name));
  writeFileSync(config, CONFIG.replace('UPSTREAM', upstream));
  const settings = ['--config', config, '--log-level', 'warn', ...flags];
  return keep(
    await startNode(RELAY_CORE, {
      args: (port) => [MAIN, 'serve', '--listen', `127.0.0.1:${port}`, ...settings],
      probe: '/livez',
    }),
  );
}

function target(name: string, origin: string): Measured {
  return { name, origin, rounds: new Map(CONCURRENCIES.map((concurrency) => [concurrency, []])) };
}

function keep(child: RunningProcess): string {
  running.unshift(child);
  return child.origin;
}

async function measure(targets: readonly Measured[]): Promise<void> {
  for (const { origin } of targets) {
    await callFor(origin, { concurrency: 8, durationMs: WARM_UP_MS });
  }
  for (let round = 0; round < ROUNDS; round += 1) {
    process.stderr.write(`round ${round + 1} of ${ROUNDS}\n`);
    for (const concurrency of CONCURRENCIES) {
      // Another target begins each round, so that none always follows the same one.
      for (let turn = 0; turn < targets.length; turn += 1) {
        const target = targets[(round + turn) % targets.length];
        const result =
          target && (await callFor(target.origin, { concurrency, durationMs: ROUND_MS }));
        if (result) target.rounds.get(concurrency)?.push(result);
      }
    }
  }
}

function print(targets: readonly Measured[]): void {
  const cores = pinnable
    ? 'The relay has one core, upstream and load another.'
    : 'Processes could not be held to one core, so the cores are shared.';
  const lines = [
    `A small generateContent call to an upstream that answers at once. ${cores} Medians of ${ROUNDS} interleaved rounds of ${ROUND_MS / 1000} s; added time is the difference to the direct call of the same round.`,
  ];
  for (const concurrency of CONCURRENCIES) {
    lines.push(
      '',
      `**${concurrency === 1 ? 'One call' : `${concurrency} calls`} at a time**`,
      '',
      '| Way | calls/s | of the bare relay | p50 added | p99 added |',
      '|---|---:|---:|---:|---:|',
      ...targets.map((target) => row(target, concurrency, targets)),
    );
  }
  console.log(lines.join('\n'));
}

function row(target: Measured, concurrency: number, targets: readonly Measured[]): string {
  const [direct, bare] = targets;
  const added = (of: 'p50Ms' | 'p99Ms'): string =>
    target === direct
      ? 'none'
      : `${ofRounds(target, direct, (a, b) => a[of] - b[of]).toFixed(2)} ms`;
  const calls = ofRounds(target, target, (a) => a.callsPerSecond);
  const share = ofRounds(target, bare, (a, b) => a.callsPerSecond / b.callsPerSecond);
  return `| ${target.name} | ${Math.round(calls)} | ${share.toFixed(2)} | ${added('p50Ms')} | ${added('p99Ms')} |`;

  function ofRounds(
    a: Measured,
    b: Measured | undefined,
    of: (a: RoundResult, b: RoundResult) => number,
  ): number {
    const others = b?.rounds.get(concurrency) ?? [];
    return median(
      (a.rounds.get(concurrency) ?? []).flatMap((result, round) => {
        const other = others[round];
        return other === undefined ? [] : [of(result, other)];
      }),
    );
  }
}
