import { once } from 'node:events';
import { type IncomingMessage, request as httpRequest } from 'node:http';

import t from 'tap';

import { ProxyError } from '../../src/errors.ts';
import { headerValue } from '../../src/gemini/headers.ts';
import { withPass } from '../../src/http/address-pass.ts';
import {
  admitGemini,
  checkSource,
  checkToken,
  type GuardSettings,
  isLoopback,
} from '../../src/http/guard.ts';
import { createServer, type HttpServerOptions } from '../../src/http/server.ts';
import { bodyOf } from '../support/loopback.ts';
import { OPEN_GUARD, startOwnServer } from '../support/own-server.ts';

/** Of the error thrown; null when none is. */
function reasonOf(run: () => unknown): string | null {
  try {
    run();
    return null;
  } catch (error) {
    return error instanceof ProxyError ? error.reason : String(error);
  }
}

const MODELS = '/v1beta/models';

t.test('only names that are ours are taken for the host', async (t) => {
  const settings = { ...OPEN_GUARD, listenHost: 'box.lan', allowedHosts: ['Gate', 'pc:8080'] };
  const ours = [
    'localhost:4290',
    'LOCALHOST',
    'a.localhost:1',
    '127.0.0.1:4290',
    '127.8.9.10',
    '[::1]:4290',
    'box.lan:4290',
    'box.lan.',
    'gate:4290',
    'pc:8080',
  ];
  for (const host of ours) {
    t.doesNotThrow(() => checkSource({ method: 'GET', headers: { host } }, settings), host);
  }
  const foreign = [
    'evil.example',
    '127.0.0.1.evil.example',
    'localhost.evil.example:4290',
    '10.0.0.1',
    'pc:9090',
    '',
    '[::2]',
    'x@127.0.0.1',
  ];
  for (const host of foreign) {
    const reason = reasonOf(() => checkSource({ method: 'GET', headers: { host } }, settings));
    t.equal(reason, 'HOST_NOT_ALLOWED', host);
  }
  const everywhere = { ...OPEN_GUARD, listenHost: '0.0.0.0' };
  t.doesNotThrow(() => checkSource({ method: 'GET', headers: { host: '10.0.0.1:1' } }, everywhere));
  t.throws(() => checkSource({ method: 'GET', headers: { host: 'evil.example' } }, everywhere));
});

