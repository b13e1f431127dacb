import { once } from 'node:events';
import {
  type ClientRequest,
  createServer,
  type IncomingMessage,
  request,
  type ServerResponse,
} from 'node:http';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { call, idle, startGate, statusOf, until } from '../support/gate.ts';
import { bodyOf, listen } from '../support/loopback.ts';

const UPLOAD = '/upload/v1beta/files?upload_id=1&upload_protocol=resumable';
const DOWNLOAD = '/download/v1beta/files/x:download?alt=media';
const OPERATION = '/agents/film-maker/v1beta/models/veo/operations/o';
const PIECE = Buffer.alloc(1024 * 1024, 'x');

let behave: (request: IncomingMessage, response: ServerResponse) => void = () => undefined;
const server = createServer((incoming, response) => behave(incoming, response));
const upstreamUrl = `http://127.0.0.1:${await listen(server)}`;
t.teardown(() => {
  server.closeAllConnections();
  server.close();
});
const gate = await startGate(t, { upstreamUrl });

/** What a client makes of an answer: its status and bytes, or that it broke off. */
async function seen(outgoing: ClientRequest) {
  try {
    const [response] = await once(outgoing, 'response');
    const parts: Buffer[] = [];
    response.on('data', (part: Buffer) => parts.push(part));
    const isWhole = await once(response, 'end').then(
      () => response.complete === true,
      () => false,
    );
    const status: number = response.statusCode;
    return { status, body: Buffer.concat(parts).toString(), isWhole };
  } catch {
    return { status: 0, body: '', isWhole: false };
  }
}

function upload(headers: Record<string, string>): ClientRequest {
  const outgoing = request(gate.url + UPLOAD, { method: 'POST', headers });
  return outgoing.on('error', () => undefined);
}

t.test('an upstream that leaves in the middle of an upload is told as such', async (t) => {
  for (const headers of [
    { 'content-length': String(64 * PIECE.length) },
    { 'transfer-encoding': 'chunked' },
  ]) {
    behave = (incoming) => incoming.once('data', () => incoming.socket.destroy());
    const outgoing = upload(headers);
    const answer = seen(outgoing);
    outgoing.write(PIECE);
    const { status, body } = await answer;
    t.equal(status, 502);
    t.match(JSON.parse(body), { error: { status: 'UNAVAILABLE', message: /^headgate/ } });
    outgoing.destroy();
  }
  await idle(gate);
});

t.test('an upstream that answers before it has everything is heard', async (t) => {
  behave = (incoming, response) => {
    incoming.once('data', () => {
      // It reads on; one that closes at once is not always heard, with or without us in between.
      response.writeHead(413, { 'content-type': 'text/plain' });
      response.end('too large');
    });
  };
  const outgoing = upload({ 'content-length': String(64 * PIECE.length) });
  const answer = seen(outgoing);
  outgoing.write(PIECE);
  t.match(await answer, { status: 413, body: 'too large' });
  outgoing.destroy();
  await idle(gate);
});

t.test('a download that breaks off breaks off at the client, and is never short', async (t) => {
  const length = { 'content-length': String(2 * PIECE.length) };
  const close = { connection: 'close' };
  for (const headers of [length, {}, { ...length, ...close }, close]) {
    behave = (_, response) => {
      response.writeHead(200, { 'content-type': 'video/mp4', ...headers });
      response.write(PIECE, () => setImmediate(() => response.destroy()));
    };
    const answer = await seen(request(gate.url + DOWNLOAD).end());
    t.equal(answer.status, 200);
    t.equal(answer.isWhole, false, JSON.stringify(headers));
  }
  await idle(gate);
});

t.test('a client that leaves in the middle of a download ends it upstream', async (t) => {
  let isCut = false;
  behave = (_, response) => {
    response.on('close', () => (isCut = !response.writableFinished));
    response.writeHead(200, { 'content-type': 'video/mp4' });
    response.write(PIECE);
  };
  const outgoing = request(gate.url + DOWNLOAD).end();
  const [response] = await once(outgoing, 'response');
  await once(response, 'data');
  response.destroy();
  await until(() => isCut);
  t.equal(isCut, true);
});

const operation = (origin: string, more = '') =>
  `{"done":true, "note":"${more}", "response":{"generateVideoResponse":{"generatedSamples":[{"video":{"uri":"${origin}/v1beta/files/f:download"}}]}}}`;
const json = { 'content-type': 'application/json; charset=UTF-8' };

async function asked(agent: string) {
  const outgoing = request(gate.url + OPERATION, {
    headers: { 'user-agent': agent, 'accept-encoding': 'gzip' },
  }).end();
  const [response] = await once(outgoing, 'response');
  return { headers: response.headers, body: await bodyOf(response) };
}

t.test('about a film the AI SDK is answered unpacked, everybody else as they ask', async (t) => {
  behave = ({ headers }, response) => {
    const isPacked = /gzip/.test(headers['accept-encoding'] ?? '');
    const body = operation(upstreamUrl);
    response.writeHead(200, isPacked ? { ...json, 'content-encoding': 'gzip' } : json);
    response.end(isPacked ? gzipSync(body) : body);
  };
  const own = await asked('ai-sdk-google/4.0.121');
  t.equal(own.headers['content-encoding'], undefined);
  t.equal(own.body.toString(), operation(`${gate.url}/agents/film-maker`));
  const packed = await asked('google-genai-sdk/2.32.0');
  t.equal(packed.headers['content-encoding'], 'gzip');
  t.strictSame(packed.body, gzipSync(operation(upstreamUrl)));
});

t.test('an answer about a film that is packed all the same, or too large, passes', async (t) => {
  const packed = gzipSync(operation(upstreamUrl));
  behave = (_, response) =>
    response.writeHead(200, { ...json, 'content-encoding': 'gzip' }).end(packed);
  const first = await asked('ai-sdk-google/4.0.121');
  t.equal(first.headers['content-encoding'], 'gzip');
  t.strictSame(first.body, packed);

  for (const [megabytes, origin] of [
    [3, `${gate.url}/agents/film-maker`],
    [5, upstreamUrl],
  ] as const) {
    const filler = 'f'.repeat(megabytes * 1024 * 1024);
    for (const isFramed of [true, false]) {
      behave = (_, response) => {
        const body = Buffer.from(operation(upstreamUrl, filler));
        const length = isFramed ? { 'content-length': body.length } : {};
        response.writeHead(200, { ...json, ...length });
        for (let at = 0; at < body.length; at += 100_000) {
          response.write(body.subarray(at, at + 100_000));
        }
        response.end();
      };
      const { headers, body } = await asked('ai-sdk-google/4.0.121');
      t.ok(body.toString() === operation(origin, filler), `${megabytes} MiB`);
      const length = isFramed ? String(body.length) : undefined;
      t.equal(headers['content-length'], length);
    }
  }
});

t.test('an answer about a film that breaks off is none', async (t) => {
  behave = (_, response) => {
    response.writeHead(200, { ...json, 'content-length': '500' });
    response.write(operation(upstreamUrl).slice(0, 50), () =>
      setImmediate(() => response.destroy()),
    );
  };
  const headers = { 'user-agent': 'ai-sdk-google/4.0.121' };
  const answer = await call(gate, OPERATION, { headers });
  t.equal(answer.status, 502);
  await idle(gate);
  t.strictSame((await statusOf(gate)).partitions, [], 'and nothing of all this was counted');
});
