import { createHash } from 'node:crypto';
import { request as plainRequest } from 'node:http';
import t, { type Test } from 'tap';
import { request } from 'undici';
import { RelatedBody } from '../../src/simulator/multipart.ts';
import { start, until } from './run.ts';

const FILES = '/upload/v1beta/files';
const sha256 = (bytes: string): string =>
  Buffer.from(createHash('sha256').update(bytes).digest('hex')).toString('base64');

/** An upload that has been started, and how to go on with it. Pieces are of four bytes. */
async function begin(t: Test) {
  const run = await start(t, { upload_granularity: 4 });
  const started = await run.post(FILES, {}, { 'x-goog-upload-command': 'start' });
  t.equal(started.headers['x-goog-upload-chunk-granularity'], '4');
  const { pathname, search } = new URL(String(started.headers['x-goog-upload-url']));
  const path = pathname + search;
  const go = async (command: string, offset: number | string, bytes = '') => {
    const headers = { 'x-goog-upload-command': command, 'x-goog-upload-offset': String(offset) };
    const { status, headers: told, text } = await run.post(path, bytes, headers);
    const state = told['x-goog-upload-status'];
    return { status, state, received: told['x-goog-upload-size-received'], text };
  };
  return { ...run, path, go };
}

t.test('a query tells how much has come, and in the end what came of it', async (t) => {
  const { go } = await begin(t);
  t.match(await go('query', 0), { status: 200, state: 'active', received: '0' });
  t.match(await go('upload', 0, 'deep'), { status: 200, state: 'active' });
  t.match(await go('query', 0), { status: 200, state: 'active', received: '4', text: '' });
  const done = await go('upload, finalize', 4, 'er');
  t.match(done, { status: 200, state: 'final' });
  t.match(JSON.parse(done.text).file, { sizeBytes: '6', sha256Hash: sha256('deeper') });
  t.match(await go('query', 0), { status: 200, state: 'final', text: done.text });
  t.match(await go('cancel', 0), { status: 400, state: 'final' });
  t.match(await go('upload', 6, 'more'), { status: 400, state: 'final' });
});

t.test('a piece at a wrong place or of a wrong size is refused, and not taken', async (t) => {
  const { go } = await begin(t);
  t.match(await go('upload', 4, 'late'), {
    status: 409,
    state: 'active',
    text: /expected 0, got 4/,
  });
  t.match(await go('upload', 'x', 'deep'), { status: 400, state: 'active' });
  t.match(await go('upload', 0, 'deeps'), { status: 400, text: /granularity, 4/ });
  t.match(await go('sing', 0, 'deep'), { status: 400, state: 'active' });
  t.match(await go('query', 0), { received: '0' });
  t.match(await go('upload', 0, 'deep'), { status: 200 });
  t.match(await go('upload', 0, 'deep'), { status: 409, text: /expected 4, got 0/ });
  const done = await go('finalize', 4);
  t.match(JSON.parse(done.text).file, { sizeBytes: '4', sha256Hash: sha256('deep') });
});

t.test('what is cancelled is over, and what nobody began is not there', async (t) => {
  const { go, post } = await begin(t);
  t.match(await go('cancel', 0), { status: 200, state: 'cancelled' });
  t.match(await go('query', 0), { status: 410, state: 'cancelled' });
  t.match(await go('upload', 0, 'deep'), { status: 400, state: 'cancelled' });
  const command = { 'x-goog-upload-command': 'query' };
  t.equal((await post(`${FILES}?upload_id=nobody`, '', command)).status, 404);
});

t.test('what came before a connection broke is kept, to go on from', async (t) => {
  const { simulator, path, go } = await begin(t);
  const headers = { 'x-goog-upload-command': 'upload', 'x-goog-upload-offset': '0' };
  const outgoing = plainRequest(simulator.url + path, { method: 'POST', headers });
  outgoing.on('error', () => undefined);
  outgoing.write('deep b');
  await until(() => simulator.arrivals.at(-1)?.bytes === 6);
  outgoing.destroy();
  let received: unknown = '0';
  while (received === '0') ({ received } = await go('query', 0));
  t.equal(received, '6');
  const done = await go('upload, finalize', 6, 'lue');
  t.match(JSON.parse(done.text).file, { sizeBytes: '9', sha256Hash: sha256('deep blue') });
});

