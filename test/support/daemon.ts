import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config/load.ts';
import { type Daemon, startDaemon } from '../../src/daemon.ts';
import { createLogger } from '../../src/log.ts';
import { makeScenario, type ScenarioInput } from '../../src/simulator/scenario.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { startCli } from './cli.ts';

/** Windows are a tenth as long as they are for people, so that a test sees several of them. */
export const SPAN_MS = 6_000;
/** Longer than a busy machine keeps a call on its way, as the default of 1 s is for people. */
export const GUARD_MS = 500;

export interface DaemonConfig {
  /** The simulator's address. */
  readonly upstreamUrl: string;
  readonly limits: { readonly rpm: number | null; readonly tpm: number | null };
  /** Where the database lies; several daemons may share it. Default: a directory of its own. */
  readonly directory?: string;
  /** Of the file, where several daemons share a directory. */
  readonly name?: string;
  /** Default 0: any free port. A daemon that is to come back needs one of its own. */
  readonly port?: number;
  /** Any further keys of the file; they replace whole sections. */
  readonly rest?: Readonly<Record<string, unknown>>;
}

/** A simulated Gemini on the machine's own clock, closed with the test. */
export async function simulatorFor(t: Test, input: ScenarioInput): Promise<Simulator> {
  const scenario = makeScenario({ minute_span_ms: SPAN_MS, ...input });
  const simulator = await startSimulator({ clock: systemClock, random: Math.random, scenario });
  t.teardown(() => simulator.close());
  return simulator;
}

/** A new directory, removed with the test. */
export function directoryFor(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'headgate-daemon-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Writes a configuration file with shortened windows, one row of limits and no startup cooldown. */
export function writeConfig(t: Test, config: DaemonConfig): string {
  const {
    upstreamUrl,
    limits,
    directory = directoryFor(t),
    name = 'headgate',
    port = 0,
    rest = {},
  } = config;
  const file = join(directory, `${name}.yaml`);
  const content = {
    listen: `127.0.0.1:${port}`,
    upstream: { base_url: upstreamUrl, api_key: null },
    rate_limits: {
      profile: 'none',
      gemini: { default: { ...limits, rpd: null } },
      minute_span: `${SPAN_MS}ms`,
      window_guard: `${GUARD_MS}ms`,
    },
    cooldown: null,
    storage: { path: './headgate.db' },
    log: { level: 'info', format: 'json' },
    ...rest,
  };
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(content));
  return file;
}

/** The daemon of a configuration file, in this process, stopped with the test. */
export async function daemonFor(t: Test, file: string): Promise<Daemon> {
  const logger = createLogger({
    level: 'error',
    format: 'json',
    destination: process.stderr,
    secrets: () => [],
    clock: systemClock,
  });
  const load = () => loadConfig({ file, env: {}, cwd: tmpdir(), flags: {} });
  const daemon = await startDaemon({ load, logger });
  t.teardown(() => daemon.stop());
  return daemon;
}

/** A daemon in a process of its own, which can be killed. */
export interface SpawnedDaemon {
  readonly url: string;
  /** SIGKILL: nothing of it runs any more once this resolves. */
  kill(): Promise<void>;
}

/** Starts `headgate serve` and waits until it listens. Killed with the test. */
export async function spawnDaemon(t: Test, file: string): Promise<SpawnedDaemon> {
  const cli = startCli(t, ['serve', '--config', file]);
  const [, url = ''] = await cli.waitFor(/listening on (http:[^\s"]+)/);
  return {
    url,
    async kill() {
      cli.signal('SIGKILL');
      await cli.ended;
    },
  };
}

/** A port that is free now, for a daemon that comes back at the same address. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
