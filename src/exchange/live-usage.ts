import type { Usage } from '../gemini/answer-json.ts';
import { lastMember, usageOf } from '../gemini/answer-json.ts';
import { asObject, parseJson } from '../gemini/json-value.ts';
import { addKinds } from '../gemini/token-kinds.ts';

const MEMBER = Buffer.from('"usageMetadata"');
/** A longer message is a piece of audio or video; only its end is looked at. */
const PARSED_BYTES_MAX = 1_048_576;
const END_BYTES = 65_536;

/** The tokens of a turn, where a message of the upstream tells them; null where it does not. */
export function liveUsageOf(message: Buffer): Usage | null {
  if (!message.includes(MEMBER)) return null;
  if (message.length <= PARSED_BYTES_MAX) {
    const answer = asObject(parseJson(message.toString('utf8')));
    return asObject(answer?.['usageMetadata']) === null || answer === null ? null : usageOf(answer);
  }
  const end = message.subarray(-END_BYTES).toString('utf8');
  const usageMetadata = lastMember(end, 'usageMetadata');
  return usageMetadata === null ? null : usageOf({ usageMetadata });
}

/** Of all turns together. */
export function addUsage(sum: Usage | null, turn: Usage): Usage {
  if (sum === null) return turn;
  const kinds = addKinds(sum.kinds ?? null, turn.kinds ?? null);
  return {
    ...(kinds !== null && { kinds }),
    inputTokens: sum.inputTokens + turn.inputTokens,
    outputTokens: sum.outputTokens + turn.outputTokens,
    thoughtTokens: sum.thoughtTokens + turn.thoughtTokens,
    cachedTokens: sum.cachedTokens + turn.cachedTokens,
    totalTokens: sum.totalTokens + turn.totalTokens,
  };
}
