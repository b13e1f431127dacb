import type { Session, SessionWarning, Turn } from '../sessions/session.ts';

/**
 * A warning belongs to the turn whose question or answer is from its file, else to the one whose
 * directory is the innermost around it. Where that fits several turns, as in a log of one file, it
 * is about none of them in particular.
 */
export function warningsByTurn({ turns, warnings }: Session): ReadonlyMap<Turn, SessionWarning[]> {
  const bySource = new Map<string, Turn | null>();
  const byDirectory = new Map<string, Turn | null>();
  for (const turn of turns) {
    const sources = new Set([turn.questionSource, turn.answerSource]);
    for (const source of sources) if (source !== null) note(bySource, source, turn);
    note(byDirectory, turn.directory, turn);
  }
  const found = new Map<Turn, SessionWarning[]>();
  for (const warning of warnings) {
    const turn = bySource.get(warning.file) ?? turnAround(warning.file, byDirectory);
    if (turn === null) continue;
    const known = found.get(turn);
    if (known === undefined) found.set(turn, [warning]);
    else known.push(warning);
  }
  return found;
}

function note(turns: Map<string, Turn | null>, place: string, turn: Turn): void {
  turns.set(place, turns.has(place) ? null : turn);
}

function turnAround(file: string, byDirectory: ReadonlyMap<string, Turn | null>): Turn | null {
  let directory = file;
  while (directory !== '.') {
    const known = byDirectory.get(directory);
    if (known !== undefined) return known;
    const slash = directory.lastIndexOf('/');
    directory = slash === -1 ? '.' : directory.slice(0, slash);
  }
  return byDirectory.get('.') ?? null;
}
