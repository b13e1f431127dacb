import { openConfined } from '../../confined-directory.ts';
import type { NewTurn, TakenTurn } from '../../contracts.ts';
import { sessionStoreReader } from '../../readers/session-store.ts';
import type { ConfinedDirectory, Session, SessionLog } from '../../session.ts';
import { cleanText } from '../../text.ts';
import { withAdded } from './added-files.ts';
import { KEPT_FILE, keptTurn, takenInTurns, turnNumbersIn } from './kept-turn.ts';
import { safeAgentId } from './safe-name.ts';
import { asciiJson, localIso, utf8 } from './texts.ts';
import type { PlanOptions, TurnLayout, TurnPlan } from './turn-layout.ts';

/** A session store without its log: a new `turn_N` as MassGen adds it, and what we keep of the turn. */
export const sessionStoreLayout: TurnLayout = { plan, taken };

/** What MassGen restores a turn from: `task` and `answer.txt`. */
export function storedTurnFiles(
  session: Session,
  turn: NewTurn,
  number: number,
): Map<string, Uint8Array> {
  const metadata = {
    turn: number,
    timestamp: localIso(turn.endedAtMs),
    winning_agent: safeAgentId(turn.agentConfig.id),
    task: turn.question,
    session_id: session.sessionId,
  };
  return new Map([
    ['metadata.json', asciiJson(metadata)],
    ['answer.txt', utf8(turn.answer)],
  ]);
}

function plan({ log, session, turn, tries }: PlanOptions): TurnPlan | string {
  const directory = openConfined(log.directory);
  const last = turnNumbersIn(directory).at(-1) ?? 0;
  const number = Math.max(session.nextTurn + tries, last + 1);
  const name = `turn_${number}`;
  const files = storedTurnFiles(session, turn, number);
  const placed = new Map([...files].map(([path, bytes]) => [`${name}/${path}`, bytes]));
  const [added] = sessionStoreReader.read(withAdded(null, placed)).turns;
  if (
    added?.answered !== true ||
    added.question !== cleanText(turn.question) ||
    added.answer !== cleanText(turn.answer)
  ) {
    return 'its reader would not give this turn back as it was';
  }
  files.set(KEPT_FILE, utf8(`${JSON.stringify(keptTurn(turn, number), null, 2)}\n`));
  return { number, pieces: [{ parent: directory.path, name, files }], warnings: [] };
}

function taken(log: SessionLog, idempotencyKey: string): TakenTurn | null {
  let directory: ConfinedDirectory;
  try {
    directory = openConfined(log.directory);
  } catch {
    return null;
  }
  return takenInTurns(directory, idempotencyKey);
}
