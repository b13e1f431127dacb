/** What was read from a session log while its files had these times and sizes; no question, no answer. */
export interface SessionIndexRow {
  /** Absolute and resolved. */
  readonly directory: string;
  /** Relative to the directory; null where the directory is the log. */
  readonly file: string | null;
  /** Absolute and resolved. */
  readonly root: string;
  /** Relative to the root. */
  readonly name: string;
  /** Times and sizes of the files that tell whether the log has changed; only compared. */
  readonly signature: string;
  readonly format: string;
  readonly sessionId: string | null;
  readonly turns: number;
  readonly agents: readonly string[];
  readonly models: readonly string[];
  /** ms since 1970 UTC. */
  readonly updatedAtMs: number;
  readonly warnings: number;
}

/** Names one row. */
export type SessionIndexKey = Pick<SessionIndexRow, 'directory' | 'file'>;

/**
 * What is known of session logs, kept over restarts and shared by processes. It is a cache: whoever
 * uses it checks each row against the disk, and a write that finds it locked is dropped.
 */
export interface SessionIndex {
  /** The rows of one root, or all; a damaged row is left out. */
  read(root: string | null): readonly SessionIndexRow[];
  /** Adds rows or replaces them, all or none. */
  put(rows: readonly SessionIndexRow[]): void;
  remove(keys: readonly SessionIndexKey[]): void;
}

/** One text for both parts of a key. */
export function keyOf({ directory, file }: SessionIndexKey): string {
  return file === null ? directory : `${directory}#${file}`;
}
