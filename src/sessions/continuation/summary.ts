import type { ConversationSummary } from '../conversations.ts';
import type { Session } from '../session.ts';

const QUESTIONS_MAX = 5;
const QUESTION_CHARS_MAX = 80;
const ANSWER_CHARS_MAX = 300;

/** What a conversation was about, for people. Unanswered questions are in it, since they were asked. */
export function summaryOf(session: Session): ConversationSummary {
  const questions = session.turns
    .map(({ question }) => question?.trim() ?? '')
    .filter((question) => question !== '');
  const answer = session.turns.findLast((turn) => turn.answered && turn.answer !== null)?.answer;
  return {
    turns: session.turns.length,
    questions: questions.slice(-QUESTIONS_MAX).map((question) => cut(question, QUESTION_CHARS_MAX)),
    last_answer:
      answer === null || answer === undefined ? null : cut(answer.trim(), ANSWER_CHARS_MAX),
  };
}

/** At most so many characters, an ellipsis among them; no character is cut in half. */
function cut(text: string, charsMax: number): string {
  // A character has at most two units, so that no more than these need to be looked at.
  const points = Array.from(text.slice(0, 2 * charsMax + 2));
  return points.length > charsMax ? `${points.slice(0, charsMax - 1).join('')}…` : text;
}
