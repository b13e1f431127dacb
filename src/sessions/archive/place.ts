import { basename, dirname } from 'node:path';
import { openConfined } from '../confined-directory.ts';
import { logFilesIn, readerFor } from '../readers/readers.ts';
import type { ConfinedDirectory } from '../session.ts';

/** What a directory is to the archive: a log itself, or a place of logs that are files, or neither. */
export interface Contents {
  /** Of the log that the directory is; null when it is none. */
  readonly format: string | null;
  /** Logs that are files, relative to the directory; empty where the directory is a log. */
  readonly files: readonly string[];
}

/** Names that stand at the top of a log, or of one of its turns. */
const TOP =
  /^(?:turn_\d+|attempt_\d+|final|coordination_events\.json|execution_metadata\.yaml|status\.json|massgen(?:_debug)?\.log|[^/]*\.jsonl)$/;

/** What MassGen names its logs and sessions: a directory that holds some is no log itself. */
const LOG_NAME = /^(?:log|session)_\d{8}_\d{6}/;

/** Directories of one directory that are asked whether they are logs; a log has an agent in each. */
const CHILDREN_MAX = 16;

/** Levels between a path inside a log and the log: turn, attempt, `final`, agent, time, workspace. */
const LEVELS_MAX = 8;

const NOTHING: Contents = { format: null, files: [] };

/** Never throws: what cannot be read holds nothing. */
export function contentsOf(path: string): Contents {
  const directory = confined(path);
  if (directory === null) return NOTHING;
  // Asked first: a reader would look for agents in each log of a directory full of them.
  const reader = holdsLogs(directory) ? null : readerFor(directory);
  if (reader !== null) return { format: reader.format, files: [] };
  return { format: null, files: logFilesIn(directory) };
}

/**
 * The log that a directory is or lies in, or null: upwards, and where that is a single turn or
 * attempt, the log around it. Looks no higher than `top`.
 */
export function logAround(
  path: string,
  top: string | null,
): { path: string; format: string } | null {
  let found: { path: string; format: string } | null = null;
  let current = path;
  for (let level = 0; level <= LEVELS_MAX; level++) {
    const format = hasTop(current) ? contentsOf(current).format : null;
    if (format !== null) found = { path: current, format };
    // A turn that was copied out of its log stands alone.
    else if (found !== null) break;
    if (found !== null && !/^(?:turn|attempt)_\d+$/.test(basename(current))) break;
    if (current === top || dirname(current) === current) break;
    current = dirname(current);
  }
  if (found !== null) return found;
  const format = path === top ? null : contentsOf(path).format;
  return format === null ? null : { path, format };
}

/** For people: what stands in a directory. */
export function inventoryOf(path: string): string {
  const names =
    confined(path)
      ?.list('.')
      .map((entry) => entry.name) ?? [];
  if (names.length === 0) return 'it is empty';
  const shown = names.slice(0, 4).map((name) => JSON.stringify(name.slice(0, 60)));
  const rest = names.length - shown.length;
  return `it holds ${shown.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

/** Of a root: it counts as a log only where it looks like one, and not merely like many. */
export function contentsOfRoot(path: string): Contents {
  if (hasTop(path)) return contentsOf(path);
  const directory = confined(path);
  return directory === null ? NOTHING : { format: null, files: logFilesIn(directory) };
}

export function confined(path: string): ConfinedDirectory | null {
  try {
    return openConfined(path);
  } catch {
    return null;
  }
}

/**
 * Readers recognise a log by what it holds, at any depth that agents' names lead to, so that a
 * directory of flat logs looks to them like one log of many agents.
 */
function holdsLogs(directory: ConfinedDirectory): boolean {
  const entries = directory.list('.');
  const children = entries.filter((entry) => entry.kind === 'directory');
  if (children.some((entry) => LOG_NAME.test(entry.name))) return true;
  if (entries.some((entry) => TOP.test(entry.name))) return false;
  return children
    .slice(0, CHILDREN_MAX)
    .some((child) => directory.list(child.name).some((entry) => TOP.test(entry.name)));
}

/** Whether something stands in it that stands at the top of a log or of a turn. */
export function hasTop(path: string): boolean {
  return (
    confined(path)
      ?.list('.')
      .some((entry) => TOP.test(entry.name)) === true
  );
}
