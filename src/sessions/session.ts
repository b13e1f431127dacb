/** A session log as a reader has understood it, whatever tool wrote it. */
export interface Session {
  /** Which reader: massgen, massgen-legacy, massgen-session-store, gemini-cli, headgate. */
  readonly format: string;
  /** The tool's own id of the session; null where none is recorded. */
  readonly sessionId: string | null;
  /** In the order asked; numbers ascend and may have gaps. */
  readonly turns: readonly Turn[];
  /** The number that the next turn gets. */
  readonly nextTurn: number;
  /** As in the preserved configuration; empty where the log has none. */
  readonly agents: readonly SessionAgent[];
  /** Ids of the agents, also where no configuration is preserved. */
  readonly agentIds: readonly string[];
  /** When the last turn was taken, ms since 1970 UTC, by the log's content; null where it tells none. */
  readonly updatedAtMs: number | null;
  /** Version of the tool as recorded; null where it is not. */
  readonly toolVersion: string | null;
  readonly warnings: readonly SessionWarning[];
}

export interface Turn {
  readonly number: number;
  /** Null where it is written nowhere. */
  readonly question: string | null;
  /** Final text, decoded; null when the turn has none. */
  readonly answer: string | null;
  /** Whether a final answer was delivered. A degraded answer counts only where the log says so. */
  readonly answered: boolean;
  readonly winner: string | null;
  /** Files that question and answer are from, relative to the log directory. */
  readonly questionSource: string | null;
  readonly answerSource: string | null;
  /** Character encoding of the answer's file: utf-8, windows-1252, ... */
  readonly encoding: string | null;
  /** The answer is a draft or another fallback, not the final text itself. */
  readonly degraded: boolean;
  /** Directory that holds the turn, relative to the log directory; "." is the log directory. */
  readonly directory: string;
  /**
   * What was exchanged in this turn, as Gemini contents from the question to the last answer, where
   * the log keeps it; absent where question and answer are all there is.
   */
  readonly contents?: readonly GeminiContent[];
}

/** One entry of `contents` (https://ai.google.dev/api/caching#Content). */
export interface GeminiContent {
  readonly role: 'user' | 'model';
  readonly parts: readonly Readonly<Record<string, unknown>>[];
}

export interface SessionAgent {
  readonly id: string;
  /** Backend type, such as gemini or openai; null where it is not recorded. */
  readonly type: string | null;
  readonly model: string | null;
  readonly systemMessage: string | null;
  /** All backend keys as recorded, not to be copied blindly into a request. */
  readonly backend: Readonly<Record<string, unknown>>;
}

/** Something that was left out or guessed, and the file it concerns (relative to the log directory). */
export interface SessionWarning {
  readonly file: string;
  readonly message: string;
}

/**
 * One directory that may be read and nothing outside it: symbolic links are not followed out of it,
 * and all paths are relative with `/`. No method throws for what is on disk: what cannot be read is
 * null or absent, and says why in `problem`.
 */
export interface ConfinedDirectory {
  /** Absolute, resolved. */
  readonly path: string;
  /** Entries by name, sorted; empty when it cannot be listed. At most 10,000. */
  list(directory: string): readonly Entry[];
  /** Whether it is a regular file. */
  isFile(path: string): boolean;
  isDirectory(path: string): boolean;
  /** At most `bytesMax` from the start; null when it is no readable regular file inside. */
  read(path: string, bytesMax: number): ReadResult | null;
  /** Why `read` gave null for this path; null when it would not. */
  problem(path: string): string | null;
}

export interface Entry {
  readonly name: string;
  readonly kind: 'file' | 'directory' | 'other';
}

export interface ReadResult {
  readonly bytes: Buffer;
  /** Whether the file is longer than what was read. */
  readonly cut: boolean;
}

/** Where a session log is: one directory, or one file of a directory that holds many logs. */
export interface SessionLog {
  /** As users name it: the path relative to its root, or absolute outside every root. */
  readonly name: string;
  /** Absolute; null outside every root. */
  readonly root: string | null;
  /** Absolute and resolved. */
  readonly directory: string;
  /** Relative to the directory; null where the directory is the log. */
  readonly file: string | null;
  readonly format: string;
  /** MassGen's session store of the same session, absolute and resolved; null where there is none. */
  readonly store: string | null;
  /**
   * Absolute path of headgate's own record of turns that are not in the log itself, whether or not
   * it exists yet (`sessions.write: beside`, logs that cannot be written).
   */
  readonly beside: string;
}

/**
 * One log format. A log is a directory, or one `file` of a directory that holds many logs: then
 * `file` is its path relative to the directory, and readers of directory formats do not claim it.
 */
export interface SessionReader {
  readonly format: string;
  /** Whether the log is of this format, by its content. Cheap; never throws. */
  claims(directory: ConfinedDirectory, file?: string): boolean;
  /** Everything that is whole; what is not is left out with a warning. Never throws. */
  read(directory: ConfinedDirectory, file?: string): Session;
}
