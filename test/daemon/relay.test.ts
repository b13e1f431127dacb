import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { gunzipSync, gzipSync } from 'node:zlib';
import t from 'tap';
import type { Test } from 'tap';
import {
  call,
  type Gate,
  GENERATE,
  idle,
  limits,
  MODEL,
  partitionOf,
  passUntil,
  saying,
  send,
  startGate,
  STREAM,
  until,
  waiting,
  windowOf,
} from '../support/gate.ts';
import { bodyOf, deferred, listen } from '../support/loopback.ts';
import { ManualClock } from '../support/manual-clock.ts';

const BODY = saying('Tell me about the sea.');
const USAGE = { promptTokenCount: 7, candidatesTokenCount: 3, totalTokenCount: 10 };
const CHUNK = { candidates: [{ content: { parts: [{ text: 'ü' }] } }], usageMetadata: USAGE };
const EVENT = `data: ${JSON.stringify(CHUNK)}\r\n\r\n`;

interface Received {
  readonly request: IncomingMessage;
  readonly body: Buffer;
}

/** A daemon before an upstream that a test answers by hand; what came in is kept. */
async function relay(
  t: Test,
  answer: (response: ServerResponse, received: Received) => void,
  options: Parameters<typeof startGate>[1] = {},
): Promise<{ gate: Gate; received: Received[] }> {
  const received: Received[] = [];
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await bodyOf(request);
    received.push({ request, body });
    answer(response, { request, body });
  };
  const server = createServer((request, response) => void serve(request, response));
  const port = await listen(server);
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const gate = await startGate(t, { upstreamUrl: `http://127.0.0.1:${port}`, ...options });
  return { gate, received };
}

const ok = (response: ServerResponse) => response.end(JSON.stringify(CHUNK));

function namesOf({ request: { rawHeaders } }: Received): string[] {
  return rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
}

t.test('a request goes out as it came, but for what belongs to the hop', async (t) => {
  const { gate, received } = await relay(t, ok);
  // Spaces, escapes and key order are the client's own.
  const body = Buffer.from('{ "contents" : [ {"parts":[{"text":"\\u00fc ü \\/"}]} ],\n"x":1e2 }');
  const path = `/v1beta/models%2F${MODEL}%3AgenerateContent?%24fields=a%2Cb&alt=json`;
  const outgoing = request(gate.url + path, {
    method: 'POST',
    headers: [
      ['Host', new URL(gate.url).host],
      ['Content-Type', 'application/json'],
      ['X-Goog-Api-Client', 'genai-js/0.24.1'],
      ['X-Twice', 'one'],
      ['X-Twice', 'two'],
      ['Accept-Encoding', 'gzip, br'],
      ['Connection', 'keep-alive, X-Hop'],
      ['X-Hop', 'gone'],
      ['Keep-Alive', 'timeout=5'],
      ['TE', 'trailers'],
      ['Proxy-Authorization', 'Basic xyz'],
      ['X-Forwarded-For', '10.0.0.1'],
      ['X-Headgate-Agent', 'reader'],
      ['X-Headgate-Priority', 'batch'],
      ['X-Headgate-Anything', 'ours'],
      ['Transfer-Encoding', 'chunked'],
    ].flat(),
  });
  outgoing.write(body.subarray(0, 9));
  outgoing.end(body.subarray(9));
  const [response] = await once(outgoing, 'response');
  await bodyOf(response);
  t.equal(response.statusCode, 200);

  const [only] = received;
  t.equal(received.length, 1);
  t.equal(only?.request.url, path);
  t.equal(only?.body.compare(body), 0);
  t.equal(only?.request.headers['content-length'], String(body.length));
  const names = only === undefined ? [] : namesOf(only);
  t.equal(names.filter((name) => name === 'x-twice').length, 2, 'duplicates stay apart');
  t.ok(names.includes('x-goog-api-client') && names.includes('accept-encoding'));
  t.ok(only?.request.rawHeaders.includes('X-Goog-Api-Client'), 'in their spelling');
  const gone = /^(x-headgate-.*|x-hop|keep-alive|te|proxy-.*|x-forwarded-.*|transfer-encoding)$/;
  t.strictSame(
    names.filter((name) => gone.test(name)),
    [],
  );
});

