import t from 'tap';
import { startGate } from '../support/gate.ts';
import {
  CHUNK,
  GENERATE,
  JSON_TYPE,
  latin1,
  ODD_CALLS,
  type OddAnswer,
  type OddCall,
} from '../support/odd-calls.ts';
import {
  exchange,
  type Message,
  readMessage,
  type Recorder,
  startRecorder,
} from '../support/wire.ts';

/** Of the hop, or ours; the last two would lead clients past us. */
const ASIDE =
  /^(?:host|connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|expect|x-headgate-.*|ratelimit.*|alt-svc|strict-transport-security)$/i;

t.test('what passes through is what was sent', async (t) => {
  const recorder = await startRecorder(t);
  const gate = await startGate(t, { upstreamUrl: `http://127.0.0.1:${recorder.port}` });
  t.ok(Object.keys(ODD_CALLS).length >= 50);
  for (const [name, odd] of Object.entries(ODD_CALLS)) {
    const direct = await run(recorder, recorder.port, odd);
    const through = await run(recorder, Number(new URL(gate.url).port), odd);
    t.equal(direct.requests.length, 1, `${name} is legal`);
    t.strictSame(through, direct, name);
  }
});

/** What the client got and what the upstream got. */
async function run(recorder: Recorder, port: number, odd: OddCall) {
  recorder.answer = answerOf(odd.answer ?? { headers: [JSON_TYPE], body: CHUNK });
  recorder.received.length = 0;
  const bytes = await exchange(port, requestOf(odd, port));
  const bodiless = odd.method === 'HEAD';
  const answer = readMessage(bytes, { ended: true, bodiless });
  return {
    requests: recorder.received.map((message) => ({
      start: message.start.replace(/ HTTP\/1\.[01]$/, ''),
      headers: kept(message, /^content-length$/i),
      body: message.body.toString('latin1'),
    })),
    answer: answer && {
      status: answer.start.split(' ', 2)[1],
      headers: kept(answer, null),
      body: answer.body.toString('latin1'),
    },
  };
}

/** What has to arrive. How a request's body was framed is the hop's own. */
function kept({ headers }: Message, framing: RegExp | null): string[] {
  const lines: string[] = [];
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] ?? '';
    if (ASIDE.test(name) || framing?.test(name) === true || name === 'X-Hop') continue;
    // Says nothing, and some gateways refuse it.
    if (/^cookie$/i.test(name) && headers[at + 1] === '') continue;
    // Part of an offer to upgrade, which is the hop's.
    if (name === 'HTTP2-Settings') continue;
    lines.push(`${name}: ${headers[at + 1] ?? ''}`);
  }
  return lines;
}

function requestOf(odd: OddCall, port: number): Buffer[] {
  const { headers = [], body, chunks, version = '1.1', trailers = '' } = odd;
  const hasBody = body !== undefined || chunks !== undefined;
  const method = odd.method ?? (hasBody ? 'POST' : 'GET');
  const path = odd.path ?? (hasBody ? GENERATE : '/v1beta/models');
  const bytes = toBytes(body ?? '');
  const lines = [`Host: 127.0.0.1:${port}`, ...headers];
  if (!headers.some((line) => line.startsWith('Connection:'))) lines.push('Connection: close');
  if (chunks !== undefined) lines.push('Transfer-Encoding: chunked');
  else if (body !== undefined) lines.push(`Content-Length: ${bytes.length}`);
  const head = latin1(`${method} ${path} HTTP/${version}\r\n${lines.join('\r\n')}\r\n\r\n`);
  return chunks === undefined ? [head, bytes] : [head, ...chunked(chunks, trailers)];
}

function answerOf(answer: OddAnswer): Buffer[] {
  const { status = '200 OK', headers = [], body, chunks, untilClose = false } = answer;
  const { version = '1.1', before = '' } = answer;
  const lines = [`HTTP/${version} ${status}`, ...headers];
  const bytes = toBytes(body ?? '');
  if (chunks !== undefined) lines.push('Transfer-Encoding: chunked');
  else if (body !== undefined && !untilClose) lines.push(`Content-Length: ${bytes.length}`);
  const head = latin1(`${before}${lines.join('\r\n')}\r\n\r\n`);
  return chunks === undefined ? [head, bytes] : [head, ...chunked(chunks, '')];
}

function chunked(chunks: readonly (string | Buffer)[], trailers: string): Buffer[] {
  const pieces = chunks.map((chunk) => {
    const bytes = toBytes(chunk);
    return Buffer.concat([latin1(`${bytes.length.toString(16)};x=y\r\n`), bytes, latin1('\r\n')]);
  });
  return [...pieces, latin1(`0\r\n${trailers}\r\n`)];
}

function toBytes(text: string | Buffer): Buffer {
  return typeof text === 'string' ? latin1(text) : text;
}
