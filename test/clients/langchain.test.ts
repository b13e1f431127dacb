import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { HumanMessage, SystemMessage, ToolMessage } from '@langchain/core/messages';
import { ChatGoogleGenerativeAI, GoogleGenerativeAIEmbeddings } from '@langchain/google-genai';
import type { Test } from 'tap';
import { type Gate, MODEL } from '../support/gate.ts';
import { type Client, tryClient } from './suite.ts';
import { CLIENT_KEY, EMBEDDING_MODEL, TOOL_ANSWER, TOOL_ARGS, TOOL_PROMPT } from './support.ts';

const STREAM = fileURLToPath(new URL('./langchain-stream.mjs', import.meta.url));
const tools = [
  {
    type: 'function',
    function: {
      name: 'get_weather',
      description: 'How the weather is in a city.',
      parameters: { type: 'object', properties: { city: { type: 'string' } } },
    },
  },
];

function clientOf({ url }: Gate, t: Test): Client {
  const there = { apiKey: CLIENT_KEY, baseUrl: url };
  return {
    async ask({ model, prompt, system }) {
      const chat = new ChatGoogleGenerativeAI({ model, ...there });
      const first = system === undefined ? [] : [new SystemMessage(system)];
      return (await chat.invoke([...first, new HumanMessage(prompt)])).text;
    },
    // In a process of its own, because an abort ends the one that it is in; see there.
    async stream(question, chunk, signal) {
      const args = [STREAM, JSON.stringify({ ...question, ...there })];
      const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
      t.teardown(() => child.kill('SIGKILL'));
      signal.addEventListener('abort', () => child.kill('SIGINT'));
      createInterface(child.stdout).on('line', (line) => chunk.saw(JSON.parse(line)));
      const [code] = await Promise.race([once(child, 'close'), once(signal, 'abort')]);
      signal.throwIfAborted();
      if (code !== 0) throw new Error(`it ended with ${code}`);
    },
    async useTool(t) {
      const chat = new ChatGoogleGenerativeAI({ model: MODEL, ...there }).bindTools(tools);
      const question = new HumanMessage(TOOL_PROMPT);
      const asked = await chat.invoke([question]);
      const [call] = asked.tool_calls ?? [];
      t.match(call, { name: 'get_weather', args: TOOL_ARGS });
      const answer = new ToolMessage({
        content: TOOL_ANSWER,
        name: 'get_weather',
        tool_call_id: call?.id ?? '',
      });
      return (await chat.invoke([question, asked, answer])).text;
    },
    async embed(texts) {
      const embeddings = new GoogleGenerativeAIEmbeddings({ model: EMBEDDING_MODEL, ...there });
      return (await embeddings.embedDocuments([...texts])).map(({ length }) => length);
    },
    readError(error) {
      const status = 'status' in error ? Number(error.status) : undefined;
      return { isOwn: status !== undefined, status };
    },
  };
}

tryClient({
  name: '@langchain/google-genai',
  clientOf,
  retrying: true,
  without: { countTokens: 'it counts no tokens', upload: 'it uploads nothing' },
});
