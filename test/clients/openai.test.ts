import OpenAI, { APIError } from 'openai';
import { type Gate, MODEL } from '../support/gate.ts';
import { type Client, tryClient } from './suite.ts';
import { CLIENT_KEY, EMBEDDING_MODEL, TOOL_ANSWER, TOOL_ARGS, TOOL_PROMPT } from './support.ts';

const tools: OpenAI.ChatCompletionTool[] = [
  {
    type: 'function',
    function: {
      name: 'get_weather',
      parameters: { type: 'object', properties: { city: { type: 'string' } } },
    },
  },
];

function clientOf({ url }: Gate): Client {
  const client = new OpenAI({ apiKey: CLIENT_KEY, baseURL: `${url}/v1beta/openai/` });
  const { completions } = client.chat;
  return {
    async ask({ model, prompt, system }) {
      const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: prompt }];
      if (system !== undefined) messages.unshift({ role: 'system', content: system });
      return (await completions.create({ model, messages })).choices[0]?.message.content ?? '';
    },
    async stream({ model, prompt }, chunk, signal) {
      const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: prompt }];
      const stream = await completions.create({ model, messages, stream: true }, { signal });
      for await (const part of stream) {
        const text = part.choices[0]?.delta.content ?? '';
        if (text !== '') chunk.saw(text);
      }
      // It ends an aborted stream as if it were whole.
      signal.throwIfAborted();
    },
    async useTool(t) {
      const messages: OpenAI.ChatCompletionMessageParam[] = [
        { role: 'user', content: TOOL_PROMPT },
      ];
      const asked = (await completions.create({ model: MODEL, messages, tools })).choices[0]
        ?.message;
      const [call] = asked?.tool_calls ?? [];
      if (asked === undefined || call?.type !== 'function') throw new Error('no function called');
      t.strictSame(JSON.parse(call.function.arguments), TOOL_ARGS);
      messages.push(asked, { role: 'tool', tool_call_id: call.id, content: TOOL_ANSWER });
      const answered = await completions.create({ model: MODEL, messages, tools });
      return answered.choices[0]?.message.content ?? '';
    },
    async embed(texts) {
      const { data } = await client.embeddings.create({
        model: EMBEDDING_MODEL,
        input: [...texts],
        dimensions: 768,
      });
      return data.map(({ embedding }) => embedding.length);
    },
    readError: (error) => ({
      isOwn: error instanceof APIError,
      status: error instanceof APIError ? Number(error.status) : undefined,
    }),
  };
}

tryClient({
  name: 'openai',
  clientOf,
  retrying: true,
  dropsMessages: true,
  isNeverCounted: true,
  without: {
    countTokens: 'it counts no tokens',
    upload: 'Gemini takes files by its own protocol only',
  },
});
