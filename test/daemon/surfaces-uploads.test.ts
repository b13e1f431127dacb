import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type ClientRequest, type OutgoingHttpHeaders, request } from 'node:http';
import { GoogleGenAI } from '@google/genai';
import t from 'tap';
import { type Answer, call, idle, startGate, statusOf, until } from '../support/gate.ts';
import { bodyOf } from '../support/loopback.ts';

const FILES = '/upload/v1beta/files';
const PREFIX = '/agents/painter';
const sha256 = (bytes: string): string =>
  Buffer.from(createHash('sha256').update(bytes).digest('hex')).toString('base64');

const gate = await startGate(t, { scenario: { upload_granularity: 4 } });
const { simulator } = gate;

/** What both tell of a request: the addresses in it are each one's own. */
function told({ status, headers, text }: Answer) {
  const upload = Object.entries(headers).filter(([name]) => name.startsWith('x-goog-upload-'));
  const type = headers['content-type'];
  return { status, type, text, upload: upload.filter(([name]) => name !== 'x-goog-upload-url') };
}

/** An upload that has been started at `to`, and how to go on with it. */
async function begin(to: { readonly url: string }, prefix = '') {
  const headers = { 'x-goog-upload-protocol': 'resumable', 'x-goog-upload-command': 'start' };
  const start = await call(to, prefix + FILES, { headers, body: '{}' });
  const { pathname, search } = new URL(String(start.headers['x-goog-upload-url']));
  const path = pathname + search;
  const go = (command: string, offset: number | string, body = '') =>
    call(to, path, {
      headers: { 'x-goog-upload-command': command, 'x-goog-upload-offset': String(offset) },
      method: 'POST',
      body,
    });
  return { start, path, go };
}

function open(path: string, headers: OutgoingHttpHeaders, method = 'POST'): ClientRequest {
  const outgoing = request(gate.url + path, { method, headers });
  outgoing.on('error', () => undefined);
  return outgoing;
}

async function answerOf(outgoing: ClientRequest): Promise<{ status: number; text: string }> {
  const [response] = await once(outgoing, 'response');
  return { status: response.statusCode, text: (await bodyOf(response)).toString() };
}

t.test('every step of an upload is answered as it is directly', async (t) => {
  const both = [await begin(gate, PREFIX), await begin(simulator)] as const;
  t.strictSame(told(both[0].start), told(both[1].start));
  const steps = [
    ['query', 0, '', 200],
    ['upload', 4, 'late', 409],
    ['upload', 'x', 'deep', 400],
    ['upload', 0, 'deeps', 400],
    ['upload', 0, 'deep', 200],
    ['query', 0, '', 200],
    ['sing', 4, '', 400],
  ] as const;
  for (const [command, offset, body, status] of steps) {
    const [through, direct] = await Promise.all(both.map(({ go }) => go(command, offset, body)));
    if (through === undefined || direct === undefined) throw new Error('both were asked');
    t.equal(direct.status, status, `${command} at ${offset}`);
    t.strictSame(told(through), told(direct), `${command} at ${offset}`);
  }
  for (const [command, status] of [
    ['cancel', 200],
    ['query', 410],
    ['upload, finalize', 400],
  ] as const) {
    const [through, direct] = await Promise.all(both.map(({ go }) => go(command, 4, '')));
    if (through === undefined || direct === undefined) throw new Error('both were asked');
    t.equal(direct.status, status, command);
    t.strictSame(told(through), told(direct), command);
  }
});

t.test('a client that lost its connection asks how much has come, and goes on', async (t) => {
  const { path, go } = await begin(gate);
  const broken = open(path, { 'x-goog-upload-command': 'upload', 'x-goog-upload-offset': '0' });
  broken.write('deep b');
  await until(() => simulator.arrivals.at(-1)?.bytes === 6);
  broken.destroy();
  let received: unknown = '0';
  while (received === '0') received = (await go('query', 0)).headers['x-goog-upload-size-received'];
  t.equal(received, '6');
  const done = await go('upload, finalize', 6, 'lue');
  t.match(JSON.parse(done.text).file, { sizeBytes: '9', sha256Hash: sha256('deep blue') });
});

t.test('uploads in chunks, and ones that ask first, arrive as they are', async (t) => {
  for (const headers of [
    { 'transfer-encoding': 'chunked' },
    { expect: '100-continue', 'content-length': '9' },
    { expect: '100-continue', 'transfer-encoding': 'chunked' },
  ]) {
    const outgoing = open(FILES, { 'x-goog-upload-protocol': 'raw', ...headers });
    if ('expect' in headers) {
      outgoing.flushHeaders();
      await once(outgoing, 'continue');
    }
    const answer = answerOf(outgoing);
    outgoing.write('deep ');
    outgoing.end('blue');
    const { status, text } = await answer;
    t.equal(status, 200, JSON.stringify(headers));
    t.match(JSON.parse(text).file, { sizeBytes: '9', sha256Hash: sha256('deep blue') });
  }
});

