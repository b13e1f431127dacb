import t from 'tap';
import { withOwnFilmUris } from '../../src/gemini/film-uri.ts';
import { ownUrlOf, toOwnUrl, withOwnUrls } from '../../src/gemini/own-url.ts';

const UPSTREAM = 'https://generativelanguage.googleapis.com';
const OWN = 'http://127.0.0.1:8787/agents/a%40b/sessions/s/record';
const ADDRESSES = { ownUrl: OWN, upstreamUrl: UPSTREAM };
const UPLOAD = '/upload/v1beta/files?upload_id=A%2bc==&upload_protocol=resumable&x';

t.test('a URL of the upstream leads to us, its path and query byte for byte', async (t) => {
  t.equal(toOwnUrl(`${UPSTREAM}${UPLOAD}`, ADDRESSES), `${OWN}${UPLOAD}`);
  t.equal(toOwnUrl(`${UPSTREAM.toUpperCase()}:443${UPLOAD}`, ADDRESSES), `${OWN}${UPLOAD}`);
  t.equal(toOwnUrl(UPLOAD, ADDRESSES), `/agents/a%40b/sessions/s/record${UPLOAD}`);
});

t.test('any other URL stays as it is', async (t) => {
  for (const url of [
    `https://storage.googleapis.com${UPLOAD}`,
    `http://generativelanguage.googleapis.com${UPLOAD}`,
    `${UPSTREAM}:8443${UPLOAD}`,
    `${UPSTREAM}.evil.example${UPLOAD}`,
    `https://generativelanguage.googleapis.com@evil.example${UPLOAD}`,
    `//generativelanguage.googleapis.com${UPLOAD}`,
    'files/x',
    '',
  ]) {
    t.equal(toOwnUrl(url, ADDRESSES), url, url);
  }
});

t.test('a base path of the upstream is taken off, and what is beside it stays', async (t) => {
  const addresses = { ownUrl: 'https://hg:1', upstreamUrl: 'http://gateway:9/gemini' };
  t.equal(toOwnUrl('http://gateway:9/gemini/upload?a', addresses), 'https://hg:1/upload?a');
  t.equal(toOwnUrl('/gemini/upload?a', addresses), '/upload?a');
  for (const url of ['http://gateway:9/upload', 'http://gateway:9/geminis/x', '/upload']) {
    t.equal(toOwnUrl(url, addresses), url, url);
  }
});

t.test('three headers are changed, in any case, and no other', async (t) => {
  const url = `${UPSTREAM}/x`;
  const given = ['X-Goog-Upload-URL', url, 'x-goog-upload-control-url', url, 'LOCATION', url];
  const names = given.filter((_, at) => at % 2 === 0);
  t.strictSame(withOwnUrls([...given, 'Link', url], ADDRESSES), [
    ...names.flatMap((name) => [name, `${OWN}/x`]),
    'Link',
    url,
  ]);
});

t.test('our own address is that of the request, with its prefixes as written', async (t) => {
  const at = (host: string | null, rawUrl: string, path: string, isEncrypted = false) =>
    ownUrlOf({ host, isEncrypted, rawUrl, path });
  t.equal(
    at('hg:1', '/agents/a%40b/v1beta/files?x=/', '/v1beta/files?x=/'),
    'http://hg:1/agents/a%40b',
  );
  t.equal(at('[::1]:1', '//v1beta/files', '/v1beta/files', true), 'https://[::1]:1');
  t.equal(at(null, '/v1beta/files', '/v1beta/files'), null);
  t.equal(at('evil"/x', '/v1beta/files', '/v1beta/files'), null);
});

t.test('only the addresses of films change in an operation', async (t) => {
  const uri = `${UPSTREAM}/v1beta/files/f:download?alt=media`;
  const operation = (film: string) =>
    Buffer.from(
      `{ "name": "${uri}", "n": 1.0, "response" : {"generateVideoResponse":{"generatedSamples":[{"video":{"uri" : "${film}"}}]}}}\n`,
    );
  const own = `${OWN}/v1beta/files/f:download?alt=media`;
  t.equal(withOwnFilmUris(operation(uri), ADDRESSES).toString(), operation(own).toString());
  for (const same of [
    operation('https://other/x'),
    Buffer.from('{"done":false}'),
    Buffer.from('<'),
  ]) {
    t.equal(withOwnFilmUris(same, ADDRESSES), same);
  }
});
