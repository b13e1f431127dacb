import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { GoogleGenAI } from '@google/genai';
import t from 'tap';
import type { Test } from 'tap';
import { startGate, until } from '../support/gate.ts';
import { deferred, listen } from '../support/loopback.ts';

const PIECE = 8 * 1024 * 1024;
const FILE = randomBytes(20 * 1024 * 1024);
const SHA256 = Buffer.from(createHash('sha256').update(FILE).digest('hex')).toString('base64');
/** A client that may not send for so long is held back; on a busy machine, perhaps only slow. */
const STALLED_MS = 1_000;
const PREFIX = '/agents/painter/sessions/s1/record';

t.test('@google/genai uploads 20 MB through headgate', async (t) => {
  const gate = await startGate(t);
  const client = new GoogleGenAI({ apiKey: 'k', httpOptions: { baseUrl: gate.url } });
  const file = await client.files.upload({
    file: new Blob([FILE]),
    config: { mimeType: 'video/mp4' },
  });
  t.match(file, { sizeBytes: String(FILE.length), sha256Hash: SHA256 });
});

t.test('a client that follows the header to the letter stays on headgate', async (t) => {
  const gate = await startGate(t);
  const start = await fetch(`${gate.url}${PREFIX}/upload/v1beta/files`, {
    method: 'POST',
    headers: { 'x-goog-upload-protocol': 'resumable', 'x-goog-upload-command': 'start' },
    body: '{}',
  });
  const url = start.headers.get('x-goog-upload-url') ?? '';
  t.match(url, /upload_id=.+&upload_protocol=resumable$/);
  t.ok(url.startsWith(`${gate.url}${PREFIX}/upload/v1beta/files?`), url);
  let answer: Response | null = null;
  for (let at = 0; at < FILE.length; at += PIECE) {
    const command = at + PIECE < FILE.length ? 'upload' : 'upload, finalize';
    const headers = { 'x-goog-upload-command': command, 'x-goog-upload-offset': String(at) };
    const body = new Uint8Array(FILE.subarray(at, at + PIECE));
    answer = await fetch(url, { method: 'POST', headers, body });
  }
  t.match(await answer?.json(), { file: { sizeBytes: String(FILE.length), sha256Hash: SHA256 } });
});

t.test(
  'redirects are the client’s to follow, and lead elsewhere only where they did',
  async (t) => {
    let location = '';
    const server = createServer((_, response) => {
      response.writeHead(302, { location, 'x-goog-upload-control-url': location }).end();
    });
    const upstreamUrl = await serve(t, server);
    const gate = await startGate(t, { upstreamUrl });
    const ask = async (): Promise<string | null> => {
      const path = '/agents/a/v1beta/files/x:download?alt=media';
      const { headers } = await fetch(`${gate.url}${path}`, { redirect: 'manual' });
      t.equal(headers.get('x-goog-upload-control-url'), headers.get('location'));
      return headers.get('location');
    };
    location = `${upstreamUrl}/download/v1beta/files/x:download?alt=media&a=%2B`;
    t.equal(await ask(), `${gate.url}/agents/a/download/v1beta/files/x:download?alt=media&a=%2B`);
    location = 'https://storage.googleapis.com/x?sig=%2b';
    t.equal(await ask(), location);
  },
);

t.test('the AI SDK finds films at our address, and nobody else does', async (t) => {
  let body = '';
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length });
    response.end(body);
  });
  const upstreamUrl = await serve(t, server);
  const gate = await startGate(t, { upstreamUrl });
  const operation = (origin: string) =>
    `{"done":true, "response":{"generateVideoResponse":{"generatedSamples":[{"video":{"uri":"${origin}/v1beta/files/f:download"}}]}}}`;
  body = operation(upstreamUrl);
  const ask = async (agent: string): Promise<string> => {
    const headers = { 'user-agent': agent };
    const path = '/agents/film-maker/v1beta/models/veo/operations/o';
    return (await fetch(`${gate.url}${path}`, { headers })).text();
  };
  t.equal(await ask('ai-sdk-google/4.0.121'), operation(`${gate.url}/agents/film-maker`));
  t.equal(await ask('google-genai-sdk/2.32.0'), body);
});

t.test('150 MB stream through without being held, and an abort is seen', async (t) => {
  let bytes = 0;
  let isCut = false;
  const reading = deferred();
  const read = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    bytes = 0;
    incoming.on('end', () => response.end());
    incoming.on('error', () => (isCut = true));
    await reading.promise;
    incoming.on('data', (chunk: Buffer) => (bytes += chunk.length));
  };
  const server = createServer((incoming, response) => void read(incoming, response));
  const gate = await startGate(t, { upstreamUrl: await serve(t, server) });
  const url = `${gate.url}/upload/v1beta/files?upload_id=1`;
  const chunk = Buffer.alloc(1024 * 1024);
  const upload = request(url, { method: 'POST' });
  const ended = new Promise((resolve) => upload.on('response', resolve));
  let taken = 0;
  let isHeld = false;
  for (; taken < 150; taken += 1) {
    if (upload.write(chunk)) continue;
    const drained = once(upload, 'drain').then(() => true);
    // What the kernel keeps for each socket is taken, and no more while the upstream reads nothing.
    if (!isHeld && !(await Promise.race([drained, setTimeout(STALLED_MS, false)]))) {
      isHeld = true;
      t.comment(`${taken} MB were taken before the upstream read`);
      reading.resolve();
    }
    await drained;
  }
  reading.resolve();
  upload.end();
  await ended;
  t.equal(bytes, 150 * chunk.length);
  t.ok(isHeld, 'the client is held back, so that headgate need not hold what it sends');

  const aborted = request(url, { method: 'POST' });
  aborted.on('error', () => undefined);
  aborted.write(chunk);
  await until(() => bytes === chunk.length);
  aborted.destroy();
  await until(() => isCut);
  t.equal(isCut, true);
});

async function serve(t: Test, server: Server): Promise<string> {
  const port = await listen(server);
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${port}`;
}
