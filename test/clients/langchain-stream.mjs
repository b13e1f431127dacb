// Streams one answer with LangChain, and prints the text of each chunk as JSON on a line of its own.
// SIGINT aborts the call and leaves the process as it is.

import { ChatGoogleGenerativeAI } from '@langchain/google-genai';

const { apiKey, baseUrl, model, prompt } = JSON.parse(process.argv[2] ?? '{}');
const abort = new AbortController();
process.once('SIGINT', () => {
  abort.abort();
  // It stays, so that it is the abort that the upstream sees, and not the end of the process.
  process.stdin.resume();
});
// The SDK beneath (0.24.1) rejects a second promise for an aborted stream, which LangChain never awaits.
process.on('unhandledRejection', () => undefined);

const chat = new ChatGoogleGenerativeAI({ model, apiKey, baseUrl });
for await (const { text } of await chat.stream(prompt, { signal: abort.signal })) {
  if (text !== '') process.stdout.write(`${JSON.stringify(text)}\n`);
}
