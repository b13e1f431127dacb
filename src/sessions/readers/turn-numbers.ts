import type { Turn } from '../session.ts';
import type { LogFiles } from './massgen-files.ts';

/** Turns that are looked into to know what kind of log it is: all are of one kind. */
export const TURNS_LOOKED_INTO = 20;

const TURN = /^turn_([1-9]\d{0,5})$/;

/** The turn directories of a log by their numbers: names that only look like one are left alone. */
export function turnNames(files: LogFiles): string[] {
  return files
    .directories('.')
    .filter((name) => TURN.test(name))
    .toSorted((a, b) => turnNumberOf(a) - turnNumberOf(b));
}

export function turnNumberOf(name: string): number {
  return Number(name.slice('turn_'.length));
}

export function warnOfGaps(files: LogFiles, turns: readonly Turn[]): void {
  let expected = 1;
  for (const turn of turns) {
    if (turn.number > expected) {
      const last = turn.number - 1;
      files.warn(
        '.',
        expected === last ? `turn ${last} is missing` : `turns ${expected} to ${last} are missing`,
      );
    }
    expected = turn.number + 1;
  }
}
