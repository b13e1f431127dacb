import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { ProxyError } from '../../errors.ts';
import { watchDirectory, newestOf, isUnchanged, type Watched } from './signature.ts';
import { readSession } from '../read-session.ts';
import type { Session, SessionLog } from '../session.ts';
import type { SessionIndexRow } from './session-index.ts';

/** A row with what it depends on. */
export interface Entry {
  readonly row: SessionIndexRow;
  /** Of the log itself. */
  readonly own: readonly Watched[];
  /** Of headgate's own turns beside it; null where there were none. */
  readonly beside: readonly Watched[] | null;
  /** MassGen's session store that was read with it, and what that was then. */
  readonly store: string | null;
  readonly storeVersion: string | null;
}

/** Longest first question that is shown, in characters. */
const QUESTION_LENGTH_MAX = 200;

/**
 * Reads a log whole; null when it has vanished or is none after all. `own` was taken before, so that
 * a change meanwhile is seen next time.
 */
export function readEntry(
  log: SessionLog,
  own: readonly Watched[],
  around: {
    readonly root: string;
    readonly sessionId: string | null;
    readonly store: Entry | null;
  },
): { readonly entry: Entry; readonly session: Session } | null {
  const beside = watchBeside(log.beside);
  const session = readUnlessGone(log);
  if (session === null) return null;
  const store = around.store?.row.directory ?? null;
  const storeVersion = around.store === null ? null : versionOf(around.store);
  const models = session.agents.flatMap((agent) => agent.model ?? []);
  const row: SessionIndexRow = {
    directory: log.directory,
    file: log.file,
    root: around.root,
    name: log.name,
    signature: JSON.stringify([own, beside, store, storeVersion]),
    format: session.format,
    sessionId: session.sessionId ?? around.sessionId,
    turns: session.turns.length,
    agents: session.agentIds,
    models: [...new Set(models)],
    updatedAtMs: Math.round(
      session.updatedAtMs ?? timeInName(log.file ?? log.directory) ?? newestOf(own) ?? 0,
    ),
    warnings: session.warnings.length,
  };
  return { entry: { row, own, beside, store, storeVersion }, session };
}

/** An entry as it was kept; null when its row is damaged, so that the log is read anew. */
export function entryOf(row: SessionIndexRow): Entry | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(row.signature);
  } catch {
    return null;
  }
  const parts: readonly unknown[] = Array.isArray(parsed) ? parsed : [];
  if (parts.length !== 4) return null;
  const [own, beside, store, storeVersion] = parts;
  if (!isWatched(own) || !(beside === null || isWatched(beside))) return null;
  if (!isTextOrNull(store) || !isTextOrNull(storeVersion)) return null;
  return { row, own, beside, store, storeVersion };
}

export function watchBeside(path: string): readonly Watched[] | null {
  const watched = watchDirectory(path);
  return watched.every(([, modifiedMs]) => modifiedMs === null) ? null : watched;
}

export function besideIsUnchanged(entry: Entry, exists: boolean): boolean {
  if (entry.beside === null) return !exists;
  return exists && isUnchanged(entry.beside);
}

/** Short, and another one after every change of the store. */
export function versionOf(store: Entry): string {
  return createHash('sha256').update(store.row.signature).digest('hex').slice(0, 16);
}

/** The question as it stands in a listing; null without one. */
export function firstQuestionOf(session: Session): string | null {
  const question = session.turns.find((turn) => turn.question !== null)?.question ?? null;
  if (question === null) return null;
  const characters = Array.from(question.slice(0, 2 * QUESTION_LENGTH_MAX + 2));
  if (characters.length <= QUESTION_LENGTH_MAX) return question;
  return `${characters.slice(0, QUESTION_LENGTH_MAX - 1).join('')}…`;
}

/** `log_20251025_225510_123456` and the like are local time without zone; null for other names. */
export function timeInName(path: string): number | null {
  const match = /(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)(\d\d)/.exec(basename(path));
  if (match === null) return null;
  const [, year, month, day, hour, minute, second] = match;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}`);
  return Number.isNaN(ms) ? null : ms;
}

function readUnlessGone(log: SessionLog): Session | null {
  try {
    return readSession(log);
  } catch (error) {
    if (error instanceof ProxyError) return null;
    throw error;
  }
}

function isWatched(value: unknown): value is readonly Watched[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every(
      (item: unknown) =>
        Array.isArray(item) &&
        item.length === 3 &&
        typeof item[0] === 'string' &&
        (item[1] === null || typeof item[1] === 'number') &&
        typeof item[2] === 'number',
    )
  );
}

function isTextOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string';
}
