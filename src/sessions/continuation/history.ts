import type { History } from '../conversations.ts';
import { repairContents } from './history-contents.ts';
import type { GeminiContent, Session, SessionWarning, Turn } from '../session.ts';

/** One turn as the next request carries it: from user to model, in turns. */
export interface HistoryTurn {
  readonly number: number;
  readonly contents: readonly GeminiContent[];
}

export interface HistoryTurns {
  /** In the order asked. */
  readonly turns: readonly HistoryTurn[];
  /** What was left out and why, with the file or directory it concerns. */
  readonly warnings: readonly SessionWarning[];
}

/**
 * What MassGen shows while it waits, or instead of an answer, and then remembers as one: in either
 * case nothing that a model has said.
 */
const NOISE = /^(?:🚀 ?Starting multi-agent coordination|⚠\ufe0f? ?\**Orchestrator Timeout)/u;

/** MassGen's header above the answer of a cancelled turn: lines in brackets, a rule, an empty line. */
const PARTIAL_HEADER = /^\[PARTIAL ANSWER[^\n]*\n(?:\[[^\n]*\n)*=*\n?\n*/;

/** The history that the next turn of a session would send, whole. Never throws. */
export function historyOf(session: Session): History {
  const { turns, warnings } = historyTurns(session);
  return { contents: turns.flatMap(({ contents }) => contents), warnings };
}

/** The same by turn. A question stays with its answer, or neither is sent. */
export function historyTurns(session: Session): HistoryTurns {
  const turns: HistoryTurn[] = [];
  const warnings: SessionWarning[] = [];
  for (const turn of session.turns) {
    const leaveOut = (file: string | null, why: string): void => {
      const message = `turn ${turn.number} ${why}; it is left out of the history`;
      warnings.push({ file: file ?? turn.directory, message });
    };
    if (!turn.answered) {
      leaveOut(turn.questionSource, 'has no answer');
      continue;
    }
    const read = contentsOf(turn);
    for (const repair of read.repairs) {
      warnings.push({
        file: turn.answerSource ?? turn.directory,
        message: `turn ${turn.number} ${repair}`,
      });
    }
    if (read.contents === null) leaveOut(turn.answerSource, read.why);
    else turns.push({ number: turn.number, contents: read.contents });
  }
  return { turns, warnings };
}

interface TurnContents {
  readonly contents: readonly GeminiContent[] | null;
  readonly repairs: readonly string[];
  /** Why there are none. */
  readonly why: string;
}

function contentsOf(turn: Turn): TurnContents {
  const { question, answer } = turn;
  if (turn.contents !== undefined) {
    const why = 'is kept without a whole question and answer';
    return { ...repairContents(turn.contents, answer), why };
  }
  if (question === null || question.trim() === '') return none('has an answer and no question');
  if (answer === null || answer.trim() === '') return none('has no answer');
  if (NOISE.test(answer.trimStart())) {
    return none('has a message of MassGen where its answer should be');
  }
  const text = answer.replace(PARTIAL_HEADER, '');
  if (text.trim() === '') return none('was cancelled before there was an answer');
  return {
    contents: [
      { role: 'user', parts: [{ text: question }] },
      { role: 'model', parts: [{ text }] },
    ],
    repairs: text === answer ? [] : ['was cancelled; its answer is only a part'],
    why: '',
  };
}

function none(why: string): TurnContents {
  return { contents: null, repairs: [], why };
}
