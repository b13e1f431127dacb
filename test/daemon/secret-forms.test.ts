import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import {
  call,
  type CallOptions,
  type Gate,
  generate,
  limits,
  saying,
  send,
  startGate,
  until,
} from '../support/gate.ts';
import { LIVE_PATH, SETUP, talkTo } from '../support/live.ts';
import { listen } from '../support/loopback.ts';

/** Every secret below has it, and nothing else does. */
const MARK = 'Zq9x';
/** Of no shape that gives it away. */
const SECRET = `my.${MARK}-secret`;
/** As Google's are, for it stands where nothing else says what it is. */
const KEY = `AIzaSy${MARK}0123456789abcdefghijklmnopqrs`;
const TOKEN = `${MARK}-token-of-this-headgate`;
const ADMITTED = { 'x-headgate-token': TOKEN };
const BODY = saying('Hello there.');

/** Everything that may stand where a credential stands. */
const FORMS: readonly { readonly query?: string; readonly headers?: Record<string, string> }[] = [
  { headers: { 'x-goog-api-key': SECRET } },
  { headers: { authorization: `Bearer ${SECRET}` } },
  { headers: { authorization: `Token auth_tokens/${SECRET}` } },
  { headers: { authorization: `Basic ${MARK}Zm9v` } },
  { headers: { cookie: `sid=${SECRET}`, 'x-goog-user-project': 'p' } },
  { query: `key=${SECRET}` },
  { query: `KEY=${SECRET}&api_key=${SECRET}` },
  { query: `k%65y=${SECRET}` },
  { query: `access_token=auth_tokens%2F${SECRET}` },
  { query: `upload_id=${SECRET}&upload_protocol=resumable&headgate_pass=${SECRET}` },
  { query: `key=${SECRET}`, headers: { 'x-goog-api-key': KEY } },
  { query: `key=${TOKEN}`, headers: { authorization: `Bearer ${TOKEN}` } },
];

/** How each of them ends is in the path: the upstream below does what it says. */
const CALLS: readonly (CallOptions & { readonly path: string })[] = [
  { path: generate('good'), body: BODY },
  { path: '/sessions/s1/record/v1beta/models/good:generateContent', body: BODY },
  { path: '/agents/a/v1beta/models/good:streamGenerateContent?alt=sse', body: BODY },
  { path: generate('refused'), body: BODY },
  { path: generate('quoting'), body: BODY },
  { path: generate('cut'), body: BODY },
  { path: '/v1beta/openai/chat/completions', body: { model: 'refused', messages: [] } },
  { path: '/v1beta/interactions', body: { model: 'refused', input: 'Hi' } },
  { path: '/upload/v1beta/files', body: '{}' },
  { path: '/v1beta/files/f:download?alt=media' },
  { path: '/v1beta/files/cut' },
  { path: '/v1alpha/auth_tokens', body: { uses: 1 } },
  { path: `/v1alpha/auth_tokens/${SECRET}` },
  // Refused here.
  { path: '/v1beta/models/:generateContent', body: BODY },
  { path: generate('good'), body: '{"contents": ' },
  { path: `/agents/${'n'.repeat(80)}/v1beta/models` },
  { path: '/v1beta/models/%zz:generateContent', body: BODY },
  { path: LIVE_PATH },
  { path: '/nothing' },
  { path: '/sessions/none/continue', body: { message: 'Hi' } },
  { path: '/limits/x', method: 'PATCH', body: { rpm: 'x' } },
  { path: '/%zz' },
];

