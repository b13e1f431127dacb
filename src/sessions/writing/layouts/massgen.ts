import { openConfined } from '../../confined-directory.ts';
import type { NewTurn, TakenTurn } from '../../contracts.ts';
import { massgenReader } from '../../readers/massgen.ts';
import { cleanText } from '../../text.ts';
import type { ConfinedDirectory, SessionLog, SessionWarning, Turn } from '../../session.ts';
import { withAdded } from './added-files.ts';
import { takenInTurns, turnNumbersIn } from './kept-turn.ts';
import { massgenTurnFiles } from './massgen-files.ts';
import { safeAgentId } from './safe-name.ts';
import { storedTurnFiles } from './session-store.ts';
import type { PlanOptions, TurnLayout, TurnPiece, TurnPlan } from './turn-layout.ts';

/**
 * MassGen's log directories: a new `turn_N` in the log, also beside the files of a log of one question,
 * and where the session has a session store, the same `turn_N` there. `massgen --continue` reads only
 * the store.
 */
export const massgenLayout: TurnLayout = { plan, taken };

function plan({ log, session, turn, tries }: PlanOptions): TurnPlan | string {
  const directory = openConfined(log.directory);
  const store = log.store === null || log.store === directory.path ? null : open(log.store);
  const numbers = [directory, ...(store === null ? [] : [store])].flatMap(turnNumbersIn);
  const number = Math.max(session.nextTurn + tries, ...numbers.map((known) => known + 1));
  const name = `turn_${number}`;
  const files = massgenTurnFiles(log, session, turn, number);
  const problem = whyNotReadBack(directory, files, turn, number);
  if (problem !== null) return problem;
  const pieces: TurnPiece[] = [{ parent: directory.path, name, files }];
  const warnings: SessionWarning[] = [];
  if (store !== null) {
    const stored = storedTurnFiles(session, turn, number);
    pieces.push({ parent: store.path, name, files: stored });
  } else if (log.store !== null && log.store !== directory.path) {
    const message = `turn ${number} is not in the session store, which cannot be opened`;
    warnings.push({ file: '.', message });
  }
  return { number, pieces, warnings };
}

function taken(log: SessionLog, idempotencyKey: string): TakenTurn | null {
  const directory = open(log.directory);
  return directory === null ? null : takenInTurns(directory, idempotencyKey);
}

/**
 * Reads the turn as it will stand there. Turns in directories of their own are read each by itself; what
 * a flat log becomes once there is a turn beside it is only told by reading all of it.
 */
function whyNotReadBack(
  directory: ConfinedDirectory,
  files: ReadonlyMap<string, Uint8Array>,
  turn: NewTurn,
  number: number,
): string | null {
  const name = `turn_${number}`;
  const placed = new Map([...files].map(([path, bytes]) => [`${name}/${path}`, bytes]));
  const isFlat = turnNumbersIn(directory).length === 0;
  const after = massgenReader.read(withAdded(isFlat ? directory : null, placed)).turns;
  const added = after.find((one) => one.number === number);
  const winner = safeAgentId(turn.agentConfig.id);
  if (added === undefined || !isSameTurn(added, turn) || added.winner !== winner) {
    return 'its reader would not give this turn back as it was';
  }
  if (!isFlat) return null;
  const before = massgenReader.read(directory).turns;
  return JSON.stringify(before) === JSON.stringify(after.filter((one) => one !== added))
    ? null
    : 'a turn beside its files would hide the ones that are there';
}

/** Whether a turn was read as it was written, but for line ends. */
export function isSameTurn(read: Turn, written: NewTurn): boolean {
  return (
    read.answered &&
    !read.degraded &&
    read.question === cleanText(written.question) &&
    read.answer === cleanText(written.answer)
  );
}

function open(path: string): ConfinedDirectory | null {
  try {
    return openConfined(path);
  } catch {
    return null;
  }
}
