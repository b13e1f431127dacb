import { sameText } from './readers/massgen-files.ts';
import type { Session, SessionWarning, Turn } from './session.ts';

type Warn = (file: string | null, message: string) => void;

/**
 * A log with its session store as a second, better encoded source. The log is right about what it
 * tells whole; the store fills what the log lacks, and only under the same number and question.
 * `path` is the store's directory relative to the log's, for sources and warnings.
 */
export function mergeStore(log: Session, store: Session, path: string): Session {
  const warnings: SessionWarning[] = [
    ...log.warnings,
    ...store.warnings.map(({ file, message }) => ({ file: insideOf(path, file), message })),
  ];
  const warn: Warn = (file, message) => {
    warnings.push({ file: insideOf(path, file ?? '.'), message });
  };
  const turns = log.turns.map((turn) => {
    const stored = store.turns.find((one) => one.number === turn.number);
    return stored === undefined ? turn : mergeTurn(turn, stored, path, warn);
  });
  for (const stored of store.turns) {
    if (log.turns.some((turn) => turn.number === stored.number || samePair(turn, stored))) continue;
    if (stored.question === null && stored.answer === null) continue;
    warn(stored.answerSource ?? stored.questionSource, `turn ${stored.number} is only here`);
    turns.push(fromStore(stored, '.', path));
  }
  const ids = log.agentIds.length > 0 ? log.agentIds : store.agentIds;
  return {
    ...log,
    sessionId: log.sessionId ?? store.sessionId,
    turns: turns.toSorted((a, b) => a.number - b.number),
    nextTurn: Math.max(log.nextTurn, store.nextTurn),
    agents: log.agents.length > 0 ? log.agents : store.agents,
    agentIds: ids,
    updatedAtMs: latest(log.updatedAtMs, store.updatedAtMs),
    warnings,
  };
}

/** The later of two times of which either may be unknown. */
export function latest(one: number | null, other: number | null): number | null {
  return one === null || other === null ? (one ?? other) : Math.max(one, other);
}

/** A path of the store as seen from the log. */
export function insideOf(path: string, file: string): string {
  return file === '.' ? path : `${path}/${file}`;
}

function mergeTurn(turn: Turn, stored: Turn, path: string, warn: Warn): Turn {
  const { question } = turn;
  if (stored.question === null) return turn;
  if (question !== null && sameText(question, stored.question)) {
    return withStoredAnswer(turn, stored, path, warn);
  }
  // The store has the pair whole, and the log does not say that it is another one.
  if (question === null || (turn.degraded && turn.answer === stored.answer)) {
    warn(stored.questionSource, `turn ${stored.number} is read from here`);
    return fromStore(stored, turn.directory, path);
  }
  warn(stored.questionSource, `has another question than turn ${turn.number} of the log; left out`);
  return turn;
}

/** Of two turns with the same question. */
function withStoredAnswer(turn: Turn, stored: Turn, path: string, warn: Warn): Turn {
  if (stored.answer === null) return turn;
  const instead: Turn = {
    ...fromStore(stored, turn.directory, path),
    question: turn.question,
    questionSource: turn.questionSource,
    winner: turn.winner ?? stored.winner,
  };
  if (turn.answer === null || (turn.degraded && stored.answered && turn.answer !== stored.answer)) {
    warn(stored.answerSource, `stands in for the answer of turn ${turn.number}`);
    return instead;
  }
  // What was only partly written is an older state of a turn that was delivered.
  if (!stored.answered) return turn;
  // Two copies that agree leave no doubt about the pair.
  if (stored.answer === turn.answer) return { ...turn, answered: true, degraded: false };
  if (turn.encoding !== 'utf-8' && stored.encoding === 'utf-8') {
    warn(
      stored.answerSource,
      `is better encoded than the answer of turn ${turn.number} in the log`,
    );
    return instead;
  }
  if (stored.answer.startsWith(turn.answer)) {
    warn(stored.answerSource, `has more of the answer of turn ${turn.number} than the log`);
    return instead;
  }
  // MassGen names the place of the files anew in the stored copy.
  if (stored.answer.includes(`turn_${stored.number}/workspace`)) return turn;
  warn(stored.answerSource, `differs from the answer of turn ${turn.number} in the log`);
  return turn.answer.startsWith(stored.answer) ? turn : { ...turn, degraded: true };
}

function samePair(one: Turn, other: Turn): boolean {
  return (
    one.question !== null &&
    other.question !== null &&
    sameText(one.question, other.question) &&
    one.answer === other.answer
  );
}

function fromStore(stored: Turn, directory: string, path: string): Turn {
  const placed = (file: string | null): string | null =>
    file === null ? null : insideOf(path, file);
  return {
    ...stored,
    questionSource: placed(stored.questionSource),
    answerSource: placed(stored.answerSource),
    directory,
  };
}
