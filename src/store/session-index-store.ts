import type { SessionIndex, SessionIndexRow } from '../sessions/archive/session-index.ts';
import { isBusy, type Connection } from './database.ts';

interface StoredRow {
  readonly directory: string;
  readonly file: string;
  readonly root: string;
  readonly name: string;
  readonly signature: string;
  readonly format: string;
  readonly session_id: string | null;
  readonly turns: number;
  readonly agents: string;
  readonly models: string;
  readonly updated_at_ms: number;
  readonly warnings: number;
}

/**
 * The index in the database. While another process holds the lock, reads give nothing and writes are
 * dropped: the caller reads the logs themselves then. Other errors of SQLite are thrown.
 */
export function createSessionIndexStore(connection: Connection): SessionIndex {
  const all = connection.prepare<[], StoredRow>('SELECT * FROM session_index');
  const ofRoot = connection.prepare<[string], StoredRow>(
    'SELECT * FROM session_index WHERE root = ?',
  );
  const put = connection.prepare<[StoredRow]>(
    `INSERT OR REPLACE INTO session_index
       (directory, file, root, name, signature, format, session_id, turns, agents, models,
        updated_at_ms, warnings)
     VALUES (@directory, @file, @root, @name, @signature, @format, @session_id, @turns, @agents,
       @models, @updated_at_ms, @warnings)`,
  );
  const remove = connection.prepare<[string, string]>(
    'DELETE FROM session_index WHERE directory = ? AND file = ?',
  );
  const putAll = connection.transaction((rows: readonly SessionIndexRow[]) => {
    for (const row of rows) put.run(storedRow(row));
  });
  const removeAll = connection.transaction((keys: Parameters<SessionIndex['remove']>[0]) => {
    for (const { directory, file } of keys) remove.run(directory, file ?? '');
  });

  return {
    read(root) {
      const stored = unlessBusy(() => (root === null ? all.all() : ofRoot.all(root))) ?? [];
      return stored.flatMap((row) => indexRow(row) ?? []);
    },
    put(rows) {
      if (rows.length > 0) unlessBusy(() => putAll.immediate(rows));
    },
    remove(keys) {
      if (keys.length > 0) unlessBusy(() => removeAll.immediate(keys));
    },
  };
}

function unlessBusy<T>(run: () => T): T | null {
  try {
    return run();
  } catch (error) {
    if (isBusy(error)) return null;
    throw error;
  }
}

function storedRow(row: SessionIndexRow): StoredRow {
  return {
    directory: row.directory,
    file: row.file ?? '',
    root: row.root,
    name: row.name,
    signature: row.signature,
    format: row.format,
    session_id: row.sessionId,
    turns: row.turns,
    agents: JSON.stringify(row.agents),
    models: JSON.stringify(row.models),
    updated_at_ms: Math.round(row.updatedAtMs),
    warnings: row.warnings,
  };
}

function indexRow(row: StoredRow): SessionIndexRow | null {
  const agents = names(row.agents);
  const models = names(row.models);
  if (agents === null || models === null) return null;
  return {
    directory: row.directory,
    file: row.file === '' ? null : row.file,
    root: row.root,
    name: row.name,
    signature: row.signature,
    format: row.format,
    sessionId: row.session_id,
    turns: row.turns,
    agents,
    models,
    updatedAtMs: row.updated_at_ms,
    warnings: row.warnings,
  };
}

/** A JSON array of texts; null for anything else. */
function names(json: string): readonly string[] | null {
  try {
    const value: unknown = JSON.parse(json);
    if (!Array.isArray(value)) return null;
    const texts = value.filter((item) => typeof item === 'string');
    return texts.length === value.length ? texts : null;
  } catch {
    return null;
  }
}
