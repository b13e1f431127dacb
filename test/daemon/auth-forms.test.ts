import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { GoogleGenAI } from '@google/genai';
import t from 'tap';
import { WebSocket } from 'ws';
import {
  call,
  type CallOptions,
  GENERATE,
  type Gate,
  saying,
  startGate,
  STREAM,
} from '../support/gate.ts';
import { LIVE_PATH, SETUP, talkTo } from '../support/live.ts';

const OWN = 'AIzaSyOwn-0123456789-abcdefghijklmnopqr';
const CONFIGURED = 'AIzaSyConfigured-9876543210-zyxwvutsrqp';
const OAUTH = 'ya29.a0AfH6SMBx-oauth';
const EPHEMERAL = 'auth_tokens/0123456789abcdef';
const TOKEN = 'the-token-of-this-headgate';
const KEYS = [OWN, CONFIGURED, OAUTH, EPHEMERAL];
const CONSTRAINED = `${LIVE_PATH.replace('v1beta', 'v1alpha')}Constrained`;
const START = { 'x-goog-upload-protocol': 'resumable', 'x-goog-upload-command': 'start' };
const FINALIZE = { 'x-goog-upload-command': 'upload, finalize', 'x-goog-upload-offset': '0' };
const CHAT = { model: 'chat', messages: [{ role: 'user', content: 'Hi' }] };
const SAYING = saying('Hi');

/** One of each family of paths. A path of null is the address of an upload that has been started. */
const FAMILIES: Readonly<Record<string, CallOptions & { readonly path: string | null }>> = {
  generateContent: { path: GENERATE, body: SAYING },
  'generateContent of v1': { path: '/v1/models/m:generateContent', body: SAYING },
  stream: { path: STREAM, body: SAYING },
  countTokens: { path: '/v1beta/models/m:countTokens', body: SAYING },
  embeddings: {
    path: '/v1beta/models/e:embedContent',
    body: { content: { parts: [{ text: 'Hi' }] } },
  },
  chat: { path: '/v1beta/openai/chat/completions', body: CHAT },
  'chat, escaped': { path: '/v1beta/openai%2fchat%2Fcompletions', body: CHAT },
  'models of OpenAI': { path: '/v1beta/openai/models' },
  interactions: { path: '/v1beta/interactions', body: { model: 'i', input: 'Hi' } },
  models: { path: '/v1beta/models' },
  'the start of an upload': { path: '/upload/v1beta/files', headers: START, body: '{}' },
  'the piece of an upload': { path: null, headers: FINALIZE, body: 'bytes' },
  files: { path: '/v1beta/files' },
  'a download': { path: '/v1beta/files/none:download?alt=media' },
  'a download of results': { path: '/download/v1beta/files/none:download?alt=media' },
  operations: { path: '/v1beta/operations/o1' },
  caches: { path: '/v1beta/cachedContents' },
  'ephemeral tokens': { path: '/v1alpha/auth_tokens', body: { uses: 1 } },
};