t.test('no form of a secret is kept or shown, however the call ends', async (t) => {
  const upstream = await startUpstream(t);
  const gate = await startGate(t, {
    upstreamUrl: upstream.url,
    config: {
      upstream: { base_url: upstream.url, api_key: `${MARK}-configured` },
      rate_limits: limits({}, { gemini: { held: { rpm: 1 } } }),
      projects: { default: {}, team: { keys: [`${MARK}-of-the-team`], rate_limits: {} } },
      admin: { token: TOKEN },
      sessions: { record: 'all', record_dir: './records' },
    },
  });
  const events = await listenTo(gate);
  for (const form of FORMS) {
    for (const { path, ...options } of CALLS) {
      const whole = `${path}${form.query === undefined ? '' : `${path.includes('?') ? '&' : '?'}${form.query}`}`;
      // A day that the upstream calls used up may end soon; waiting for that proves nothing more.
      const headers = { ...form.headers, 'x-headgate-max-wait': '1s' };
      for (const more of [ADMITTED, {}, { ...ADMITTED, host: 'evil.example' }]) {
        await call(gate, whole, { ...options, headers: { ...headers, ...more } }).catch(() => null);
      }
    }
    await leave(gate, upstream, form);
    await converse(gate, form);
  }
  for (const line of [
    `GET http://${SECRET}:${SECRET}@127.0.0.1/v1beta/models?key=${SECRET} HTTP/1.1`,
    `GET /v1beta/models?key=${SECRET} x HTTP/1.1`,
    `GET /v1beta/models#key=${SECRET} HTTP/1.1`,
    `GET /v1beta/models&key=${SECRET} HTTP/1.1\r\nx-goog-api-key: ${SECRET}\r\nbad header ${SECRET}`,
  ]) {
    await sendRaw(gate, `${line}\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n`);
  }
  // One has been admitted and one waits while everything is looked at.
  const held = { body: BODY, headers: { ...ADMITTED, 'x-goog-api-key': SECRET } };
  await call(gate, generate('held'), held);
  const left = send(gate, `${generate('held')}?key=${SECRET}`, held);
  const authorization = `Bearer ${TOKEN}`;
  const look = async (path: string) =>
    (await call(gate, path, { headers: { authorization } })).text;
  while (JSON.parse(await look('/status')).totals.waiting < 1);
  const places: Record<string, string> = { '/events': events.join('') };
  for (const path of [
    '/metrics',
    '/status',
    '/limits',
    '/queue',
    '/usage?by=agent',
    '/usage?by=project',
    '/exchanges',
    '/history',
    '/sessions',
  ]) {
    places[path] = await look(path);
  }
  left.request.destroy();
  while (JSON.parse(await look('/status')).totals.waiting > 0);
  await gate.stop();
  places['log'] = gate.log.join('');
  for (const file of filesIn(dirname(gate.databasePath))) {
    // The configuration is where the keys come from.
    if (file !== gate.file) places[file] = readFileSync(file).toString('latin1');
  }
  t.match(places['log'], /evil\.example|HOST_NOT_ALLOWED/, 'refusals are logged');
  t.match(places['log'], /upstream 429/);
  t.match(places['/status'], /has used up its day/, 'what the upstream said is shown');
  t.match(places['/queue'], /held/);
  t.match(places['/events'], /event: exchange/);
  t.ok(Object.keys(places).some((place) => /records/.test(place)));
  for (const [place, text] of Object.entries(places)) {
    const at = text.indexOf(MARK);
    const around = JSON.stringify(text.slice(Math.max(0, at - 200), at + 60));
    t.equal(at, -1, `nothing in ${place.split('/').at(-1)}${at === -1 ? '' : `: ${around}`}`);
  }
});

/** A client that leaves in the middle. */
async function leave(gate: Gate, upstream: Upstream, { query, headers }: (typeof FORMS)[number]) {
  for (const path of [generate('hangs'), '/v1beta/files/hangs']) {
    const before = upstream.hanging();
    const { request: outgoing } = send(gate, `${path}${query === undefined ? '' : `?${query}`}`, {
      headers: { ...headers, ...ADMITTED },
      ...(path.includes(':') ? { body: BODY } : {}),
    });
    await until(() => upstream.hanging() > before);
    outgoing.destroy();
  }
}

