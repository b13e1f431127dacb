import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { stringify } from 'yaml';
import { directoryFor, freePort } from './daemon.ts';

/** Where the shipped rules and the scrape configuration lie. */
export const RULES = fileURLToPath(new URL('../../config/prometheus/', import.meta.url));
const DASHBOARD = new URL('../../config/grafana/headgate.json', import.meta.url);

export interface Panel {
  readonly title: string;
  readonly type: string;
  readonly description?: string;
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly { readonly expr: string }[];
}

export interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly type: string }[];
  };
}

export function readDashboard(): Dashboard {
  return JSON.parse(readFileSync(DASHBOARD, 'utf8'));
}

/** What Grafana would ask of Prometheus with every project and model chosen. */
export function queriesOf({ panels }: Dashboard): { title: string; expr: string }[] {
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({
      title,
      expr: expr
        .replaceAll('$__rate_interval', '1m')
        .replaceAll('$__range', '5m')
        .replaceAll(/\$(project|model)\b/g, '.*'),
    })),
  );
}

/** False where the program can be run, else why a test of it is left out. */
export function missing(program: string): string | false {
  return spawnSync(program, ['--version']).error === undefined
    ? false
    : `${program} is not on PATH`;
}

export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

export interface Alert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: 'pending' | 'firing';
}

export interface Target {
  readonly labels: Readonly<Record<string, string>>;
  readonly health: string;
  readonly lastError: string;
}

/** A Prometheus of the test's own. */
export interface Prometheus {
  /** Throws with Prometheus's own words where it does not understand. */
  query(expr: string): Promise<readonly Sample[]>;
  alerts(): Promise<readonly Alert[]>;
  targets(): Promise<readonly Target[]>;
}

/** Starts Prometheus on loopback with a configuration, and waits until it is ready. Ends with the test. */
export async function startPrometheus(t: Test, config: object): Promise<Prometheus> {
  const directory = directoryFor(t);
  const file = join(directory, 'prometheus.yml');
  writeFileSync(file, stringify(config));
  const port = await freePort();
  const child = spawn(
    'prometheus',
    [
      `--config.file=${file}`,
      `--storage.tsdb.path=${join(directory, 'samples')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
  const ended = once(child, 'close');
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const url = `http://127.0.0.1:${port}`;
  const isReady = await eventually(
    async () => {
      if (child.exitCode !== null) throw new Error(`Prometheus has ended:\n${log}`);
      return fetch(`${url}/-/ready`).then(
        ({ ok }) => ok,
        () => false,
      );
    },
    (ok) => ok,
  );
  if (!isReady) throw new Error(`Prometheus does not get ready:\n${log}`);
  const ask = async (path: string) => {
    const response = await fetch(`${url}/api/v1/${path}`);
    const { status, error, data } = JSON.parse(await response.text());
    if (status !== 'success') throw new Error(`${path}: ${error}`);
    return data;
  };
  return {
    query: async (expr) => (await ask(`query?query=${encodeURIComponent(expr)}`)).result,
    alerts: async () => (await ask('alerts')).alerts,
    targets: async () => (await ask('targets')).activeTargets,
  };
}

const POLL_MS = 250;
/** Two minutes, of which a busy machine may need some. */
const POLLS_MAX = 480;

/** Asks until it is so, and answers what was said last, whether it came to be so or not. */
export async function eventually<T>(ask: () => Promise<T>, isSo: (said: T) => boolean): Promise<T> {
  let said = await ask();
  for (let polls = 0; !isSo(said) && polls < POLLS_MAX; polls += 1) {
    await sleep(POLL_MS);
    said = await ask();
  }
  return said;
}
