import { vector } from './answer.ts';
import { field, list, text } from './json.ts';
import { objectIn, ok, type ResourceAnswer, type ResourceRequest } from './resource-answer.ts';
import { countTextTokens, hash } from './tokenizer.ts';

/** The calls of PaLM and of attributed answers, which a few old programs still send. */
export function legacyAnswer({ body }: ResourceRequest, verb: string): ResourceAnswer | null {
  const asked = objectIn(body);
  switch (verb) {
    case 'generateAnswer': {
      const content = { parts: [{ text: 'An answer.' }], role: 'model' };
      const answer = { content, finishReason: 'STOP', groundingAttributions: [] };
      return ok({ answer, answerableProbability: 0.5 });
    }
    case 'generateText':
      return ok({ candidates: [{ output: promptOf(asked), safetyRatings: [] }] });
    case 'generateMessage':
      return ok({ candidates: [{ author: '1', content: promptOf(asked) }] });
    case 'embedText':
      return ok({ embedding: { value: vector(hash(text(asked['text']) ?? ''), 768) } });
    case 'countMessageTokens':
      return ok({ tokenCount: countTextTokens(promptOf(asked)) });
    default:
      return null;
  }
}

/** A prompt is a text, or messages of which the last one counts. */
function promptOf(asked: unknown): string {
  const prompt = field(asked, 'prompt');
  const message = list(field(prompt, 'messages')).at(-1);
  return text(field(prompt, 'text')) ?? text(field(message, 'content')) ?? '';
}
