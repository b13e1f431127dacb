import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ProxyError } from '../../src/errors.ts';
import type { SessionIndex, SessionIndexRow } from '../../src/sessions/archive/session-index.ts';
import { keyOf } from '../../src/sessions/archive/session-index.ts';

/** Writes a file and the directories above it. */
export function put(path: string, content: string | object): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
}

/** One finished turn in MassGen's layout. `endedAt` is in epoch seconds. */
export function putTurn(
  directory: string,
  turn: { readonly question: string; readonly answer?: string; readonly endedAt?: number },
): void {
  const { question, answer = `Answer to ${question}`, endedAt = 1_760_000_000 } = turn;
  put(join(directory, 'final/agent_a/answer.txt'), answer);
  put(join(directory, 'coordination_events.json'), {
    session_metadata: {
      user_prompt: question,
      agent_ids: ['agent_a'],
      final_winner: 'agent_a',
      start_time: endedAt - 5,
      end_time: endedAt,
    },
    events: [],
  });
}

/** The metadata that names session and agents. */
export function putMetadata(directory: string, sessionId: string): void {
  put(
    join(directory, 'execution_metadata.yaml'),
    [
      'query: a question',
      'cli_args:',
      `  session_id: ${sessionId}`,
      '  mode: interactive',
      '  turn: 1',
      'config:',
      '  agents:',
      '  - id: agent_a',
      '    backend: {type: gemini, model: gemini-2.5-flash}',
      "massgen_version: '0.1.8'",
      'working_directory: /nowhere',
      '',
    ].join('\n'),
  );
}

/** One turn of MassGen's session store. */
export function putStored(
  store: string,
  number: number,
  turn: { readonly question: string; readonly answer: string },
): void {
  const directory = join(store, `turn_${number}`);
  put(join(directory, 'metadata.json'), {
    turn: number,
    timestamp: '2025-10-09T10:00:00',
    winning_agent: 'agent_a',
    task: turn.question,
    session_id: store.slice(store.lastIndexOf('/') + 1),
  });
  put(join(directory, 'answer.txt'), turn.answer);
}

/** A chat of Gemini CLI with one question. */
export function putChat(path: string, chat: { id: string; question: string; at: string }): void {
  const message = { id: 'm1', timestamp: chat.at, type: 'user', content: chat.question };
  const answer = {
    id: 'm2',
    timestamp: chat.at,
    type: 'gemini',
    content: 'Yes.',
    model: 'gemini-2.5-pro',
  };
  put(path, {
    sessionId: chat.id,
    projectHash: 'abc',
    startTime: chat.at,
    lastUpdated: chat.at,
    messages: [message, answer],
  });
}

/** Sets the times of a file or directory, epoch seconds. */
export function touch(path: string, at: number): void {
  utimesSync(path, at, at);
}

/** An index that lasts as long as the test. */
export function memoryIndex(): SessionIndex & { readonly rows: Map<string, SessionIndexRow> } {
  const rows = new Map<string, SessionIndexRow>();
  return {
    rows,
    read: (root) => [...rows.values()].filter((row) => root === null || row.root === root),
    put: (added) => added.forEach((row) => rows.set(keyOf(row), row)),
    remove: (keys) => keys.forEach((key) => rows.delete(keyOf(key))),
  };
}

/** The ProxyError that a promise rejects with; any other outcome is thrown. */
export async function proxyErrorOf(promise: Promise<unknown>): Promise<ProxyError> {
  const error: unknown = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof ProxyError) return error;
  throw new Error(`expected a ProxyError, got ${String(error)}`);
}