/** A session whose handshake the upstream refuses, and one that headgate refuses. */
async function converse(gate: Gate, { query, headers = {} }: (typeof FORMS)[number]) {
  const path = `${LIVE_PATH}${query === undefined ? '' : `?${query}`}`;
  for (const more of [ADMITTED, { ...ADMITTED, origin: 'https://evil.example' }, {}]) {
    const talk = await talkTo(gate, path, { headers: { ...headers, ...more } }).catch(() => null);
    talk?.socket.send(SETUP);
    await talk?.closed;
  }
}

async function sendRaw({ url }: Gate, bytes: string): Promise<void> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.on('error', () => undefined).resume();
  socket.write(bytes);
  await once(socket, 'close');
}

/** What `GET /events` tells from now on. */
async function listenTo({ url }: Gate): Promise<readonly string[]> {
  const told: string[] = [];
  const outgoing = request(`${url}/events`, { headers: { authorization: `Bearer ${TOKEN}` } });
  outgoing.on('error', () => undefined).end();
  const [response] = await once(outgoing, 'response');
  response.setEncoding('utf8').on('data', (text: string) => told.push(text));
  response.on('error', () => undefined);
  return told;
}

function filesIn(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true })
    .map((name) => join(directory, String(name)))
    .filter((path) => statSync(path).isFile());
}

interface Upstream {
  readonly url: string;
  /** Calls so far that it never answers. */
  hanging(): number;
}

/** Tells secrets back in every way that Google does. */
async function startUpstream(t: Test): Promise<Upstream> {
  let hanging = 0;
  const server = createServer((incoming, response) => {
    incoming.resume().once('end', () => {
      if (incoming.url?.includes('hangs') === true) hanging += 1;
      else answer(incoming, response);
    });
    incoming.on('error', () => undefined);
  });
  server.on('upgrade', (_, socket) => {
    const body = JSON.stringify({ error: { code: 403, message: suspended(), status: 'X' } });
    socket.on('error', () => undefined);
    socket.end(
      `HTTP/1.1 403 Forbidden\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
    );
  });
  const port = await listen(server);
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${port}`, hanging: () => hanging };
}

function answer({ url = '' }: IncomingMessage, response: ServerResponse): void {
  const json = { 'content-type': 'application/json' };
  if (url.includes('cut')) {
    response.writeHead(200, { ...json, 'content-length': '1000' }).write('{"candidates": [');
    setImmediate(() => response.destroy());
  } else if (url.includes('refused')) {
    response.writeHead(403, json);
    response.end(JSON.stringify({ error: { code: 403, message: suspended(), status: 'X' } }));
  } else if (url.includes('quoting')) {
    const violations = [{ quotaId: 'GenerateRequestsPerDayPerProjectPerModel-FreeTier' }];
    const details = [{ '@type': 'type.googleapis.com/google.rpc.QuotaFailure', violations }];
    const message = `Consumer 'api_key:${KEY}' has used up its day.`;
    response.writeHead(429, json);
    response.end(JSON.stringify({ error: { code: 429, message, status: 'X', details } }));
  } else if (url.startsWith('/upload/')) {
    const address = `http://${response.req.headers.host}/upload/v1beta/files?upload_id=${SECRET}`;
    response.writeHead(200, { 'x-goog-upload-url': address }).end();
  } else if (url.includes(':download')) {
    response.writeHead(302, { location: `https://storage.example/f?access_token=${SECRET}` }).end();
  } else if (url.includes('auth_tokens')) {
    response.writeHead(200, json).end(JSON.stringify({ name: `auth_tokens/${SECRET}` }));
  } else {
    const candidates = [
      { content: { role: 'model', parts: [{ text: 'Hello.' }] }, finishReason: 'STOP' },
    ];
    const text = JSON.stringify({ candidates, usageMetadata: { promptTokenCount: 3 } });
    const isStream = url.includes('alt=sse');
    response.writeHead(200, isStream ? { 'content-type': 'text/event-stream' } : json);
    response.end(isStream ? `data: ${text}\r\n\r\n` : text);
  }
}

function suspended(): string {
  return `Permission denied: Consumer 'api_key:${KEY}' has been suspended.`;
}