interface Form {
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Every form in which a key is sent. */
const FORMS: Readonly<Record<string, (key: string) => Form>> = {
  'x-goog-api-key': (key) => ({ headers: { 'x-goog-api-key': key } }),
  '?key=': (key) => ({ query: `key=${encodeURIComponent(key)}` }),
  Bearer: (key) => ({ headers: { authorization: `Bearer ${key}` } }),
  'a lower-case bearer': (key) => ({ headers: { authorization: `bearer ${key}` } }),
  Token: (key) => ({ headers: { authorization: `Token ${key}` } }),
  '?access_token=': (key) => ({ query: `access_token=${encodeURIComponent(key)}` }),
  'header and query': (key) => ({ query: `key=${key}`, headers: { 'x-goog-api-key': key } }),
  'header and Bearer': (key) => ({
    headers: { 'x-goog-api-key': key, authorization: `Bearer ${key}` },
  }),
};

t.test(
  'a key of the client’s own goes out as it came, and the API says what it thinks',
  async (t) => {
    const gate = await startGate(t, { scenario: { keys: KEYS } });
    for (const [family, { path, ...options }] of Object.entries(FAMILIES)) {
      for (const [form, make] of [...Object.entries(FORMS), ['no key', () => ({})] as const]) {
        for (const key of form === 'no key' ? [''] : [OWN, OAUTH, 'AIzaSyWrong']) {
          const title = `${family}: ${form} ${key}`;
          const [direct, through] = [
            await ask({ url: gate.simulator.url }, { path, ...options }, make(key)),
            await ask(gate, { path, ...options }, make(key)),
          ];
          t.equal(through.status, direct.status, `${title} ${direct.status}`);
          if (direct.status >= 400) t.equal(through.text, direct.text, title);
          const [one, other] = gate.simulator.arrivals.slice(-2);
          // An upload is started once more in between.
          const before = path === null ? gate.simulator.arrivals.at(-3) : one;
          t.equal(other?.apiKeyHash, before?.apiKeyHash, title);
        }
      }
    }
  },
);

t.test(
  'the placeholder, and no key at all, take the configured key in the path’s form',
  async (t) => {
    const upstream = { api_key: CONFIGURED };
    const scenario = { keys: [OWN, CONFIGURED] };
    const gate = await startGate(t, { scenario, config: { upstream } });
    const right = hashOf(CONFIGURED);
    for (const [family, { path, ...options }] of Object.entries(FAMILIES)) {
      for (const [form, make] of [...Object.entries(FORMS), ['no key', () => ({})] as const]) {
        const answer = await ask(gate, { path, ...options }, make('headgate'));
        const arrival = gate.simulator.arrivals.at(-1);
        const isBarePiece = path === null && form === 'no key';
        t.ok([200, 404].includes(answer.status), `${family}: ${form} ${answer.status}`);
        t.equal(arrival?.apiKeyHash, isBarePiece ? null : right, `${family}: ${form}`);
      }
    }
    // A real credential beside the placeholder is the client's own.
    const headers = { 'x-goog-api-key': 'headgate', authorization: `Bearer ${OWN}` };
    t.equal((await call(gate, GENERATE, { body: SAYING, headers })).status, 200);
    t.equal(gate.simulator.arrivals.at(-1)?.apiKeyHash, hashOf(OWN));
  },
);

t.test('the placeholder alone, with nothing configured, is told what is missing', async (t) => {
  const gate = await startGate(t);
  for (const { path, ...options } of Object.values(FAMILIES)) {
    if (path === null) continue;
    const answer = await ask(gate, { path, ...options }, FORMS['Bearer']?.('headgate') ?? {});
    t.equal(answer.headers['x-headgate-refused'], 'KEY_MISSING', path);
    t.match(answer.text, /upstream\.api_key/);
  }
  t.equal(gate.simulator.arrivals.length, 0);
});

t.test('Live sessions take every form that the API takes', async (t) => {
  const gate = await startGate(t, { scenario: { keys: KEYS } });
  const withKey = await startGate(t, {
    upstreamUrl: gate.simulator.url,
    config: { upstream: { base_url: gate.simulator.url, api_key: CONFIGURED } },
  });
  for (const [path, key] of [
    [LIVE_PATH, OWN],
    [`/${LIVE_PATH}`, OWN],
    [CONSTRAINED, EPHEMERAL],
  ] as const) {
    for (const [form, make] of Object.entries(FORMS)) {
      t.equal(await converse(gate, path, make(key)), 'setupComplete', `${path}: ${form}`);
      t.equal(gate.simulator.arrivals.at(-1)?.apiKeyHash, hashOf(key), form);
      t.equal(await converse(withKey, path, make(key)), 'setupComplete', `${path}: ${form}`);
      t.equal(gate.simulator.arrivals.at(-1)?.apiKeyHash, hashOf(key), form);
      t.equal(await converse(withKey, path, make('headgate')), 'setupComplete', form);
      t.equal(gate.simulator.arrivals.at(-1)?.apiKeyHash, hashOf(CONFIGURED), form);
      t.match(await converse(gate, path, make('AIzaSyWrong')), /^1008 API key not valid/, form);
    }
    t.match(await converse(gate, path, {}), /^1008 .*unregistered callers/);
  }
});

t.test('where a token is asked for it is taken as the key, in every form', async (t) => {
  const upstream = { api_key: CONFIGURED };
  const scenario = { keys: [OWN, CONFIGURED] };
  const gate = await startGate(t, { scenario, config: { upstream, admin: { token: TOKEN } } });
  for (const [family, { path, ...options }] of Object.entries(FAMILIES)) {
    for (const [form, make] of Object.entries(FORMS)) {
      const answer = await ask(gate, { path, ...options }, make(TOKEN));
      t.ok([200, 404].includes(answer.status), `${family}: ${form} ${answer.status}`);
      t.equal(gate.simulator.arrivals.at(-1)?.apiKeyHash, hashOf(CONFIGURED), family);
    }
    if (path === null) continue;
    const count = gate.simulator.arrivals.length;
    t.equal((await ask(gate, { path, ...options }, {})).status, 401, family);
    t.equal(gate.simulator.arrivals.length, count);
  }
  for (const [form, make] of Object.entries(FORMS)) {
    t.equal(await converse(gate, LIVE_PATH, make(TOKEN)), 'setupComplete', form);
  }
  await t.rejects(converse(gate, LIVE_PATH, {}), /401/);
});

t.test('an upload goes on at its address without a key, a restart in between', async (t) => {
  const config = { upstream: { api_key: CONFIGURED }, admin: { token: TOKEN } };
  const scenario = { keys: [OWN, CONFIGURED], upload_granularity: 5 };
  const gate = await startGate(t, { scenario, config });
  for (const [prefix, sent] of [
    ['', { 'x-goog-api-key': TOKEN }],
    ['/agents/painter', { 'x-headgate-token': TOKEN, 'x-goog-api-key': OWN }],
  ] as const) {
    const path = `${prefix}/upload/v1beta/files`;
    const start = await call(gate, path, { headers: { ...START, ...sent }, body: '{}' });
    const address = new URL(String(start.headers['x-goog-upload-url']));
    t.equal(address.origin + address.pathname, gate.url + path);
    const piece = (to: URL, headers: Record<string, string> = FINALIZE) =>
      call(gate, to.pathname + to.search, { headers, body: 'bytes', method: 'POST' });
    const bare = new URL(address);
    bare.searchParams.delete('headgate_pass');
    t.equal((await piece(bare)).status, 401, 'not without what was added to it');
    await gate.restart();
    const first = await piece(address, { ...FINALIZE, 'x-goog-upload-command': 'upload' });
    t.equal(first.status, 200, first.text);
    const last = await piece(address, { ...FINALIZE, 'x-goog-upload-offset': '5' });
    t.match(JSON.parse(last.text), { file: { sizeBytes: '10' } });
    t.equal(gate.simulator.arrivals.at(-1)?.apiKeyHash, null);
    t.notMatch(JSON.stringify(gate.simulator.arrivals), 'headgate_pass', 'and it stays here');
  }
  const client = new GoogleGenAI({ apiKey: TOKEN, httpOptions: { baseUrl: gate.url } });
  const file = await client.files.upload({
    file: new Blob(['12345']),
    config: { mimeType: 'text/plain' },
  });
  t.match(file, { sizeBytes: '5' });
  const log = gate.log.join('');
  t.notMatch(log, /headgate_pass=(?!\[redacted\])/);
});

t.test('a film is had at its address by a client whose key is its own', async (t) => {
  const config = { upstream: { api_key: null }, admin: { token: TOKEN } };
  const gate = await startGate(t, { scenario: { keys: [OWN] }, config });
  const headers = {
    'user-agent': 'ai-sdk/google/4.0.121',
    'x-headgate-token': TOKEN,
    'x-goog-api-key': OWN,
  };
  const film = { body: { instances: [{ prompt: 'A boat.' }] }, headers };
  const begun = await call(gate, '/v1beta/models/veo:predictLongRunning', film);
  const { name } = JSON.parse(begun.text);
  let uri = '';
  while (uri === '') {
    const { status, text } = await call(gate, `/v1beta/${name}`, { headers });
    if (status !== 200) throw new Error(text);
    uri = /"uri":\s*"([^"]+)"/.exec(text)?.[1] ?? '';
  }
  t.ok(uri.startsWith(`${gate.url}/v1beta/files/`), uri);
  t.match(uri, /:download\?alt=media&headgate_pass=/);
  // As the AI SDK follows it: with its key in the query, and none of its headers.
  const got = await fetch(`${uri}&key=${OWN}`);
  t.equal(got.status, 200);
  t.equal((await fetch(uri.replace(/&headgate_pass=.*/, `&key=${OWN}`))).status, 401);
});