t.test('an answer comes back as it was sent', async (t) => {
  const bytes = Buffer.concat([Buffer.from(EVENT.repeat(3)), Buffer.from(': odd\r\n\r\n')]);
  const { gate } = await relay(t, (response) => {
    response.writeHead(
      200,
      [
        ['Content-Type', 'text/event-stream'],
        ['Content-Disposition', 'attachment'],
        ['Set-Cookie', 'a=1'],
        ['Set-Cookie', 'b=2'],
        ['Alt-Svc', 'h3=":443"'],
        ['X-Gemini-Service-Tier', 'standard'],
      ].flat(),
    );
    for (let at = 0; at < bytes.length; at += 5) response.write(bytes.subarray(at, at + 5));
    response.end();
  });
  const answer = await call(gate, STREAM, { body: BODY });
  t.equal(answer.body.compare(bytes), 0);
  t.strictSame(answer.headers['set-cookie'], ['a=1', 'b=2']);
  t.equal(answer.headers['content-disposition'], 'attachment');
  t.equal(answer.headers['alt-svc'], undefined, 'it would lead clients past us');
  t.ok(answer.rawHeaders.includes('X-Gemini-Service-Tier'));
  t.equal((await windowOf(gate, 'tpm')).used, 7, 'the usage was read on its way');
});

t.test('compressed answers pass compressed, and are counted', async (t) => {
  for (const [path, text] of [
    [GENERATE, JSON.stringify(CHUNK)],
    [STREAM, EVENT.repeat(2)],
    [STREAM.replace('?alt=sse', ''), `[${JSON.stringify(CHUNK)}\r\n,${JSON.stringify(CHUNK)}]`],
  ] as const) {
    const zipped = gzipSync(text);
    const { gate } = await relay(t, (response) => {
      const isEvents = path === STREAM;
      response.writeHead(200, {
        'content-type': isEvents ? 'text/event-stream' : 'application/json; charset=UTF-8',
        'content-encoding': 'gzip',
      });
      response.end(zipped);
    });
    const answer = await call(gate, path, { body: BODY, headers: { 'accept-encoding': 'gzip' } });
    t.equal(answer.body.compare(zipped), 0);
    t.equal(gunzipSync(answer.body).toString(), text);
    await idle(gate);
    t.equal((await windowOf(gate, 'tpm')).used, 7, path);
  }
});

t.test('chunks arrive as they are sent', async (t) => {
  for (const path of [STREAM, STREAM.replace('?alt=sse', '')]) {
    const seen = deferred();
    const { gate } = await relay(t, (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(EVENT);
      // The end is not sent before the client has the beginning.
      void seen.promise.then(() => response.end(EVENT));
    });
    const { request, answer } = send(gate, path, { body: BODY });
    const [response] = await once(request, 'response');
    const [first] = await once(response, 'data');
    t.equal(String(first), EVENT);
    seen.resolve();
    await answer.catch(() => undefined);
  }
});

t.test('the configured key stands in for a missing one and for "headgate"', async (t) => {
  const config = { upstream: { api_key: 'AIza-configured' } };
  const { gate, received } = await relay(t, ok, { config: {} });
  const upstream = { base_url: gate.daemon.config().upstream.baseUrl, ...config.upstream };
  const refused = await call(gate, GENERATE, {
    body: BODY,
    headers: { 'x-goog-api-key': 'headgate' },
  });
  t.equal(refused.status, 401);
  t.equal(refused.headers['x-headgate-refused'], 'KEY_MISSING');
  t.match(refused.text, /GEMINI_API_KEY/);
  t.equal(received.length, 0);
  gate.configure({ upstream });
  gate.daemon.reload();
  const chat = '/v1beta/openai/chat/completions';
  const chatBody = { model: MODEL, messages: [{ role: 'user', content: 'Hi' }] };
  await call(gate, GENERATE, { body: BODY });
  await call(gate, `${GENERATE}?key=headgate`, { body: BODY });
  await call(gate, GENERATE, { body: BODY, headers: { 'x-goog-api-key': 'headgate' } });
  await call(gate, GENERATE, { body: BODY, headers: { 'x-goog-api-key': 'own' } });
  await call(gate, chat, { body: chatBody, headers: { authorization: 'Bearer headgate' } });
  await call(gate, '/v1beta/models');
  const keys = received.map(({ request: { headers, url } }) => [
    headers['x-goog-api-key'] ?? null,
    headers.authorization ?? null,
    /key=(\w[\w-]*)/.exec(url ?? '')?.[1] ?? null,
  ]);
  const configured = 'AIza-configured';
  t.equal(keys[0]?.[0], configured);
  t.ok(keys[1]?.includes(configured), 'in one form or the other');
  t.notOk(keys[1]?.includes('headgate'));
  t.strictSame(keys.slice(2), [
    [configured, null, null],
    ['own', null, null],
    [null, `Bearer ${configured}`, null],
    [configured, null, null],
  ]);
});

