import { GoogleGenerativeAI, GoogleGenerativeAIFetchError } from '@google/generative-ai';
import { GoogleAIFileManager } from '@google/generative-ai/server';
import { type Gate, MODEL } from '../support/gate.ts';
import { type Client, tryClient } from './suite.ts';
import { CLIENT_KEY, EMBEDDING_MODEL, TOOL_ANSWER, TOOL_ARGS, TOOL_PROMPT } from './support.ts';

/** Each model is told where to call. */
function clientOf({ url }: Gate): Client {
  const client = new GoogleGenerativeAI(CLIENT_KEY);
  const there = { baseUrl: url };
  return {
    async ask({ model, prompt, system }) {
      const instruction = system === undefined ? {} : { systemInstruction: system };
      const generative = client.getGenerativeModel({ model, ...instruction }, there);
      return (await generative.generateContent(prompt)).response.text();
    },
    async stream({ model, prompt }, chunk, signal) {
      const generative = client.getGenerativeModel({ model }, there);
      const { stream, response } = await generative.generateContentStream(prompt, { signal });
      // It fails together with the stream, and nobody else waits for it.
      response.catch(() => undefined);
      for await (const part of stream) chunk.saw(part.text());
    },
    async useTool(t) {
      const tools = [{ functionDeclarations: [{ name: 'get_weather' }] }];
      const chat = client.getGenerativeModel({ model: MODEL, tools }, there).startChat();
      const [call] = (await chat.sendMessage(TOOL_PROMPT)).response.functionCalls() ?? [];
      t.match(call, { name: 'get_weather', args: TOOL_ARGS });
      const functionResponse = { name: 'get_weather', response: { output: TOOL_ANSWER } };
      return (await chat.sendMessage([{ functionResponse }])).response.text();
    },
    countTokens: async (prompt) =>
      (await client.getGenerativeModel({ model: MODEL }, there).countTokens(prompt)).totalTokens,
    async embed(texts) {
      const requests = texts.map((text) => ({ content: { role: 'user', parts: [{ text }] } }));
      const generative = client.getGenerativeModel({ model: EMBEDDING_MODEL }, there);
      const { embeddings } = await generative.batchEmbedContents({ requests });
      return embeddings.map(({ values }) => values.length);
    },
    async upload({ path }) {
      const files = new GoogleAIFileManager(CLIENT_KEY, there);
      return (await files.uploadFile(path, { mimeType: 'video/mp4' })).file;
    },
    readError: (error) => ({
      isOwn: error instanceof GoogleGenerativeAIFetchError,
      status: error instanceof GoogleGenerativeAIFetchError ? error.status : undefined,
    }),
  };
}

tryClient({
  name: '@google/generative-ai',
  clientOf,
  retrying: false,
});
