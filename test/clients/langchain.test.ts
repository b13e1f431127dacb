import { HumanMessage, SystemMessage, ToolMessage } from '@langchain/core/messages';
import { ChatGoogleGenerativeAI, GoogleGenerativeAIEmbeddings } from '@langchain/google-genai';
import { type Gate, MODEL } from '../support/gate.ts';
import { type Client, tryClient } from './suite.ts';
import { CLIENT_KEY, EMBEDDING_MODEL, TOOL_ANSWER, TOOL_ARGS, TOOL_PROMPT } from './support.ts';

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

function clientOf({ url }: Gate): Client {
  const there = { apiKey: CLIENT_KEY, baseUrl: url };
  return {
    async ask({ model, prompt, system }) {
      const chat = new ChatGoogleGenerativeAI({ model, ...there });
      const first = system === undefined ? [] : [new SystemMessage(system)];
      return (await chat.invoke([...first, new HumanMessage(prompt)])).text;
    },
    async stream({ model, prompt }, chunk, signal) {
      const chat = new ChatGoogleGenerativeAI({ model, ...there });
      for await (const part of await chat.stream(prompt, { signal })) {
        if (part.text !== '') chunk.saw(part.text);
      }
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
  untried: {
    'leaves in the middle of an answer, and the upstream sees it':
      'the SDK beneath it rejects a promise that nobody holds, which ends the process',
  },
  without: { countTokens: 'it counts no tokens', upload: 'it uploads nothing' },
});
