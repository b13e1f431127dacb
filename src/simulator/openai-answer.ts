import { type Answer, type AnswerFacts, PIXEL, runs, vector, words } from './answer.ts';
import type { Asked } from './asked.ts';
import { field, integer, list } from './json.ts';

/** The OpenAI-compatible surface says plain `application/json`. */
const JSON_TYPE = 'application/json';

/** Thoughts show only as what the total has over prompt and completion. */
export function answerChat(asked: Asked, facts: AnswerFacts): Answer {
  const usage = {
    prompt_tokens: asked.inputTokens,
    completion_tokens: asked.outputTokens,
    total_tokens: asked.inputTokens + asked.outputTokens + asked.thoughtTokens,
  };
  const calls = toolCalls(asked, facts);
  const finish = calls !== null ? 'tool_calls' : asked.isCut ? 'length' : 'stop';
  const head = {
    id: facts.id,
    created: Math.floor(facts.createdMs / 1000),
    model: facts.model,
  };
  if (asked.shape === 'json') {
    const content = words(asked).join(' ');
    const message = {
      role: 'assistant',
      ...(calls === null ? { content } : { tool_calls: calls }),
    };
    const choices = [{ index: 0, message, finish_reason: finish }];
    return whole({ ...head, object: 'chat.completion', choices, usage });
  }
  const parts = calls === null ? runs(words(asked), facts.chunks) : [''];
  const object = 'chat.completion.chunk';
  const chunks: unknown[] = parts.map((content, index) => ({
    ...head,
    object,
    choices: [
      {
        index: 0,
        delta: { role: 'assistant', ...(calls === null ? { content } : { tool_calls: calls }) },
        finish_reason: index === parts.length - 1 ? finish : null,
      },
    ],
  }));
  if (field(field(asked.body, 'stream_options'), 'include_usage') === true) {
    chunks.push({ ...head, object, choices: [], usage });
  }
  const pieces = chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`);
  return {
    contentType: 'text/event-stream',
    pieces: [...pieces, 'data: [DONE]\n\n'],
    isStream: true,
  };
}

function toolCalls({ toolCall }: Asked, { id }: AnswerFacts): readonly object[] | null {
  if (toolCall === null) return null;
  const { name, args } = toolCall;
  const called = { name, arguments: JSON.stringify(args) };
  return [{ index: 0, id: `call-${id}`, type: 'function', function: called }];
}

export function answerOpenaiEmbeddings(asked: Asked, facts: AnswerFacts): Answer {
  const length = Math.min(3072, integer(field(asked.body, 'dimensions')) ?? 768);
  const isBase64 = field(asked.body, 'encoding_format') === 'base64';
  const data = list(field(asked.body, 'input')).map((_, index) => {
    const values = vector(asked.seed + index, length);
    return { object: 'embedding', index, embedding: isBase64 ? base64Of(values) : values };
  });
  const usage = { prompt_tokens: asked.inputTokens, total_tokens: asked.inputTokens };
  return whole({ object: 'list', data, model: facts.model, usage });
}

/** Floats of 32 bits, little-endian, which OpenAI's SDKs ask for unless they are told otherwise. */
function base64Of(values: readonly number[]): string {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeFloatLE(value, index * 4);
  return bytes.toString('base64');
}

export function answerOpenaiImage(facts: AnswerFacts): Answer {
  return whole({ created: Math.floor(facts.createdMs / 1000), data: [{ b64_json: PIXEL }] });
}

function whole(value: unknown): Answer {
  return { contentType: JSON_TYPE, pieces: [JSON.stringify(value)], isStream: false };
}
