import { createGoogleGenerativeAI } from '@ai-sdk/google';
import {
  APICallError,
  embedMany,
  generateText,
  jsonSchema,
  RetryError,
  stepCountIs,
  streamText,
  tool,
} from 'ai';
import { type Gate, MODEL } from '../support/gate.ts';
import { type Client, tryClient } from './suite.ts';
import { CLIENT_KEY, EMBEDDING_MODEL, TOOL_ANSWER, TOOL_ARGS, TOOL_PROMPT } from './support.ts';

/** Its base URL has the version in it. */
function clientOf({ url }: Gate): Client {
  const google = createGoogleGenerativeAI({ apiKey: CLIENT_KEY, baseURL: `${url}/v1beta` });
  return {
    async ask({ model, prompt, system }) {
      const instruction = system === undefined ? {} : { system };
      return (await generateText({ model: google(model), prompt, ...instruction })).text;
    },
    async stream({ model, prompt }, chunk, abortSignal) {
      const { textStream } = streamText({ model: google(model), prompt, abortSignal });
      for await (const text of textStream) chunk.saw(text);
    },
    async useTool(t) {
      const inputSchema = jsonSchema<{ city: string }>({
        type: 'object',
        properties: { city: { type: 'string' } },
      });
      const asked: unknown[] = [];
      const execute = (input: { city: string }) => {
        asked.push(input);
        return Promise.resolve(TOOL_ANSWER);
      };
      const { text } = await generateText({
        model: google(MODEL),
        prompt: TOOL_PROMPT,
        tools: { get_weather: tool({ inputSchema, execute }) },
        stopWhen: stepCountIs(2),
      });
      t.strictSame(asked, [TOOL_ARGS]);
      return text;
    },
    async embed(texts) {
      const model = google.embedding(EMBEDDING_MODEL);
      const { embeddings } = await embedMany({ model, values: [...texts] });
      return embeddings.map(({ length }) => length);
    },
    readError(error) {
      const last: unknown = RetryError.isInstance(error) ? error.lastError : error;
      const isOwn = APICallError.isInstance(last);
      return { isOwn, status: isOwn ? last.statusCode : undefined };
    },
  };
}

tryClient({
  name: '@ai-sdk/google',
  clientOf,
  retrying: true,
  // It takes every 429 for one that passes, and gives up after its two retries.
  callsOnSpentDay: 3,
  without: {
    countTokens: 'it counts no tokens',
    upload: '3.0 uploads nothing, and 4.0 needs Node 22',
  },
});
