import type { Clock } from '../clock.ts';
import type { Conversations } from '../sessions/conversations.ts';

/** What a command has of the process. */
export interface CliContext {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly stdin: NodeJS.ReadStream;
  /** Data. */
  readonly stdout: NodeJS.WriteStream;
  /** Talk. */
  readonly stderr: NodeJS.WriteStream;
  readonly clock: Clock;
  /** Past conversations in the place of those on this machine's disk. */
  readonly conversations?: Conversations;
}

/** 69 and 78 are EX_UNAVAILABLE and EX_CONFIG of sysexits.h. */
export const EXIT_CODES = {
  ok: 0,
  failed: 1,
  usage: 2,
  unreachable: 69,
  badConfig: 78,
} as const;

/** Ends a command with a message on stderr and an exit code. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  readonly exitCode: number;

  constructor(outcome: Exclude<keyof typeof EXIT_CODES, 'ok'>, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.exitCode = EXIT_CODES[outcome];
  }
}

export function printLine(stream: NodeJS.WriteStream, line = ''): void {
  stream.write(`${line}\n`);
}

export function printJson(stream: NodeJS.WriteStream, value: unknown): void {
  stream.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** Resolves after `delayMs`, or at once when `signal` is aborted. */
export function pause(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = clock.after(delayMs, end);
    if (signal?.aborted === true) end();
    else signal?.addEventListener('abort', end);
  });
}
