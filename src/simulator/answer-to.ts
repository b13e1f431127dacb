import {
  type Answer,
  type AnswerFacts,
  JSON_TYPE,
  PIXEL,
  runs,
  vector,
  whole,
  words,
} from './answer.ts';
import type { Asked } from './asked.ts';
import { answerInteraction, makeInteraction, tokenOf } from './interaction-answer.ts';
import { field, integer, list } from './json.ts';
import { answerChat, answerOpenaiEmbeddings, answerOpenaiImage } from './openai-answer.ts';
import { THOUGHT_SIGNATURE } from './tool-call.ts';

/** The true answer to a call, whichever surface it came by. */
export function answerTo(asked: Asked, facts: AnswerFacts): Answer {
  switch (asked.route.kind) {
    case 'generate':
      return answerGenerate(asked, facts);
    case 'countTokens': {
      const totalTokens = asked.inputTokens;
      const promptTokensDetails = [{ modality: 'TEXT', tokenCount: totalTokens }];
      return whole({ totalTokens, promptTokensDetails });
    }
    case 'embed':
      return whole({
        embedding: { values: vector(asked.seed, dimensions(asked.body)) },
        ...embeddingUsage(asked, facts),
      });
    case 'batchEmbed': {
      const embeddings = list(field(asked.body, 'requests')).map((item, index) => ({
        values: vector(asked.seed + index, dimensions(item)),
      }));
      return whole({ embeddings, ...embeddingUsage(asked, facts) });
    }
    case 'predict': {
      const prediction = { mimeType: 'image/png', bytesBase64Encoded: PIXEL };
      return whole({
        predictions: Array.from({ length: samplesOf(asked.body) }, () => prediction),
      });
    }
    case 'predictLong':
      return whole({ name: operationOf(facts) });
    case 'chat':
      return answerChat(asked, facts);
    case 'openaiEmbed':
      return answerOpenaiEmbeddings(asked, facts);
    case 'openaiImage':
      return answerOpenaiImage(facts);
    case 'interaction':
      return answerInteraction(asked, makeInteraction(asked, facts));
  }
}

/** The operation that a film is made under. */
export function operationOf({ model, id }: AnswerFacts): string {
  return `models/${model}/operations/${id}`;
}

/** Pictures or films that are asked for at once: one, unless told otherwise, and at most four. */
export function samplesOf(body: unknown): number {
  const count = integer(field(field(body, 'parameters'), 'sampleCount', 'numberOfVideos'));
  return Math.min(4, Math.max(1, count ?? 1));
}

function answerGenerate(asked: Asked, facts: AnswerFacts): Answer {
  if (asked.shape === 'json') return whole(generateChunk(asked, facts, words(asked).join(' '), 1));
  const parts = asked.toolCall === null ? runs(words(asked), facts.chunks) : [''];
  const chunks = parts.map((part, index) =>
    JSON.stringify(generateChunk(asked, facts, part, (index + 1) / parts.length)),
  );
  const headers = { 'content-disposition': 'attachment' };
  if (asked.shape === 'sse') {
    const pieces = chunks.map((chunk) => `data: ${chunk}\r\n\r\n`);
    return { contentType: 'text/event-stream', headers, pieces, isStream: true };
  }
  const pieces = chunks.map((chunk, index) => (index === 0 ? `[${chunk}` : `\r\n,${chunk}`));
  return { contentType: JSON_TYPE, headers, pieces: [...pieces, ']'], isStream: true };
}

/** Usage is a running value, right only in the last chunk; before it even the prompt is short. */
function generateChunk(asked: Asked, facts: AnswerFacts, part: string, done: number): unknown {
  const isLast = done === 1;
  const prompt = isLast ? asked.inputTokens : Math.ceil(asked.inputTokens * 0.6);
  const output = Math.floor(asked.outputTokens * done);
  const thoughts = asked.thoughtTokens;
  return {
    candidates: [
      {
        content: { parts: [answerPart(asked, facts, part)], role: 'model' },
        ...(isLast ? endOf(asked, facts) : {}),
        index: 0,
      },
    ],
    usageMetadata: {
      promptTokenCount: prompt,
      ...(output > 0 ? { candidatesTokenCount: output } : {}),
      totalTokenCount: prompt + output + thoughts,
      promptTokensDetails: [{ modality: 'TEXT', tokenCount: prompt }],
      ...(thoughts > 0 ? { thoughtsTokenCount: thoughts } : {}),
      serviceTier: 'standard',
    },
    modelVersion: facts.model,
    responseId: facts.id,
  };
}

function endOf(asked: Asked, facts: AnswerFacts): object {
  if (asked.hopsLeft > 0) {
    return { finishReason: 'CONTINUATION', continuationToken: tokenOf(asked, facts) };
  }
  return { finishReason: asked.isCut ? 'MAX_TOKENS' : 'STOP' };
}

/** Models before the second generation of embeddings say nothing of what they read. */
function embeddingUsage({ inputTokens }: Asked, { model }: AnswerFacts): object {
  if (/(?:^|-)00\d$/.test(model)) return {};
  const promptTokenDetails = [{ modality: 'TEXT', tokenCount: inputTokens }];
  return { usageMetadata: { promptTokenCount: inputTokens, promptTokenDetails } };
}

/** A call carries the signature that newer models want back with it. */
function answerPart({ toolCall }: Asked, facts: AnswerFacts, part: string): object {
  if (toolCall === null) return { text: part };
  const functionCall = { id: `call-${facts.id}`, ...toolCall };
  return { functionCall, thoughtSignature: THOUGHT_SIGNATURE };
}

function dimensions(request: unknown): number {
  const asked = integer(field(request, 'outputDimensionality', 'output_dimensionality'));
  return Math.min(3072, Math.max(1, asked ?? 768));
}
