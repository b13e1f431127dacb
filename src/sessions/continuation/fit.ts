import { type BodyFacts, BodyScanner } from '../../gemini/body-scan.ts';
import { estimateTokens } from '../../gemini/cost.ts';
import { addTotals } from '../../gemini/media-total.ts';
import type { HistoryTurn } from './history.ts';

/** The newest turns for which a model has room. */
export interface FittedHistory {
  readonly turns: readonly HistoryTurn[];
  /** Input tokens of the request with these turns; as the queue estimates the same body. */
  readonly tokensEstimated: number;
}

/** Counting sums of a scan that add up over the parts of a body. */
const SUMS = [
  'bytes',
  'asciiChars',
  'cyrillicLikeChars',
  'cjkChars',
  'otherChars',
  'toolDeclarationChars',
  'functionCallChars',
  'functionResponseChars',
  'signatureChars',
  'fileDataCount',
] as const;

/**
 * Keeps as many of the newest turns as fit into `tokensMax` together with `body`, which is the request
 * without any of them. Each turn is read once, from the newest, and none beyond the first that does
 * not fit: the time is bounded by the model's window, not by the log.
 */
export function fitHistory(
  turns: readonly HistoryTurn[],
  { body, model, tokensMax }: { body: unknown; model: string; tokensMax: number },
): FittedHistory {
  let facts = scan(body);
  let first = turns.length;
  for (; first > 0; first--) {
    const turn = turns[first - 1];
    if (turn === undefined) break;
    const withTurn = added(facts, scanTurn(turn));
    if (estimateTokens(withTurn, model).inputTokens > tokensMax) break;
    facts = withTurn;
  }
  return {
    turns: turns.slice(first),
    tokensEstimated: estimateTokens(facts, model).inputTokens,
  };
}

/** Thoughts of a past turn are not read again; the question after it is what tells the scanner so. */
function scanTurn({ contents }: HistoryTurn): BodyFacts {
  return scan({ contents: [...contents, { role: 'user', parts: [{ text: '' }] }] });
}

function scan(value: unknown): BodyFacts {
  const scanner = new BodyScanner();
  scanner.push(Buffer.from(JSON.stringify(value)));
  return scanner.end();
}

function added(a: BodyFacts, b: BodyFacts): BodyFacts {
  const sum: { -readonly [Key in keyof BodyFacts]: BodyFacts[Key] } = { ...a };
  for (const key of SUMS) sum[key] = a[key] + b[key];
  sum.media = addTotals([...a.media, ...b.media]);
  sum.files = [...a.files, ...b.files];
  return sum;
}
