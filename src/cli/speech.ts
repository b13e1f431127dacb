import type { RepeatedTurn } from '../sessions/conversations.ts';
import { CommandFailure, type CliContext } from './context.ts';
import type { TalkOptions } from './continue-words.ts';
import { columnsOf, printable, printableText, styleFor } from './style.ts';

/** The model's words on stdout, as they come. */
export interface Speech {
  say(text: string): void;
  /** Ends the line that words stand on. */
  end(): void;
  /** The same after the whole answer: says it where none of it came as words. */
  finish(whole: string): void;
}

/** On a terminal the model's text may not move the cursor; elsewhere it goes out as it is. */
export function createSpeech(stdout: NodeJS.WriteStream): Speech {
  let isSilent = true;
  let isOpen = false;
  const say = (text: string): void => {
    if (text === '') return;
    stdout.write(stdout.isTTY ? printableText(text) : text);
    isSilent = false;
    isOpen = !text.endsWith('\n');
  };
  const end = (): void => {
    if (isOpen) stdout.write('\n');
    isOpen = false;
  };
  return {
    say,
    end,
    finish(whole) {
      if (isSilent) say(whole);
      end();
    },
  };
}

export function talkOptions({ env, stderr }: CliContext): TalkOptions {
  return { style: styleFor(stderr, env), width: columnsOf(stderr) };
}

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Runs `work` with a signal that is aborted at Ctrl-C, or when the process is asked to stop. */
export async function untilStopped<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController();
  const abort = (name: NodeJS.Signals): void => stop.abort(name);
  for (const name of STOP_SIGNALS) process.on(name, abort);
  try {
    return await work(stop.signal);
  } finally {
    for (const name of STOP_SIGNALS) process.off(name, abort);
  }
}

export function stopped(cause: unknown): CommandFailure {
  return new CommandFailure('failed', 'stopped; nothing was written', cause);
}

export function repeatedLine({ turn }: RepeatedTurn, { style }: TalkOptions): string {
  return style.dim(printable(`turn ${turn} was taken under this key before; nothing was sent`));
}
