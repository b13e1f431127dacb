import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import {
  call,
  GENERATE,
  idle,
  limits,
  partitionOf,
  saying,
  startGate,
  statusOf,
} from '../support/gate.ts';
import { LIVE_MODEL, LIVE_PATH, SETUP, type Talk, talkTo, upstreamFor } from '../support/live.ts';
import { bodyOf } from '../support/loopback.ts';

const CONSTRAINED =
  '/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContentConstrained';
const MUSIC = '/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateMusic';
const COMPLETE = '{"setupComplete":{}}';
const QUOTA = JSON.stringify({
  error: { code: 429, message: 'Resource has been exhausted (e.g. check quota).' },
});

/** Sends everything back. */
function echo({ socket }: Talk): void {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
}

t.test(
  'messages pass unchanged, text as text and binary as binary, also 64 MiB of them',
  async (t) => {
    const upstream = await upstreamFor(t, echo);
    const gate = await startGate(t, { upstreamUrl: upstream.url });
    const talk = await talkTo(gate, LIVE_PATH);
    const setup = Buffer.from(` ${SETUP}\n`);
    talk.socket.send(setup, { binary: true });
    t.strictSame(await talk.next(), { data: setup, isBinary: true });
    const sent = [
      { data: Buffer.from('{"a":"\u00fc\\u00fc"}'), isBinary: false },
      { data: Buffer.from([0, 255, 1, 254]), isBinary: true },
      { data: Buffer.alloc(0), isBinary: true },
      { data: Buffer.alloc(67_108_864, 7), isBinary: true },
      { data: Buffer.from('{"last":true}'), isBinary: false },
    ];
    for (const { data, isBinary } of sent) talk.socket.send(data, { binary: isBinary });
    for (const { data, isBinary } of sent) {
      const back = await talk.next();
      t.equal(back.isBinary, isBinary);
      t.ok(back.data.equals(data));
    }
    talk.socket.close(1000);
    await idle(gate);
  },
);

t.test('a slow client holds its upstream back', async (t) => {
  const taken = { count: 0 };
  const upstream = await upstreamFor(t, ({ socket }) => {
    socket.once('message', () => {
      const more = (): void => {
        if (taken.count >= 400) return;
        taken.count += 1;
        socket.send(Buffer.alloc(262_144), more);
      };
      more();
    });
  });
  const gate = await startGate(t, { upstreamUrl: upstream.url });
  const talk = await talkTo(gate, LIVE_PATH);
  talk.socket.pause();
  talk.socket.send(SETUP);
  let before = -1;
  // It has come to a stop once nothing more is taken.
  while (taken.count === 0 || taken.count !== before) {
    before = taken.count;
    await pause(150);
  }
  t.ok(taken.count < 200, `${taken.count} of 400 were taken`);
  talk.socket.resume();
  while (talk.received.length < 400) await pause(3);
  t.equal(taken.count, 400);
  talk.socket.close();
});

t.test('each side is closed as the other side closed', async (t) => {
  const asked: Talk[] = [];
  const upstream = await upstreamFor(t, (talk) => {
    asked.push(talk);
    talk.socket.on('message', () => {
      const data = talk.received.at(-1)?.data.toString() ?? '';
      const [, code, reason = ''] = /^close:(\d+):(.*)$/.exec(data) ?? [];
      if (code !== undefined) talk.socket.close(Number(code), reason);
      else if (data === 'drop') talk.socket.terminate();
      else if (data === 'bare') talk.socket.close();
      else talk.socket.send(COMPLETE);
    });
  });
  const gate = await startGate(t, { upstreamUrl: upstream.url });
  const session = async () => {
    const talk = await talkTo(gate, LIVE_PATH);
    talk.socket.send(SETUP);
    await talk.next();
    return talk;
  };
  for (const [code, reason] of [
    [1000, ''],
    [1001, 'going'],
    [1007, 'bad frame'],
    [1008, 'policy'],
    [1011, 'internal \u2014 \u00fc'],
    [4321, 'own'],
  ] as const) {
    const down = await session();
    down.socket.send(`close:${code}:${reason}`);
    t.strictSame(await down.closed, { code, reason });
    const up = await session();
    up.socket.close(code, reason);
    t.strictSame(await asked.at(-1)?.closed, { code, reason });
  }
  const bare = await session();
  bare.socket.send('bare');
  t.match(await bare.closed, { code: 1005 });
  const dropped = await session();
  dropped.socket.send('drop');
  t.match(await dropped.closed, { code: 1006 });
  const left = await session();
  left.socket.terminate();
  t.match(await asked.at(-1)?.closed, { code: 1006 });
  await idle(gate);
  t.equal((await statusOf(gate)).totals.running, 0);
  t.equal((await partitionOf(gate, LIVE_MODEL)).running, 0);
});

