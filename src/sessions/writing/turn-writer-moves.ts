import { lstatSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ProxyError } from '../../errors.ts';
import type { TurnIntent, TurnIntents, TurnMove } from './intents.ts';
import { errorCode, type TurnFiles } from './turn-files.ts';

/** Names that are tried for a turn whose own was taken by another tool at the last moment. */
const NAMES_MAX = 100;

/** Errors of a rename onto something that is there; Windows also gives them for an empty directory. */
const TAKEN: ReadonlySet<string> = new Set(['EEXIST', 'ENOTEMPTY', 'EPERM', 'ENOTDIR', 'EISDIR']);

/**
 * Brings what is written to its final name, and gives the path where it is. When it has been moved
 * before, nothing happens. Null where something else stands there by now; then nothing was changed.
 */
export function moveInto(files: TurnFiles, { from, to }: TurnMove): string | null {
  if (!exists(from)) return to;
  // A rename would replace a file that has a content.
  if (isFull(to)) return null;
  try {
    files.rename(from, to);
  } catch (error) {
    if (errorCode(error) === 'ENOENT' && !exists(from)) return to;
    if (!TAKEN.has(errorCode(error))) throw error;
    if (!files.removeEmpty(to)) return null;
    files.rename(from, to);
  }
  return to;
}

/**
 * Finishes a decided intent, and says where each move led. A name that another tool has filled in the
 * meantime is left to it: the turn takes the next one, so that it is not lost. Throws what the file
 * system throws; the intent stays then and is finished the next time.
 */
export function finishMoves(
  files: TurnFiles,
  intents: TurnIntents,
  { id, moves }: Pick<TurnIntent, 'id' | 'moves'>,
): readonly string[] {
  const places = moves.map((move) => moveSomewhere(files, move));
  for (const parent of parentsOf(moves)) if (exists(parent)) files.syncDirectory(parent);
  intents.remove(id);
  return places;
}

/**
 * Removes what was written and the claims, as far as they are still empty. Of a dead writer it is not
 * known whether an empty directory is its own or was made by another tool in the same instant; that
 * one makes it again. What cannot be removed now is removed the next time.
 */
export function undoMoves(
  files: TurnFiles,
  intents: TurnIntents,
  { id, moves }: Pick<TurnIntent, 'id' | 'moves'>,
  claimed: readonly TurnMove[] = moves,
): void {
  intents.undo(id);
  for (const { from } of moves) files.removeTemporary(from);
  for (const { to } of claimed) files.removeEmpty(to);
  for (const parent of parentsOf(moves)) if (exists(parent)) files.syncDirectory(parent);
  intents.remove(id);
}

function moveSomewhere(files: TurnFiles, move: TurnMove): string {
  for (let later = 0; later < NAMES_MAX; later++) {
    const to = later === 0 ? move.to : laterName(move.to, later);
    const place = later === 0 || !exists(to) ? moveInto(files, { from: move.from, to }) : null;
    if (place !== null) return place;
  }
  throw new ProxyError(
    'TURN_NOT_WRITTEN',
    `The turn cannot be brought to ${move.to}: something else is there, and under the next names too.`,
    { where: move.to },
  );
}

function laterName(path: string, later: number): string {
  const name = basename(path);
  const number = /^turn_(\d+)$/.exec(name)?.[1];
  const next =
    number === undefined
      ? name.replace(/-([^-]*)$/, `-${later}-$1`)
      : `turn_${Number(number) + later}`;
  return join(dirname(path), next);
}

function parentsOf(moves: readonly TurnMove[]): ReadonlySet<string> {
  return new Set(moves.map(({ to }) => dirname(to)));
}

/** Whether there is anything, a dangling link too. */
export function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** Whether there is something that is no empty directory and no empty file. */
function isFull(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return false;
  if (found.isDirectory()) return readdirSync(path).length > 0;
  return !found.isFile() || found.size > 0;
}
