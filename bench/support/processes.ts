import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { availableParallelism } from 'node:os';

/** A server in a process of its own. */
export interface RunningProcess {
  readonly origin: string;
  readonly pid: number;
  stop(): Promise<void>;
}

const READY_WAIT_MS_MAX = 15_000;

/** Whether this machine lets a process be held to one core. */
export const pinnable =
  availableParallelism() > 1 && spawnSync('taskset', ['-c', '0', 'true']).status === 0;

/** Holds this process, all of its threads included, to one core. */
export function pinSelf(core: number): void {
  if (pinnable) spawnSync('taskset', ['-acp', String(core), String(process.pid)]);
}

/** Starts Node on one core with a port of its choosing, and waits until `probe` answers 200. */
export async function startNode(
  core: number,
  { args, probe }: { args: (port: number) => readonly string[]; probe: string },
): Promise<RunningProcess> {
  const port = await freePort();
  const command = [process.execPath, ...args(port)];
  const [file = '', ...rest] = pinnable ? ['taskset', '-c', String(core), ...command] : command;
  const child = spawn(file, rest, { stdio: ['ignore', 'ignore', 'inherit'] });
  const origin = `http://127.0.0.1:${port}`;
  try {
    await untilReady(child, `${origin}${probe}`);
  } catch (error) {
    await stop(child);
    throw error;
  }
  return { origin, pid: child.pid ?? 0, stop: () => stop(child) };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('No port was given.');
  return address.port;
}

async function untilReady(child: ChildProcess, url: string): Promise<void> {
  const deadlineMs = performance.now() + READY_WAIT_MS_MAX;
  while (performance.now() < deadlineMs) {
    if (child.exitCode !== null) break;
    const answer = await fetch(url).catch(() => null);
    await answer?.arrayBuffer();
    if (answer?.ok === true) return;
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  }
  throw new Error(`${child.spawnargs.join(' ')} does not answer on ${url}`);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}