t.test('every Live method is known, every form of the key is replaced or passed', async (t) => {
  const upstream = await upstreamFor(t, echo);
  const gate = await startGate(t, {
    upstreamUrl: upstream.url,
    config: { upstream: { base_url: upstream.url, api_key: 'AIza-configured' } },
  });
  const tries: [string, Record<string, string>, string | undefined, string | undefined, string][] =
    [
      [`/${LIVE_PATH}?key=headgate`, {}, 'AIza-configured', undefined, LIVE_PATH],
      [LIVE_PATH, { 'x-goog-api-key': 'headgate' }, 'AIza-configured', undefined, LIVE_PATH],
      [LIVE_PATH, {}, 'AIza-configured', undefined, LIVE_PATH],
      [`${LIVE_PATH}?key=AIza-own`, {}, undefined, undefined, `${LIVE_PATH}?key=AIza-own`],
      [LIVE_PATH, { 'x-goog-api-key': 'AIza-own' }, 'AIza-own', undefined, LIVE_PATH],
      [`/agents/bob${MUSIC}`, { 'x-goog-api-key': 'AIza-own' }, 'AIza-own', undefined, MUSIC],
      [
        `${CONSTRAINED}?access_token=auth_tokens/abc`,
        {},
        undefined,
        undefined,
        `${CONSTRAINED}?access_token=auth_tokens/abc`,
      ],
      [
        CONSTRAINED,
        { authorization: 'Token auth_tokens/abc' },
        undefined,
        'Token auth_tokens/abc',
        CONSTRAINED,
      ],
    ];
  for (const [path, headers, key, authorization, sent] of tries) {
    const talk = await talkTo(gate, path, {
      headers: { ...headers, 'x-headgate-priority': 'batch' },
    });
    talk.socket.send(SETUP);
    await talk.next();
    talk.socket.close();
    const handshake = upstream.handshakes.at(-1);
    t.equal(handshake?.url, sent);
    t.equal(handshake?.headers['x-goog-api-key'], key, path);
    t.equal(handshake?.headers.authorization, authorization, path);
    t.equal(handshake?.headers['x-headgate-priority'], undefined);
    t.equal(handshake?.headers['sec-websocket-extensions'], undefined);
  }
  await idle(gate);
  t.notMatch(gate.log.join(''), /AIza|auth_tokens/);
});

t.test('nothing goes upstream before a setup that names a model', async (t) => {
  const upstream = await upstreamFor(t, echo);
  const gate = await startGate(t, { upstreamUrl: upstream.url });
  for (const [first, reason] of [
    ['hello', /^headgate BAD_JSON\./],
    ['{"clientContent":{}}', /^headgate BAD_JSON\./],
    ['{"setup":{}}', /^headgate MODEL_MISSING\. setup\.model is missing/],
  ] as const) {
    const talk = await talkTo(gate, LIVE_PATH);
    talk.socket.send(first);
    const told = await talk.closed;
    t.equal(told.code, 1007);
    t.match(told.reason, reason);
  }
  const huge = await talkTo(gate, LIVE_PATH);
  huge.socket.send(Buffer.alloc(3_000_000, 32));
  t.match(await huge.closed, { code: 1008, reason: /^headgate BODY_TOO_LARGE\./ });
  t.equal(upstream.handshakes.length, 0);
});

t.test('a 429 of the handshake is waited out where there is time for it', async (t) => {
  const upstream = await upstreamFor(t, echo, (count) =>
    count === 1 ? { status: 429, body: QUOTA } : null,
  );
  const gate = await startGate(t, {
    upstreamUrl: upstream.url,
    config: { rate_limits: limits({ rpm: 10, max_concurrent: 1 }) },
  });
  const talk = await talkTo(gate, LIVE_PATH);
  talk.socket.send(SETUP);
  talk.socket.send('"sent ahead"');
  t.equal((await talk.next()).data.toString(), SETUP);
  t.equal((await talk.next()).data.toString(), '"sent ahead"');
  t.equal(upstream.handshakes.length, 2);
  const { totals } = await statusOf(gate);
  t.equal(totals.upstream_rejections, 1, 'told while the session goes on');
  t.equal((await partitionOf(gate, LIVE_MODEL)).running, 1);
  talk.socket.close();
  await idle(gate);
  t.equal((await statusOf(gate)).totals.upstream_rejections, 1);
});