t.test('a multipart body is taken apart by the upstream, not by us', async (t) => {
  const media = '\r\n--b\0deep\r\n';
  const body =
    '--b c\r\nContent-Type: application/json\r\n\r\n{"file":{"displayName":"A sea"}}\r\n' +
    `--b c\r\nContent-Type: text/plain\r\n\r\n${media}\r\n--b c--`;
  const type = { 'content-type': 'multipart/related; boundary="b c"' };
  const sent = [
    await call(gate, `${FILES}?uploadType=multipart`, { headers: type, body }),
    await call(gate, FILES, { headers: { ...type, 'x-goog-upload-protocol': 'multipart' }, body }),
  ];
  for (const { status, text } of sent) {
    t.equal(status, 200);
    const { file } = JSON.parse(text);
    t.match(file, { displayName: 'A sea', mimeType: 'text/plain', sha256Hash: sha256(media) });
    const kept = 'which the upstream must know again';
    t.ok(file.uri.startsWith(`${simulator.url}/v1beta/files/`), kept);
  }
});

t.test('@google/genai puts a file into a search store, and asks what became of it', async (t) => {
  const ai = new GoogleGenAI({ apiKey: 'k', httpOptions: { baseUrl: gate.url + PREFIX } });
  const { name: fileSearchStoreName = '' } = await ai.fileSearchStores.create({
    config: { displayName: 'Charts' },
  });
  const begun = await ai.fileSearchStores.uploadToFileSearchStore({
    fileSearchStoreName,
    file: new Blob(['deep blue']),
    config: { mimeType: 'text/plain', displayName: 'A sea' },
  });
  t.match(begun.name, new RegExp(`^${fileSearchStoreName}/upload/operations/`));
  const done = await ai.operations.get({ operation: begun });
  t.match(done, { done: true, response: { parent: fileSearchStoreName } });
  const name = String(Reflect.get(Object(done.response), 'documentName'));
  t.match(await ai.fileSearchStores.documents.get({ name }), {
    displayName: 'A sea',
    mimeType: 'text/plain',
    sizeBytes: '9',
  });
});

t.test('files of an environment are put there, bare or step by step', async (t) => {
  const made = await call(gate, '/v1beta/environments', { body: {} });
  const { name } = JSON.parse(made.text);
  const put = open(`/upload/v1beta/${name}/files/src/a%20b.txt?overwrite=true`, {}, 'PUT');
  const answer = answerOf(put);
  put.end('deep');
  t.match(JSON.parse((await answer).text), { path: 'src/a b.txt', size_bytes: '4' });

  const headers = { 'x-goog-upload-protocol': 'resumable', 'x-goog-upload-command': 'start' };
  const path = `${PREFIX}/upload/v1beta/${name}/files/b.txt`;
  const start = await call(gate, path, { method: 'PUT', headers });
  const url = new URL(String(start.headers['x-goog-upload-url']));
  t.equal(url.origin + url.pathname, gate.url + path);
  await call(gate, url.pathname + url.search, {
    headers: { 'x-goog-upload-command': 'upload, finalize', 'x-goog-upload-offset': '0' },
    body: 'deep blue',
  });
  const { text } = await call(gate, `/v1beta/${name}/files/b.txt`);
  t.match(JSON.parse(text), { files: [{ path: 'b.txt', size_bytes: '9' }] });
});

t.test('a redirect stays on headgate where it stays on the upstream, and only there', async (t) => {
  const body = { instances: [{ prompt: 'A sea' }] };
  const begun = await call(gate, '/v1beta/models/veo:predictLongRunning', { body });
  const { text } = await call(gate, `/v1beta/${JSON.parse(begun.text).name}`);
  const [{ video }] = JSON.parse(text).response.generateVideoResponse.generatedSamples;
  const at = new URL(video.uri).pathname;
  for (const [downloads, origin] of [
    ['redirect', gate.url + PREFIX],
    ['elsewhere', simulator.url.replace('127.0.0.1', 'localhost')],
  ] as const) {
    await call(simulator, '/__sim/scenario', { body: { downloads, upload_granularity: 4 } });
    for (const path of [at, `/download${at}`]) {
      const sent = await call(gate, `${PREFIX}${path}?alt=media`);
      t.equal(sent.status, 302);
      t.equal(sent.headers.location, `${origin}/download${at}?alt=media&token=sim`);
    }
    const film = await fetch(`${gate.url}${PREFIX}${at}?alt=media`);
    t.equal(film.redirected, true);
    t.equal(film.headers.get('content-type'), 'video/mp4');
    t.equal(Buffer.from(await film.arrayBuffer()).toString('latin1', 4, 8), 'ftyp');
  }
});

t.test('of all this only the film has taken quota', async (t) => {
  await idle(gate);
  const { partitions } = await statusOf(gate);
  t.strictSame(
    partitions.map(({ model }) => model),
    ['veo'],
  );
});