async function ask(
  target: { readonly url: string },
  { path, ...options }: CallOptions & { readonly path: string | null },
  { query, headers = {} }: Form,
) {
  const whole = path ?? (await startUpload(target));
  const withQuery =
    query === undefined ? whole : `${whole}${whole.includes('?') ? '&' : '?'}${query}`;
  return call(target, withQuery, { ...options, headers: { ...options.headers, ...headers } });
}

async function startUpload(target: { readonly url: string }): Promise<string> {
  const headers = { ...START, 'x-goog-api-key': OWN, 'x-headgate-token': TOKEN };
  const { headers: told } = await call(target, '/upload/v1beta/files', { headers, body: '{}' });
  const { pathname, search } = new URL(String(told['x-goog-upload-url']));
  return pathname + search;
}

/** What a session begins with: the name of the first message, or the code and reason of its close. */
async function converse(gate: Gate | { url: string }, path: string, { query, headers = {} }: Form) {
  const talk = await talkTo(gate, query === undefined ? path : `${path}?${query}`, { headers });
  talk.socket.send(SETUP);
  const [first] = await Promise.race([
    once(talk.socket, 'message').then(() =>
      Object.keys(JSON.parse(String(talk.received[0]?.data))),
    ),
    talk.closed.then(({ code, reason }) => [`${code} ${reason}`]),
  ]);
  if (talk.socket.readyState !== WebSocket.CLOSED) talk.socket.close();
  await talk.closed;
  return first ?? '';
}

function hashOf(key: string): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 12);
}