t.test('the client’s own timeout is lowered by its wait', async (t) => {
  const clock = new ManualClock();
  const config = { rate_limits: limits({ rpm: 1 }) };
  const { gate, received } = await relay(t, ok, { clock, config });
  await call(gate, GENERATE, { body: BODY, headers: { 'x-server-timeout': '100' } });
  const late = call(gate, GENERATE, { body: BODY, headers: { 'x-server-timeout': '100' } });
  await waiting(gate, 1);
  await passUntil(clock, late, 62_000);
  const timeouts = received.map(({ request: { headers } }) => headers['x-server-timeout']);
  t.strictSame(timeouts, ['100', '39'], 'after 61 s in the queue');
});

t.test('a client that leaves ends the call upstream, which is settled', async (t) => {
  const closed = deferred();
  const { gate, received } = await relay(t, (response) => {
    response.on('close', closed.resolve);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(EVENT);
  });
  const { request } = send(gate, STREAM, { body: BODY });
  await once(request, 'response');
  request.destroy();
  await closed.promise;
  t.equal(received.length, 1);
  await idle(gate);
  while ((await partitionOf(gate)).running > 0);
  t.equal((await windowOf(gate, 'rpm')).used, 1, 'its request stays');
  const { used, held } = await windowOf(gate, 'tpm');
  t.ok(used >= 7 && held === 0, 'and the larger of seen and estimated');
  const line = gate.log.find((one) => one.includes('"msg":"cancelled')) ?? '{}';
  const { exchange } = JSON.parse(line) as { exchange?: { upstream_ms: number } };
  t.ok((exchange?.upstream_ms ?? 0) > 0, "the upstream's time is not headgate's");
});

t.test('an answer that breaks off breaks off at the client too', async (t) => {
  const { gate } = await relay(t, (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(EVENT, () => response.socket?.resetAndDestroy());
  });
  await t.rejects(call(gate, STREAM, { body: BODY }), { code: 'ECONNRESET' });
  await idle(gate);
  t.match(gate.log.join(''), /"msg":"failed gemini-2.5-flash/);
});

t.test('an upstream that closes without an answer is told as a 502', async (t) => {
  const { gate } = await relay(t, (response) => response.socket?.resetAndDestroy());
  const answer = await call(gate, GENERATE, { body: BODY });
  t.equal(answer.status, 502);
  t.equal(answer.headers['x-headgate-refused'], 'UPSTREAM_UNREACHABLE');
  t.equal((await windowOf(gate, 'rpm')).used, 1, 'it may have been counted');
});

t.test('an upstream that cannot be reached costs nothing', async (t) => {
  const server = createServer();
  const port = await listen(server);
  server.close();
  await once(server, 'close');
  const gate = await startGate(t, { upstreamUrl: `http://127.0.0.1:${port}` });
  const answer = await call(gate, GENERATE, { body: BODY });
  t.equal(answer.status, 502);
  t.match(answer.text, /upstream\.base_url/);
  t.equal((await windowOf(gate, 'rpm')).used, 0);
});

t.test('a slow client holds the upstream back instead of filling memory', async (t) => {
  const total = 50 * 1024 * 1024;
  const piece = Buffer.alloc(64 * 1024, 'a');
  let written = 0;
  const { gate } = await relay(t, (response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    const more = (): void => {
      while (written < total) {
        written += piece.length;
        if (!response.write(piece)) return;
      }
      response.end();
    };
    response.on('drain', more);
    more();
  });
  const { request, answer } = send(gate, GENERATE, { body: BODY });
  const [response] = await once(request, 'response');
  response.pause();
  // What fits into the sockets' buffers on the way is written; then nothing more is.
  let before = -1;
  while (written !== before) {
    before = written;
    for (let trips = 0; trips < 20; trips += 1) await partitionOf(gate);
  }
  t.ok(written < total / 2, `${written} bytes left the upstream while nobody read`);
  response.resume();
  t.equal((await answer).body.length, total);
});

t.test('uploads stream through without a bound, and are not counted', async (t) => {
  const { gate, received } = await relay(t, (response) => response.end('{}'));
  const body = Buffer.alloc(20 * 1024 * 1024, 'b');
  const answer = await call(gate, '/upload/v1beta/files?upload_id=1', { body });
  t.equal(answer.status, 200);
  t.equal(received[0]?.body.compare(body), 0);
  await t.rejects(partitionOf(gate), 'no quota is touched');
});

t.test('a doubled leading slash is one, and prefixes of ours are cut off', async (t) => {
  const { gate, received } = await relay(t, ok);
  await call(gate, `/${GENERATE}`, { body: BODY });
  await call(gate, `/agents/reader${GENERATE}`, { body: BODY });
  await call(gate, `/agents/reader/sessions/diary/record${GENERATE}`, { body: BODY });
  await until(() => received.length === 3);
  t.strictSame(
    received.map(({ request: { url } }) => url),
    [GENERATE, GENERATE, GENERATE],
  );
});
