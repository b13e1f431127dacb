import { statSync, type Stats } from 'node:fs';
import { confined } from './place.ts';
import type { ConfinedDirectory } from '../session.ts';

/** A file or directory whose time and size are remembered; time null where it was absent. */
export type Watched = readonly [path: string, modifiedMs: number | null, size: number];

const EVENTS = 'coordination_events.json';

/** Files that are rewritten in place; new ones show in the time of their directory. */
const FILES = new Set([
  EVENTS,
  'status.json',
  'execution_metadata.yaml',
  'metadata.json',
  'answer.txt',
]);

/** The metadata was written before the events, but a later run may overwrite it. */
const FILES_BESIDE_EVENTS = new Set([EVENTS, 'execution_metadata.yaml']);

/** Older logs have nothing but these to tell a question from. */
const LOG_FILES = new Set(['massgen.log', 'massgen_debug.log']);

const NOT_AGENTS = /^(?:turn_\d+|final|workspaces?|final_workspace|\..*|__.*)$/;

/** Turns between the first and the last whose answers are watched. */
const INNER_TURNS_MAX = 6;
/** Attempts of the last turn, agents with answers, and agents without status that are watched. */
const PARTS_MAX = 4;
/** All that is watched of one log: each costs about 2.5 µs in every listing. */
const WATCHED_MAX = 32;

/**
 * What tells whether a log has changed since it was read, in few stats. To be taken before reading.
 *
 *   always      the directory (a turn or a file was added), its files as below, *.jsonl
 *   last turn   its directory (a file was added, or replaced as MassGen does with status.json), the
 *               events and answers, which are rewritten last; where there are no events yet: all of
 *               FILES, `final`, and where there is no status.json either, the agents' directories;
 *               the same of its attempts
 *   first turn  events, answers, and the metadata, which later runs overwrite
 *   others      the answers of the last six
 *
 * A change within the tick of the file system's clock (4 ms on Linux) that keeps the size is not
 * seen, nor is one in the middle of a long log: a listing shows nothing of it.
 */
export function watchDirectory(path: string): readonly Watched[] {
  const directory = confined(path);
  if (directory === null) return [[path, null, 0]];
  const turns = directory
    .list('.')
    .filter((entry) => entry.kind === 'directory' && /^turn_\d+$/.test(entry.name))
    .map((entry) => entry.name)
    .toSorted((a, b) => Number(a.slice(5)) - Number(b.slice(5)));
  const paths = ['.', ...partsOf(directory, '.')];
  const last = turns.at(-1);
  if (last !== undefined) paths.push(last, ...partsOf(directory, last));
  if (turns.length > 1 && turns[0] !== undefined) {
    paths.push(...filesOf(directory, turns[0]), ...answersIn(directory, turns[0]));
  }
  for (const turn of turns.slice(1, -1).slice(-INNER_TURNS_MAX)) {
    paths.push(...answersIn(directory, turn));
  }
  return [...new Set(paths)]
    .slice(0, WATCHED_MAX)
    .map((inner) => watch(inner === '.' ? path : `${path}/${inner}`));
}

/** Of a log that is one file. */
export function watchFile(directory: string, file: string): readonly Watched[] {
  return [watch(`${directory}/${file}`)];
}

export function isUnchanged(watched: readonly Watched[]): boolean {
  for (const [path, modifiedMs, size] of watched) {
    const stat = statOf(path);
    if ((stat?.mtimeMs ?? null) !== modifiedMs || (stat?.size ?? 0) !== size) return false;
  }
  return watched.length > 0;
}

/** ms since 1970 UTC; null where nothing was there. */
export function newestOf(watched: readonly Watched[]): number | null {
  const times = watched.flatMap(([, modifiedMs]) => modifiedMs ?? []);
  return times.length === 0 ? null : Math.max(...times);
}

function watch(path: string): Watched {
  const stat = statOf(path);
  return [path, stat?.mtimeMs ?? null, stat?.size ?? 0];
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

/** What is watched of a turn, or of a log without turns. */
function partsOf(directory: ConfinedDirectory, path: string): string[] {
  const entries = directory.list(path);
  const found = [...filesOf(directory, path), ...answersIn(directory, path)];
  const has = (name: string): boolean => entries.some((entry) => entry.name === name);
  if (has('chats')) found.push(within(path, 'chats'));
  const children = entries.filter(({ kind }) => kind === 'directory').map(({ name }) => name);
  for (const attempt of children.filter((name) => /^attempt_\d+$/.test(name)).slice(-PARTS_MAX)) {
    const inner = within(path, attempt);
    found.push(inner, ...filesOf(directory, inner), ...answersIn(directory, inner));
  }
  if (has(EVENTS)) return found;
  if (has('final')) found.push(within(path, 'final'));
  if (has('status.json')) return found;
  const agents = children.filter((name) => !NOT_AGENTS.test(name)).slice(0, PARTS_MAX);
  return [...found, ...agents.map((name) => within(path, name))];
}

function filesOf(directory: ConfinedDirectory, path: string): string[] {
  const names = directory.list(path).flatMap(({ kind, name }) => (kind === 'file' ? [name] : []));
  const wanted = names.includes(EVENTS) ? FILES_BESIDE_EVENTS : FILES;
  const found = names.filter((name) => wanted.has(name) || name.endsWith('.jsonl'));
  const files = found.length > 0 ? found : names.filter((name) => LOG_FILES.has(name));
  return files.map((name) => within(path, name));
}

function answersIn(directory: ConfinedDirectory, path: string): string[] {
  const top = within(path, 'final');
  return directory
    .list(top)
    .filter((entry) => entry.kind === 'directory')
    .slice(0, PARTS_MAX)
    .map((entry) => `${top}/${entry.name}/answer.txt`);
}

function within(directory: string, name: string): string {
  return directory === '.' ? name : `${directory}/${name}`;
}