t.test('of a multipart body only the media are the file', async (t) => {
  const { post } = await start(t);
  const media = 'a\r\n--b\0\r\n-- b\r\n';
  const json = '{"file":{"displayName":"A sea"}}';
  const body =
    `--b c\r\nContent-Type: application/json\r\n\r\n${json}` +
    `\r\n--b c\r\ncontent-type: text/plain\r\n\r\n${media}\r\n--b c--\r\n`;
  const type = { 'content-type': 'multipart/related; boundary="b c"' };
  for (const [path, more] of [
    [`${FILES}?uploadType=multipart`, {}],
    [FILES, { 'x-goog-upload-protocol': 'multipart' }],
  ] as const) {
    const answer = await post(path, body, { ...type, ...more });
    t.equal(answer.headers['x-goog-upload-status'], 'final');
    t.match(JSON.parse(answer.text).file, {
      displayName: 'A sea',
      mimeType: 'text/plain',
      sizeBytes: String(media.length),
      sha256Hash: sha256(media),
    });
  }
  const cut = await post(`${FILES}?uploadType=multipart`, body.slice(0, -8), type);
  t.match(cut, { status: 400, text: /Malformed multipart body/ });
  t.equal((await post(`${FILES}?uploadType=multipart`, body)).status, 400, 'without its type');

  for (const step of [1, 2, 7]) {
    const parts: Buffer[] = [];
    const related = new RelatedBody('b c', (part) => parts.push(part));
    for (let at = 0; at < body.length; at += step) {
      related.add(Buffer.from(body.slice(at, at + step), 'latin1'));
    }
    t.equal(related.isWhole, true);
    t.equal(related.metadata.toString(), json);
    t.equal(Buffer.concat(parts).toString('latin1'), media, `in pieces of ${step}`);
  }
});

t.test('files are sent to stores and to environments too, once these are there', async (t) => {
  const { simulator, post } = await start(t);
  const raw = { 'x-goog-upload-protocol': 'raw', 'content-type': 'text/plain' };
  const at = async (path: string) => {
    const answer = await request(simulator.url + path);
    return JSON.parse(await answer.body.text());
  };
  t.equal(
    (await post('/upload/v1beta/fileSearchStores/x:uploadToFileSearchStore', 'a')).status,
    404,
  );
  const store = JSON.parse((await post('/v1beta/fileSearchStores', {})).text).name;
  const { text } = await post(`/upload/v1beta/${store}:uploadToFileSearchStore`, 'deep', raw);
  const done = await at(`/v1beta/${JSON.parse(text).name}`);
  t.match(done, { done: true, response: { parent: store } });
  t.match(await at(`/v1beta/${done.response.documentName}`), {
    mimeType: 'text/plain',
    sizeBytes: '4',
  });

  const environment = JSON.parse((await post('/v1beta/environments', {})).text).name;
  const path = `${environment}/files/a/b.txt`;
  const put = { method: 'PUT', headers: raw, body: 'deep blue' } as const;
  const answer = await request(`${simulator.url}/upload/v1beta/${path}`, put);
  t.match(await answer.body.json(), { name: 'b.txt', path: 'a/b.txt', size_bytes: '9' });
  t.match(await at(`/v1beta/${path}`), { files: [{ path: 'a/b.txt', mime_type: 'text/plain' }] });
});

t.test('a film lies here, or a redirect leads to it', async (t) => {
  const { simulator, post } = await start(t);
  const body = { instances: [{ prompt: 'A sea' }] };
  const begun = await post('/v1beta/models/veo:predictLongRunning', body);
  const operation = await request(`${simulator.url}/v1beta/${JSON.parse(begun.text).name}`);
  const { response } = JSON.parse(await operation.body.text());
  const [{ video }] = response.generateVideoResponse.generatedSamples;
  t.equal((await request(video.uri)).statusCode, 200);
  for (const [downloads, host] of [
    ['redirect', '127.0.0.1'],
    ['elsewhere', 'localhost'],
  ] as const) {
    await post('/__sim/scenario', { downloads, keys: ['good'] });
    const sent = await request(`${video.uri}&key=good`);
    t.equal(sent.statusCode, 302);
    const location = new URL(String(sent.headers['location']));
    t.equal(location.hostname, host);
    const { pathname, search } = location;
    t.match(pathname, /^\/download\/v1beta\/files\/veo1-0:download$/);
    const film = await request(simulator.url + pathname + search);
    t.equal(film.headers['content-type'], 'video/mp4');
  }
});

t.test('a cache tells its size and until when it is kept, and not what is in it', async (t) => {
  const { simulator, post } = await start(t);
  const contents = [{ parts: [{ text: 'Tell me about the sea.' }] }];
  const made = await post('/v1beta/cachedContents', { model: 'models/m', contents, ttl: '60s' });
  const cache = JSON.parse(made.text);
  t.match(cache, { name: /^cachedContents\//, model: 'models/m', contents: undefined });
  t.ok(cache.usageMetadata.totalTokenCount > 0);
  t.equal(Date.parse(cache.expireTime) - Date.parse(cache.createTime), 60_000);
  const body = JSON.stringify({ ttl: '90s' });
  const answer = await request(`${simulator.url}/v1beta/${cache.name}`, { method: 'PATCH', body });
  const changed = JSON.parse(await answer.body.text());
  t.equal(Date.parse(changed.expireTime) - Date.parse(cache.createTime), 90_000);
  t.equal(changed.usageMetadata.totalTokenCount, cache.usageMetadata.totalTokenCount);
});
