import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NewTurn } from '../../src/sessions/contracts.ts';
import type { TurnIntents } from '../../src/sessions/writing/intents.ts';
import type { SessionLog } from '../../src/sessions/session.ts';
import { turnFiles, type TurnFiles } from '../../src/sessions/writing/turn-files.ts';
import { openDatabase } from '../../src/store/database.ts';
import { createSessionIntentStore } from '../../src/store/session-intent-store.ts';
import { ManualClock } from './manual-clock.ts';
import { put, putChat, putMetadata, putStored, putTurn } from './session-logs.ts';

/** 2030-03-01 10:00 UTC, later than any sample. */
const STARTED_AT_MS = Date.UTC(2030, 2, 1, 10);

/** A turn that agent_a has answered; of a later one all times are a minute later. */
export function newTurn(more: Partial<NewTurn> = {}, index = 0): NewTurn {
  const question = more.question ?? `New question ${index}: où ça? 😀`;
  const answer = more.answer ?? `New answer ${index}: là.\n\n* "quoted" é中😀\n`;
  const user = { role: 'user' as const, parts: [{ text: question }] };
  const model = { role: 'model' as const, parts: [{ text: answer }] };
  return {
    question,
    answer,
    contents: [user, model],
    model: 'gemini-2.5-pro',
    agentConfig: {
      id: 'agent_a',
      systemMessage: 'Be brief.',
      backend: { type: 'gemini', model: 'gemini-2.5-pro', temperature: 0.2 },
    },
    startedAtMs: STARTED_AT_MS + index * 60_000,
    endedAtMs: STARTED_AT_MS + index * 60_000 + 4_250,
    requestId: `req-${index}`,
    idempotencyKey: null,
    response: { candidates: [{ content: model, finishReason: 'STOP' }] },
    ...more,
  };
}

export function logAt(directory: string, more: Partial<SessionLog> = {}): SessionLog {
  return {
    name: 'log',
    root: null,
    directory,
    file: null,
    format: 'massgen',
    store: null,
    beside: `${directory}-beside`,
    ...more,
  };
}

/** A log of each format that takes a turn in its own layout, made below a directory. */
export const SAMPLE_LOGS: Readonly<Record<string, (directory: string) => SessionLog>> = {
  'a log of turns with its session store'(directory) {
    const log = join(directory, 'massgen_logs/log_20260301_090000');
    const store = join(directory, 'sessions/session_20260301_090000');
    for (const number of [1, 2]) {
      const turn = { question: `Question ${number}?`, answer: `Answer ${number}.` };
      putTurn(join(log, `turn_${number}`), turn);
      putStored(store, number, turn);
    }
    putMetadata(join(log, 'turn_1'), 'session_20260301_090000');
    return logAt(log, { store });
  },
  'a log of one question'(directory) {
    const log = join(directory, 'log_20260301_090000');
    putTurn(log, { question: 'Question 1?' });
    putMetadata(log, 'session_20260301_090000');
    return logAt(log);
  },
  'a session store'(directory) {
    const store = join(directory, 'session_20260301_090000');
    putStored(store, 1, { question: 'Question 1?', answer: 'Answer 1.' });
    return logAt(store, { format: 'massgen-session-store' });
  },
  'a chat of Gemini CLI'(directory) {
    const project = join(directory, 'project');
    const file = 'chats/session-2026-03-01T09-00-abcdef01.json';
    const id = 'abcdef01-0000-0000';
    putChat(join(project, file), { id, question: 'Question 1?', at: '2026-03-01T09:00:00.000Z' });
    return logAt(project, { format: 'gemini-cli', file });
  },
  'a chat of Gemini CLI in lines'(directory) {
    const project = join(directory, 'project');
    const file = 'chats/session-2026-03-01T09-00-abcdef01.jsonl';
    const at = '2026-03-01T09:00:00.000Z';
    const records = [
      { sessionId: 'abcdef01-0000-0000', projectHash: 'f00d', startTime: at, lastUpdated: at },
      { id: 'u1', timestamp: at, type: 'user', content: [{ text: 'Question 1?' }] },
      { id: 'm1', timestamp: at, type: 'gemini', content: 'Answer 1.', model: 'gemini-2.5-pro' },
    ];
    put(join(project, file), records.map((record) => `${JSON.stringify(record)}\n`).join(''));
    return logAt(project, { format: 'gemini-cli', file });
  },
};

/** Ids as if there were no others. */
export function ids(prefix = 'id'): () => string {
  let count = 0;
  return () => `${prefix}${++count}`;
}

/** The intents of a database as a process sees it that has just started. */
export function intentsAt(path: string): TurnIntents & { close(): void } {
  const connection = openDatabase(path);
  const store = createSessionIntentStore(connection, new ManualClock());
  return { ...store, close: () => connection.close() };
}

/** What the process does at one operation: it stops before it, or in the middle of writing a file. */
export interface Stop {
  readonly at: number;
  readonly torn?: boolean;
  /** Ends the process, or throws. */
  readonly die: () => never;
}

/**
 * Files and intents of a process that stops at an operation, counted from 0, and does nothing after it.
 * `operations` counts what was begun.
 */
export function stopping(
  intents: TurnIntents,
  stop: Stop,
): { files: TurnFiles; intents: TurnIntents; operations: () => number } {
  let count = 0;
  const step = (path?: string, bytes?: Uint8Array): void => {
    const index = count++;
    if (index < stop.at) return;
    if (index === stop.at && stop.torn === true && path !== undefined && bytes !== undefined) {
      turnFiles.writeFile(path, bytes.subarray(0, bytes.length / 2));
    }
    stop.die();
  };
  /** Each call is one operation. */
  function counted<Args extends unknown[], Result>(
    run: (...args: Args) => Result,
  ): (...args: Args) => Result {
    return (...args) => {
      step();
      return run(...args);
    };
  }
  const files: TurnFiles = {
    makeDirectory: counted(turnFiles.makeDirectory),
    writeFile(path, bytes) {
      step(path, bytes);
      turnFiles.writeFile(path, bytes);
    },
    rename: counted(turnFiles.rename),
    syncDirectory: counted(turnFiles.syncDirectory),
    removeTemporary: counted(turnFiles.removeTemporary),
    removeEmpty: counted(turnFiles.removeEmpty),
  };
  const counting: TurnIntents = {
    has: (log) => intents.has(log),
    of: (log) => intents.of(log),
    prepare: counted((intent) => intents.prepare(intent)),
    decide: counted((id) => intents.decide(id)),
    undo: counted((id) => intents.undo(id)),
    remove: counted((id) => intents.remove(id)),
  };
  return { files, intents: counting, operations: () => count };
}

/** Hash of each file and the kind of everything else below a directory, by path. */
export function fingerprints(directory: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const name of readdirSync(directory, { recursive: true }).map(String).toSorted()) {
    const path = join(directory, name);
    const stat = lstatSync(path);
    const hash = (): string => createHash('sha256').update(readFileSync(path)).digest('hex');
    found.set(name, stat.isFile() ? hash() : stat.isDirectory() ? 'directory' : 'other');
  }
  return found;
}
