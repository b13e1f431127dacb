import { Worker } from 'node:worker_threads';
import { ProxyError } from '../errors.ts';
import type { Conversations } from '../sessions/conversations.ts';
import type { RecordedExchange } from '../sessions/recording/recorder.ts';
import {
  receivedError,
  type ThreadCall,
  type ThreadData,
  type ThreadMethod,
  type ThreadReply,
} from './conversations-message.ts';
import type { SessionSettings } from './open-conversations.ts';

/**
 * Garbage of parsing is collected early instead of growing the process: a log with 20 MB of answers
 * took 80 MiB above idle with this and 100 without (npm run bench -- sessions).
 */
const YOUNG_GENERATION_MB = 16;

export interface ConversationsThreadOptions extends ThreadData {
  /** Asked at every call. */
  readonly settings: () => SessionSettings;
  /** The thread has died; the next call starts another. */
  readonly onError: (error: Error) => void;
}

/** Past conversations, worked on in a thread of their own that starts with the first call at the latest. */
export interface ConversationsThread extends Conversations {
  /** Starts the thread now, so that the first call does not wait for it. */
  warm(): void;
  /** Adds an exchange to its record; it is on the disk when this resolves. */
  record(exchange: RecordedExchange): Promise<void>;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export function createConversationsThread(
  options: ConversationsThreadOptions,
): ConversationsThread {
  const { databasePath, home, settings, onError } = options;
  const waiting = new Map<number, Waiting>();
  let worker: Worker | null = null;
  let calls = 0;

  function start(): Worker {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const data: ThreadData = { databasePath, home };
    const started = new Worker(new URL(`./conversations-worker.${extension}`, import.meta.url), {
      workerData: data,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    });
    started.unref();
    started.on('message', (reply: ThreadReply) => {
      const one = waiting.get(reply.id);
      waiting.delete(reply.id);
      if (reply.ok) one?.resolve(reply.value);
      else one?.reject(receivedError(reply.error));
    });
    started.on('error', onError);
    started.on('exit', () => {
      if (worker === started) worker = null;
      const error = new ProxyError('INTERNAL', 'The thread that reads session logs has stopped.');
      for (const one of waiting.values()) one.reject(error);
      waiting.clear();
    });
    return started;
  }

  function call<Value>(method: ThreadMethod, args: readonly unknown[]): Promise<Value> {
    worker ??= start();
    calls += 1;
    const message: ThreadCall = { id: calls, method, args, settings: settings() };
    const promise = new Promise<unknown>((resolve, reject) => {
      waiting.set(message.id, { resolve, reject });
    });
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, no window
    worker.postMessage(message);
    // The thread runs this version's own code.
    return promise as Promise<Value>;
  }

  return {
    warm() {
      worker ??= start();
    },
    list: (page) => call('list', [page]),
    show: (name) => call('show', [name]),
    history: (name) => call('history', [name]),
    plan: (name, request) => call('plan', [name, request]),
    begin: (name, request) => call('begin', [name, request]),
    finish: (claim, answer) => call('finish', [claim, answer]),
    abandon: (claim) => call('abandon', [claim]),
    record: (exchange) => call('record', [exchange]),
    async close() {
      if (worker === null) return;
      await call('close', []).catch(onError);
      await worker?.terminate();
    },
  };
}
