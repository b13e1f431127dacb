import type { Session, Turn } from '../session.ts';
import { insideOf, latest } from '../store-merge.ts';

/**
 * A session with the turns that headgate recorded beside it. They come after the log's own, whatever
 * numbers they had when they were taken, and keep their contents. `path` is the record's directory
 * relative to the log's, for sources and warnings.
 */
export function appendRecord(session: Session, record: Session, path: string): Session {
  const placed = (file: string | null): string | null =>
    file === null ? null : insideOf(path, file);
  let next = session.nextTurn;
  const turns = record.turns.map((turn): Turn => {
    const number = Math.max(next, turn.number);
    next = number + 1;
    return {
      ...turn,
      number,
      questionSource: placed(turn.questionSource),
      answerSource: placed(turn.answerSource),
      directory: '.',
    };
  });
  return {
    ...session,
    turns: [...session.turns, ...turns],
    nextTurn: Math.max(next, record.nextTurn),
    agents: session.agents.length > 0 ? session.agents : record.agents,
    agentIds: session.agentIds.length > 0 ? session.agentIds : record.agentIds,
    updatedAtMs: latest(session.updatedAtMs, record.updatedAtMs),
    warnings: [
      ...session.warnings,
      ...record.warnings.map(({ file, message }) => ({ file: insideOf(path, file), message })),
    ],
  };
}