t.test('an upstream that refuses or is not there is told by a close', async (t) => {
  const upstream = await upstreamFor(t, echo, () => ({
    status: 503,
    body: JSON.stringify({ error: { code: 503, message: 'overloaded' } }),
  }));
  const gate = await startGate(t, { upstreamUrl: upstream.url });
  const refused = await talkTo(gate, LIVE_PATH);
  refused.socket.send(SETUP);
  t.strictSame(await refused.closed, { code: 1011, reason: 'overloaded' });

  const absent = await startGate(t, { upstreamUrl: 'http://127.0.0.1:9' });
  const talk = await talkTo(absent, LIVE_PATH);
  talk.socket.send(SETUP);
  t.match(await talk.closed, { code: 1011, reason: /^headgate UPSTREAM_UNREACHABLE\./ });
  t.equal((await partitionOf(absent, LIVE_MODEL)).running, 0);
});

t.test('the guard holds for handshakes as for requests', async (t) => {
  const upstream = await upstreamFor(t, echo);
  const gate = await startGate(t, {
    upstreamUrl: upstream.url,
    config: {
      admin: { token: 'let-me-in' },
      upstream: { base_url: upstream.url, api_key: 'AIza-c' },
    },
  });
  const statusFor = (path: string, headers: Record<string, string>) =>
    talkTo(gate, path, { headers }).then(
      () => 101,
      (error: Error) => Number(/(\d{3})$/.exec(error.message)?.[1]),
    );
  const token = { 'x-goog-api-key': 'let-me-in' };
  t.equal(await statusFor(LIVE_PATH, {}), 401);
  t.equal(await statusFor(`${LIVE_PATH}?key=wrong`, {}), 401);
  t.equal(await statusFor(LIVE_PATH, { ...token, host: 'evil.example' }), 403);
  t.equal(await statusFor(LIVE_PATH, { ...token, origin: 'https://evil.example' }), 403);
  t.equal(await statusFor(LIVE_PATH, { ...token, 'sec-fetch-site': 'cross-site' }), 403);
  t.equal(await statusFor(LIVE_PATH, token), 101);
  const talk = await talkTo(gate, `${LIVE_PATH}?key=let-me-in`);
  talk.socket.send(SETUP);
  await talk.next();
  t.equal(upstream.handshakes.at(-1)?.headers['x-goog-api-key'], 'AIza-c');
  t.notMatch(upstream.handshakes.at(-1)?.url, /let-me-in/);
  talk.socket.close();
  t.notMatch(gate.log.join(''), /let-me-in/);
});

t.test('any other upgrade is answered as plain HTTP', async (t) => {
  const gate = await startGate(t);
  const { hostname, port } = new URL(gate.url);
  const body = JSON.stringify(saying('h2c?'.repeat(20_000)));
  const outgoing = request({
    hostname,
    port,
    path: GENERATE,
    method: 'POST',
    headers: {
      connection: 'Upgrade, HTTP2-Settings',
      upgrade: 'h2c',
      'http2-settings': 'AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA',
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    },
  });
  outgoing.end(body);
  const [response] = await once(outgoing, 'response');
  t.equal(response.statusCode, 200);
  t.match((await bodyOf(response)).toString(), /usageMetadata/);
  t.equal(gate.simulator.arrivals.at(-1)?.bytes, Buffer.byteLength(body));

  const plain = await call(gate, LIVE_PATH);
  t.equal(plain.status, 501);
  t.match(plain.text, /ws:\/\//);
  const own = await call(gate, '/livez', {
    headers: { connection: 'upgrade', upgrade: 'websocket' },
  });
  t.equal(own.status, 200);

  // The connection goes on as it would have without the offer.
  const socket = connect(Number(port), hostname);
  const head = 'Host: localhost\r\n';
  socket.write(`GET /livez HTTP/1.1\r\n${head}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n`);
  let text = '';
  socket.on('data', (chunk) => (text += String(chunk)));
  while (!text.includes('live')) await once(socket, 'data');
  socket.write(`GET /readyz HTTP/1.1\r\n${head}Connection: close\r\n\r\n`);
  await once(socket, 'close');
  t.equal(text.match(/HTTP\/1\.1 200/g)?.length, 2);
});

t.test('a client that leaves while it waits gives its place back and costs nothing', async (t) => {
  const upstream = await upstreamFor(t, echo);
  const gate = await startGate(t, {
    upstreamUrl: upstream.url,
    config: { rate_limits: limits({ max_concurrent: 1 }) },
  });
  const first = await talkTo(gate, LIVE_PATH);
  first.socket.send(SETUP);
  await first.next();
  const second = await talkTo(gate, LIVE_PATH);
  second.socket.send(SETUP);
  while ((await statusOf(gate)).totals.waiting === 0) await pause(3);
  second.socket.terminate();
  while ((await statusOf(gate)).totals.waiting > 0) await pause(3);
  first.socket.close();
  await idle(gate);
  const { totals } = await statusOf(gate);
  t.match(totals, { cancelled: 1, answered: 1 });
  t.equal(upstream.handshakes.length, 1);
});
