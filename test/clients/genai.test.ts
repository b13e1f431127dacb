import { ApiError, GoogleGenAI, type GoogleGenAIOptions } from '@google/genai';
import { type Gate, MODEL } from '../support/gate.ts';
import { type Client, tryClient } from './suite.ts';
import { CLIENT_KEY, EMBEDDING_MODEL, TOOL_ANSWER, TOOL_ARGS, TOOL_PROMPT } from './support.ts';

/** Only the environment tells it where to call. */
function clientOf({ url }: Gate, options: GoogleGenAIOptions = {}): Client {
  process.env['GOOGLE_GEMINI_BASE_URL'] = url;
  const client = new GoogleGenAI({ apiKey: CLIENT_KEY, ...options });
  const { models } = client;
  return {
    async ask({ model, prompt, system }) {
      const config = system === undefined ? {} : { systemInstruction: system };
      return (await models.generateContent({ model, contents: prompt, config })).text ?? '';
    },
    async stream({ model, prompt }, chunk, abortSignal) {
      const config = { abortSignal };
      const stream = await models.generateContentStream({ model, contents: prompt, config });
      for await (const { text = '' } of stream) chunk.saw(text);
    },
    async useTool(t) {
      const parametersJsonSchema = { type: 'object', properties: { city: { type: 'string' } } };
      const functionDeclarations = [{ name: 'get_weather', parametersJsonSchema }];
      const config = { tools: [{ functionDeclarations }] };
      const chat = client.chats.create({ model: MODEL, config });
      const [call] = (await chat.sendMessage({ message: TOOL_PROMPT })).functionCalls ?? [];
      t.match(call, { name: 'get_weather', args: TOOL_ARGS });
      const functionResponse = { ...call, response: { output: TOOL_ANSWER } };
      return (await chat.sendMessage({ message: [{ functionResponse }] })).text ?? '';
    },
    countTokens: async (contents) =>
      (await models.countTokens({ model: MODEL, contents })).totalTokens,
    async embed(texts) {
      const { embeddings } = await models.embedContent({
        model: EMBEDDING_MODEL,
        contents: [...texts],
      });
      return (embeddings ?? []).map(({ values }) => values?.length);
    },
    async upload({ path }) {
      const { sizeBytes = '', sha256Hash = '' } = await client.files.upload({
        file: path,
        config: { mimeType: 'video/mp4' },
      });
      return { sizeBytes, sha256Hash };
    },
    readError: (error) => ({
      isOwn: error instanceof ApiError,
      status: error instanceof ApiError ? error.status : undefined,
    }),
  };
}

tryClient({
  name: '@google/genai',
  clientOf: (gate) => clientOf(gate),
  // Its models do not retry unless they are told to, and then at times of their own.
  ignoresHints: true,
  retrying: (gate) => clientOf(gate, { httpOptions: { retryOptions: { attempts: 5 } } }),
});
