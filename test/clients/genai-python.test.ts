import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Gate, MODEL } from '../support/gate.ts';
import { installPython } from './python.ts';
import { type Client, tryClient } from './suite.ts';
import { CLIENT_KEY, EMBEDDING_MODEL, TOOL_ANSWER, TOOL_ARGS, TOOL_PROMPT } from './support.ts';

const python = installPython();
const script = fileURLToPath(new URL('./genai_python.py', import.meta.url));

/** What the script prints when the SDK throws its `APIError`. */
class SdkError extends Error {
  readonly code: number;

  constructor(told: { readonly code: number; readonly message: string }) {
    super(told.message);
    this.code = told.code;
  }
}

/** Its environment tells it where to call, and each thing it does is a process of its own. */
function clientOf({ url }: Gate, attempts: number | null = null): Client {
  const each = async (
    what: string,
    asked: object,
    { saw, signal }: { saw(line: unknown): void; signal?: AbortSignal },
  ): Promise<void> => {
    const child = spawn(python.path ?? '', [script, JSON.stringify({ what, ...asked })], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { GEMINI_API_KEY: CLIENT_KEY, GOOGLE_GEMINI_BASE_URL: url, NO_PROXY: '*' },
      ...(signal === undefined ? {} : { signal }),
    });
    child.on('error', () => undefined);
    let trouble = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      trouble += text;
    });
    let latest: unknown = null;
    createInterface(child.stdout).on('line', (line) => {
      latest = JSON.parse(line);
      saw(latest);
    });
    const [code] = await once(child, 'close');
    // The script ends with 3 after it has told the error.
    if (code === 3) throw new SdkError(latest as { code: number; message: string });
    if (code !== 0) throw new Error(`Python ended with ${code}: ${trouble}`);
  };
  const one = async <T>(what: string, asked: object): Promise<T> => {
    const lines: T[] = [];
    // Each of the script's functions prints what its caller here expects.
    await each(what, asked, { saw: (line) => void lines.push(line as T) });
    const [line] = lines;
    if (line === undefined) throw new Error('Python printed nothing');
    return line;
  };
  return {
    ask: (question) => one('ask', { ...question, attempts }),
    stream: (question, chunk, signal) =>
      each('stream', question, { saw: (text) => chunk.saw(String(text)), signal }),
    async useTool(t) {
      const told = { model: MODEL, prompt: TOOL_PROMPT, answer: TOOL_ANSWER };
      const { asked, text } = await one<{ asked: string[]; text: string }>('use_tool', told);
      t.strictSame(asked, [TOOL_ARGS.city]);
      return text;
    },
    countTokens: (prompt) => one('count_tokens', { model: MODEL, prompt }),
    embed: (texts) => one('embed', { model: EMBEDDING_MODEL, texts }),
    upload: ({ path }) => one('upload', { path }),
    readError: (error) => ({
      isOwn: error instanceof SdkError,
      status: error instanceof SdkError ? error.code : undefined,
    }),
  };
}

tryClient({
  name: 'google-genai for Python',
  clientOf: (gate) => clientOf(gate),
  // Its models do not retry unless they are told to, and then at times of their own.
  ignoresHints: true,
  retrying: (gate) => clientOf(gate, 5),
  absent: python.absent,
});