t.test('a web page of another origin is refused', async (t) => {
  const settings = { ...OPEN_GUARD, allowedOrigins: ['http://localhost:3000'] };
  const host = '127.0.0.1:4290';
  const fine = [
    {},
    { 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-site': 'none' },
    { origin: 'http://127.0.0.1:4290', 'sec-fetch-site': 'same-origin' },
    { origin: 'http://localhost:3000', 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' },
  ];
  for (const headers of fine) {
    t.doesNotThrow(() => checkSource({ method: 'GET', headers: { host, ...headers } }, settings));
  }
  const foreign = [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: 'http://127.0.0.1:9999' },
    { origin: 'http://127.0.0.1:4290.evil.example' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' },
  ];
  for (const headers of foreign) {
    const caller = { method: 'GET', headers: { host, ...headers } };
    const reason = reasonOf(() => checkSource(caller, settings));
    t.equal(reason, 'ORIGIN_NOT_ALLOWED', JSON.stringify(headers));
  }
  const form = {
    host,
    'sec-fetch-site': 'cross-site',
    'sec-fetch-mode': 'navigate',
    'sec-fetch-dest': 'document',
  };
  t.throws(() => checkSource({ method: 'POST', headers: form }, settings), 'a form is no link');
});

t.test('a token is taken in every form that clients can send', async (t) => {
  const settings = { ...OPEN_GUARD, token: 'hunter2' };
  const own = [{ authorization: 'Bearer hunter2' }, { 'x-headgate-token': 'hunter2' }];
  for (const headers of own) t.doesNotThrow(() => checkToken({ method: 'GET', headers }, settings));
  const bad = [
    {},
    { authorization: 'Bearer hunter' },
    { authorization: 'hunter2' },
    { 'x-headgate-token': '' },
  ];
  for (const headers of bad) {
    const reason = reasonOf(() => checkToken({ method: 'GET', headers }, settings));
    t.equal(reason, 'UNAUTHORIZED');
  }
  const admit = (path: string, headers: string[], guard: GuardSettings = settings) =>
    admitGemini({ method: 'GET', path, headers }, guard);
  const asKey: [string, string[]][] = [
    [MODELS, ['X-Goog-Api-Key', 'hunter2']],
    [`${MODELS}?key=hunter2`, []],
    [`${MODELS}?access_token=hunter2`, []],
    [MODELS, ['Authorization', 'Bearer hunter2']],
    [MODELS, ['Authorization', 'Token hunter2']],
  ];
  for (const [path, headers] of asKey) {
    t.strictSame(admit(path, headers), { path: MODELS, headers: ['x-goog-api-key', 'headgate'] });
  }
  const beside = ['x-headgate-token', 'hunter2', 'x-goog-api-key', 'AIza'];
  t.strictSame(admit(MODELS, beside), { path: MODELS, headers: beside });
  t.equal(
    reasonOf(() => admit(MODELS, ['x-goog-api-key', 'AIza'])),
    'UNAUTHORIZED',
  );
  t.strictSame(admit(MODELS, [], OPEN_GUARD), { path: MODELS, headers: [] });
});

t.test('the token stays here, however often and beside whatever it comes', async (t) => {
  const settings = { ...OPEN_GUARD, token: 'hunter2' };
  const headers = ['x-goog-api-key', 'AIza', 'X-Goog-Api-Key', 'hunter2', 'a', 'hunter2'];
  const bearer = ['Authorization', 'Bearer hunter2'];
  const path = `${MODELS}?key=hunter2&alt=sse&access_token=hunter%32&key=other`;
  const call = { method: 'POST', path, headers: [...headers, ...bearer] };
  t.strictSame(admitGemini(call, settings), {
    path: `${MODELS}?alt=sse&key=other`,
    headers: ['x-goog-api-key', 'AIza', 'a', 'hunter2'],
  });
  const preflight = { method: 'OPTIONS', path: `${MODELS}?key=hunter2`, headers: [] };
  t.equal(admitGemini(preflight, settings).path, MODELS, 'nor does a preflight tell it');
  t.same(admitGemini({ ...preflight, path: MODELS }, settings).headers, []);
});

t.test('an address that was handed out lets its holder in, and to nothing else', async (t) => {
  const settings = { ...OPEN_GUARD, token: 'hunter2' };
  const upload = '/upload/v1beta/files?upload_id=u%2B1&upload_protocol=resumable';
  const download = '/download/v1beta/files/f:download?alt=media';
  const film = '/v1beta/files/f:download?alt=media';
  const reasonFor = (method: string, path: string, token = 'hunter2') =>
    reasonOf(() => admitGemini({ method, path, headers: [] }, { ...settings, token }));
  for (const [method, path] of [
    ['POST', upload],
    ['PUT', upload],
    ['GET', download],
    ['HEAD', film],
  ] as const) {
    const passed = withPass(path, 'hunter2');
    t.strictSame(admitGemini({ method, path: passed, headers: [] }, settings), {
      path,
      headers: [],
    });
    t.equal(reasonFor(method, path), 'UNAUTHORIZED', 'not without the pass');
    t.equal(reasonFor(method, passed.replace(/.$/, '')), 'UNAUTHORIZED', 'nor with a part of it');
    t.equal(reasonFor(method, passed, 'hunter3'), 'UNAUTHORIZED', 'nor after the token changed');
  }
  const passed = withPass(upload, 'hunter2');
  const pass = passed.slice(upload.length + 1);
  t.equal(reasonFor('POST', passed.replace('u%2B1', 'u%2B2')), 'UNAUTHORIZED');
  t.equal(reasonFor('POST', `/upload/v1beta/other?upload_id=u%2B1&${pass}`), 'UNAUTHORIZED');
  t.equal(reasonFor('POST', withPass(film, 'hunter2')), 'UNAUTHORIZED', 'a film is read only');
  const written = '/upload/v1beta/files?upload_protocol=resumable&upload_id=u%2b1';
  const anew = { method: 'POST', path: `${written}&key=AIza&${pass}`, headers: [] };
  t.equal(admitGemini(anew, settings).path, `${written}&key=AIza`, 'written in other escapes');
  for (const path of [
    MODELS,
    '/upload/v1beta/files',
    '/v1beta/models/m:generateContent?upload_id=1',
    '/ws/x.GenerativeService.BidiGenerateContent?a=:download',
  ]) {
    t.equal(withPass(path, 'hunter2'), path, `${path} has none`);
  }
  t.match(withPass(`${film}#t=1`, 'hunter2'), /&headgate_pass=[\w-]{43}#t=1$/);
});

t.test('listening beyond loopback needs a token', async (t) => {
  for (const host of ['127.0.0.1', 'localhost', '::1', '[::1]']) t.ok(isLoopback(host), host);
  for (const host of ['0.0.0.0', '::', '192.168.1.2', '127.0.0.1.nip.io']) {
    t.notOk(isLoopback(host), host);
  }
  // Refused before any other option is looked at.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  const options = { listen: { host: '0.0.0.0', port: 0 }, guard: () => OPEN_GUARD } as unknown;
  const refused = createServer(options as HttpServerOptions);
  await t.rejects(refused, { name: 'ProxyError', message: /admin\.token/ });
});

async function get(port: number, path: string, headers: Record<string, string>, method = 'GET') {
  const request = httpRequest({ host: '127.0.0.1', port, path, headers, method }).end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return { status: response.statusCode, text: (await bodyOf(response)).toString() };
}

t.test('the guard stands before every route, in the dialect of the path', async (t) => {
  const { port, passed, refusals } = await startOwnServer(t, { guard: { token: 'hunter2' } });
  const asKey = await get(port, `${MODELS}?key=hunter2`, { 'x-other': 'hunter3' });
  t.equal(asKey.status, 200);
  t.notMatch(JSON.stringify(passed[0]?.call), 'hunter2', 'our token does not leave');
  t.equal(headerValue(passed[0]?.call.headers ?? [], 'x-goog-api-key'), 'headgate');
  t.equal((await get(port, MODELS, {}, 'OPTIONS')).status, 200, 'a preflight carries no token');

  const none = await get(port, MODELS, {});
  t.equal(none.status, 401);
  t.match(none.text, '"status":"UNAUTHENTICATED"');
  t.match(refusals[0], { error: { reason: 'UNAUTHORIZED' } });
  const foreign = await get(port, MODELS, { host: 'evil.example' });
  t.equal(foreign.status, 403);
  t.match(foreign.text, '"status":"PERMISSION_DENIED"');

  for (const path of [
    '/metrics',
    '/%6detrics',
    '/nothing',
    '/limits/../livez',
    '/readyz/../metrics',
  ]) {
    const answer = await get(port, path, {});
    t.equal(answer.status, 401, path);
    t.match(answer.text, '"reason":"UNAUTHORIZED"', path);
  }
  t.equal((await get(port, '/metrics', { authorization: 'Bearer hunter2' })).status, 200);
  for (const path of ['/', '/livez', '/readyz', '/healthz', '/livez/']) {
    t.equal((await get(port, path, {})).status, 200, path);
    t.equal((await get(port, path, { host: 'evil.example' })).status, 403, path);
  }
});
