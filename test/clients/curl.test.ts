import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { type Gate, MODEL } from '../support/gate.ts';
import { type Client, tryClient } from './suite.ts';
import { CLIENT_KEY, EMBEDDING_MODEL, TOOL_ANSWER, TOOL_ARGS, TOOL_PROMPT } from './support.ts';

const run = promisify(execFile);
const QUIET = ['--silent', '--noproxy', '*'];
/** Prints what went wrong, and ends with 22. */
const TELLING = '--fail-with-body';
/** Prints only what went well: an answer that is tried again would be in the output, too. */
const RETRYING = ['--fail', '--retry', '3'];
const AS_JSON = ['-H', 'content-type: application/json'];

/** The paths are those of Google's own samples, on another host. */
function clientOf({ url }: Gate, flags: readonly string[] = [TELLING]): Client {
  const base = [...QUIET, ...flags];
  const key = `x-goog-api-key: ${CLIENT_KEY}`;
  const post = async (verb: string, body: object, model = MODEL) => {
    const to = `${url}/v1beta/models/${model}:${verb}`;
    const args = [...base, '-H', key, ...AS_JSON, '-d', JSON.stringify(body), to];
    return JSON.parse((await run('curl', args)).stdout);
  };
  const partOf = (answer: { candidates: { content: { parts: object[] } }[] }): PartRead =>
    answer.candidates[0]?.content.parts[0] ?? {};
  return {
    async ask({ model, prompt, system }) {
      const instruction =
        system === undefined ? {} : { system_instruction: { parts: [{ text: system }] } };
      const answer = await post('generateContent', { ...saying(prompt), ...instruction }, model);
      return partOf(answer).text ?? '';
    },
    async stream({ model, prompt }, chunk, signal) {
      const to = `${url}/v1beta/models/${model}:streamGenerateContent?alt=sse&key=${CLIENT_KEY}`;
      const sent = ['-d', JSON.stringify(saying(prompt))];
      const args = [...base, '--no-buffer', ...AS_JSON, ...sent, to];
      const child = spawn('curl', args, { signal, killSignal: 'SIGINT' });
      child.on('error', () => undefined);
      let rest = '';
      child.stdout.setEncoding('utf8').on('data', (piece: string) => {
        const events = (rest + piece).split('\r\n\r\n');
        rest = events.pop() ?? '';
        for (const event of events) {
          chunk.saw(partOf(JSON.parse(event.replace('data: ', ''))).text ?? '');
        }
      });
      const [code] = await once(child, 'close');
      if (code !== 0) throw new Error(`curl ended with ${code}`);
    },
    async useTool(t) {
      const question = { role: 'user', parts: [{ text: TOOL_PROMPT }] };
      const tools = [{ function_declarations: [{ name: 'get_weather' }] }];
      const asked = await post('generateContent', { contents: [question], tools });
      t.match(partOf(asked), { functionCall: { name: 'get_weather', args: TOOL_ARGS } });
      const functionResponse = { name: 'get_weather', response: { output: TOOL_ANSWER } };
      const answer = { role: 'user', parts: [{ functionResponse }] };
      const contents = [question, asked.candidates[0].content, answer];
      return partOf(await post('generateContent', { contents, tools })).text ?? '';
    },
    countTokens: async (prompt) => (await post('countTokens', saying(prompt))).totalTokens,
    async embed(texts) {
      const requests = texts.map((text) => ({
        model: `models/${EMBEDDING_MODEL}`,
        content: { parts: [{ text }] },
      }));
      const { embeddings } = await post('batchEmbedContents', { requests }, EMBEDDING_MODEL);
      return embeddings.map(({ values }: { values: number[] }) => values.length);
    },
    async upload({ path, bytes }) {
      const protocol = (command: string, ...headers: string[]) =>
        [`X-Goog-Upload-Command: ${command}`, ...headers].flatMap((header) => ['-H', header]);
      const starting = protocol(
        'start',
        key,
        'X-Goog-Upload-Protocol: resumable',
        `X-Goog-Upload-Header-Content-Length: ${bytes}`,
        'X-Goog-Upload-Header-Content-Type: video/mp4',
      );
      const named = ['-d', JSON.stringify({ file: { display_name: 'tide' } })];
      const shown = ['--dump-header', '-', '--output', '/dev/null'];
      const start = [...base, ...shown, ...starting, ...AS_JSON, ...named];
      const { stdout } = await run('curl', [...start, `${url}/upload/v1beta/files`]);
      const [, there = ''] = /^x-goog-upload-url: (\S+)/im.exec(stdout) ?? [];
      const finishing = protocol('upload, finalize', 'X-Goog-Upload-Offset: 0');
      const content = ['--data-binary', `@${path}`];
      return JSON.parse((await run('curl', [...base, ...finishing, ...content, there])).stdout)
        .file;
    },
    readError(error) {
      const printed = 'stdout' in error ? String(error.stdout) : '';
      const { error: told } = JSON.parse(printed);
      return { isOwn: 'code' in error && error.code === 22, status: told.code, message: printed };
    },
  };
}

interface PartRead {
  readonly text?: string;
}

function saying(text: string) {
  return { contents: [{ parts: [{ text }] }] };
}

const { error } = spawnSync('curl', ['--version']);

tryClient({
  name: 'curl',
  clientOf: (gate) => clientOf(gate),
  retrying: (gate) => clientOf(gate, RETRYING),
  absent: error === undefined ? null : 'curl is not on PATH',
});
