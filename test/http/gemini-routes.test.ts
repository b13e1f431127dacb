import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { connect, type Socket } from 'node:net';

import t, { type Test } from 'tap';

import { headerValue } from '../../src/gemini/headers.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { bodyOf, deferred } from '../support/loopback.ts';
import { answerAtOnce, startOwnServer } from '../support/own-server.ts';

const GENERATE = '/v1beta/models/gemini-2.5-flash:generateContent';

interface Answer {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: Buffer;
}

/** One call with the path and headers exactly as given. */
async function call(
  port: number,
  path: string,
  options: RequestOptions & { readonly body?: readonly (string | Buffer)[] } = {},
): Promise<Answer> {
  const { body = [], ...rest } = options;
  const request = httpRequest({ host: '127.0.0.1', port, path, method: 'POST', ...rest });
  for (const chunk of body) request.write(chunk);
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return {
    status: response.statusCode ?? 0,
    headers: response.rawHeaders,
    body: await bodyOf(response),
  };
}

function errorOf(answer: Answer): Record<string, unknown> {
  return (JSON.parse(answer.body.toString()) as { error: Record<string, unknown> }).error;
}

/** A socket that has sent `text`, and everything that comes back until it closes. */
async function raw(
  t: Test,
  port: number,
  text: string,
): Promise<{ socket: Socket; all: Promise<string> }> {
  const socket = connect(port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  await once(socket, 'connect');
  socket.write(text);
  const all = new Promise<string>((resolve) => {
    let received = '';
    socket.on('data', (chunk) => (received += chunk.toString('latin1')));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(received));
  });
  return { socket, all };
}

t.test('a counted call arrives whole: chunks, headers, names and facts', async (t) => {
  const { port, taken } = await startOwnServer(t);
  const answer = await call(port, `/agents/agent_a/sessions/s1/record/${GENERATE}?key=k`, {
    headers: ['X-Case', 'kept', 'x-two', '1', 'x-two', '2', 'host', '127.0.0.1'],
    body: ['{"contents":[{"parts":[{"text":"', Buffer.alloc(200_000, 'a'), '"}]}]}'],
  });
  t.equal(answer.status, 200);
  const [{ call: arrived, facts, endpoint }] = taken as [(typeof taken)[0]];
  t.match(arrived, {
    requestId: 'request-1',
    method: 'POST',
    path: `${GENERATE}?key=k`,
    agentName: 'agent_a',
    sessionName: 's1',
    receivedAtMs: Number,
  });
  t.ok(arrived.body.length > 1, 'the chunks were not joined');
  t.equal(arrived.bodyBytes, Buffer.concat([...arrived.body]).length);
  t.equal(arrived.bodyBytes, 200_038);
  t.match(JSON.stringify(arrived.headers), '"X-Case","kept","x-two","1","x-two","2"');
  t.match(facts, { valid: true, bytes: 200_038, asciiChars: 200_000 });
  t.match(endpoint, { counted: true, model: 'gemini-2.5-flash', method: 'generateContent' });
});

t.test('names in headers win over those in the path, and bad ones are told', async (t) => {
  const { port, taken, refusals } = await startOwnServer(t);
  await call(port, `/agents/a${GENERATE}`, { headers: { 'x-headgate-agent': 'b' }, body: ['{}'] });
  t.equal(taken[0]?.call.agentName, 'b');
  const answer = await call(port, GENERATE, { headers: { 'x-headgate-session': '../x' } });
  t.equal(answer.status, 400);
  t.match(errorOf(answer), { status: 'INVALID_ARGUMENT', message: /x-headgate-session/ });
  t.match(refusals[0], { method: 'POST', path: GENERATE, error: { reason: 'BAD_REQUEST' } });
});

t.test('paths that routers stumble over go through as they are', async (t) => {
  const { port, passed, taken } = await startOwnServer(t);
  const paths = [
    '/v1beta/models',
    '/v1beta/models/',
    '/v1beta/files/%zz?x=%',
    `/v1beta/files/${'a'.repeat(5000)}`,
    '/v1/operations/a%2Fb:cancel?$alt=json',
    '/upload/v1beta/files?upload_id=1',
    '/download/v1beta/files/x:download?alt=media',
  ];
  for (const path of paths) {
    const answer = await call(port, path, { method: 'GET' });
    t.equal(answer.status, 200, path);
  }
  await call(port, '//v1beta/models', { method: 'GET' });
  await call(port, '/v1beta/models', { method: 'OPTIONS' });
  t.strictSame(
    passed.map(({ call }) => call.path),
    [...paths, '/v1beta/models', '/v1beta/models'],
  );
  t.ok(passed.every(({ stream }) => stream === null));
  await call(port, `/${GENERATE}`, { body: ['{}'], headers: { 'content-type': 'x/y' } });
  t.equal(taken[0]?.call.path, GENERATE);
});

t.test('what is not counted is streamed through while it is still being sent', async (t) => {
  const first = deferred();
  const { port, passed } = await startOwnServer(t, {
    bodyBytesMax: 10,
    onPass({ stream, sink }) {
      let bytes = 0;
      stream?.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        first.resolve();
      });
      stream?.on('end', () => answerAtOnce(sink, { bytes }));
    },
  });
  const request = httpRequest({
    host: '127.0.0.1',
    port,
    path: '/upload/v1beta/files',
    method: 'POST',
  });
  request.write(Buffer.alloc(100_000));
  await first.promise;
  request.end(Buffer.alloc(100_000));
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  t.strictSame(JSON.parse((await bodyOf(response)).toString()), { bytes: 200_000 });
  t.equal(passed.length, 1);
});

t.test('a stream that is destroyed leaves the connection to answer on', async (t) => {
  const { port } = await startOwnServer(t, {
    onPass({ stream, sink }) {
      (stream as unknown as { destroy(): void }).destroy();
      sink.head(503, []);
      sink.end();
    },
  });
  const answer = await call(port, '/upload/v1beta/files', { body: [Buffer.alloc(500_000)] });
  t.equal(answer.status, 503);
});

t.test('a body over the limit is refused while it is still being sent', async (t) => {
  const { port, taken, refusals } = await startOwnServer(t, { bodyBytesMax: 1000 });
  const announced = await call(port, `${GENERATE}?key=secret`, {
    headers: { 'content-length': '5000' },
    body: [Buffer.alloc(5000)],
  });
  const chunked = await call(port, GENERATE, { body: [Buffer.alloc(900), Buffer.alloc(900)] });
  for (const answer of [announced, chunked]) {
    t.equal(answer.status, 413);
    t.match(errorOf(answer), { code: 413, details: [{ reason: 'BODY_TOO_LARGE' }] });
    t.equal(headerValue(answer.headers, 'x-headgate-refused'), 'BODY_TOO_LARGE');
    t.match(headerValue(answer.headers, 'x-headgate-request-id'), /^request-/);
  }
  t.equal(taken.length, 0);
  t.equal(refusals[0]?.path, `${GENERATE}?key=[redacted]`);
});

t.test('a client that reads only after it has sent everything gets its refusal too', async (t) => {
  const { port } = await startOwnServer(t, { bodyBytesMax: 1000, clock: new ManualClock() });
  const size = 16 * 1024 * 1024;
  const head = `POST ${GENERATE} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n`;
  for (const framing of [`content-length: ${size}\r\n\r\n`, 'transfer-encoding: chunked\r\n\r\n']) {
    const { socket, all } = await raw(t, port, head + framing);
    socket.pause();
    if (framing.startsWith('transfer')) socket.write(`${size.toString(16)}\r\n`);
    socket.write(Buffer.alloc(size));
    await once(socket, 'drain');
    socket.end(framing.startsWith('transfer') ? '\r\n0\r\n\r\n' : '').resume();
    t.match(await all, /^HTTP\/1\.1 413 /);
  }
});

t.test('a client that asks first is told to go on, or refused before it sends', async (t) => {
  const { port, taken } = await startOwnServer(t, { bodyBytesMax: 1000 });
  const head = (length: number) =>
    `POST ${GENERATE} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: ${length}\r\n\r\n`;
  const small = await raw(t, port, head(2));
  await once(small.socket, 'data');
  small.socket.write('{}');
  t.match(await small.all, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/);
  const large = await raw(t, port, head(100_000));
  t.match(await large.all, /^HTTP\/1\.1 413 /);
  t.equal(taken.length, 1);
});

t.test('the head of an answer is sent before any of its body', async (t) => {
  const headSeen = deferred();
  const { port } = await startOwnServer(t, {
    onTake({ sink }) {
      sink.head(200, ['X-Twice', 'a', 'x-twice', 'b']);
      void headSeen.promise.then(() => {
        sink.write(Buffer.from('data: 1\r\n\r\n'));
        return sink.end();
      });
    },
  });
  const request = httpRequest({ host: '127.0.0.1', port, path: GENERATE, method: 'POST' });
  request.end('{}');
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  headSeen.resolve();
  t.equal((await bodyOf(response)).toString(), 'data: 1\r\n\r\n');
  t.match(JSON.stringify(response.rawHeaders), '"X-Twice","a","x-twice","b"');
});

t.test('a client that leaves is noticed once, an answered one never', async (t) => {
  const left = deferred();
  let closes = 0;
  const { port, taken } = await startOwnServer(t, {
    onTake({ sink, call }) {
      sink.onClose(() => {
        closes += 1;
        left.resolve();
      });
      if (call.agentName === 'stays') answerAtOnce(sink, {});
    },
  });
  await call(port, `/agents/stays${GENERATE}`, { body: ['{}'] });
  const request = httpRequest({ host: '127.0.0.1', port, path: GENERATE, method: 'POST' });
  request.on('error', () => undefined);
  request.end('{}');
  while (taken.length < 2) await new Promise(setImmediate);
  request.destroy();
  await left.promise;
  t.equal(closes, 1);
  const late = deferred();
  taken[1]?.sink.onClose(late.resolve);
  await late.promise;
  t.equal(taken[1]?.sink.write(Buffer.from('x')), true, 'writing to nobody is harmless');
});

t.test('a client that leaves in the middle of its body leaves nothing behind', async (t) => {
  const { port, taken, refusals } = await startOwnServer(t);
  const { socket, all } = await raw(
    t,
    port,
    `POST ${GENERATE} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 10\r\n\r\n{}`,
  );
  socket.resetAndDestroy();
  await all;
  await call(port, GENERATE, { body: ['{}'] });
  t.equal(taken.length, 1);
  t.equal(refusals.length, 0);
});

t.test('a body that stops coming is given up', async (t) => {
  const clock = new ManualClock();
  const { port, taken } = await startOwnServer(t, { clock });
  const head = `POST ${GENERATE} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: 10\r\n\r\n`;
  const stalls = await raw(t, port, `${head}{}`);
  while (clock.pendingTimers === 0) await new Promise(setImmediate);
  clock.advance(120_000);
  t.equal(stalls.socket.destroyed, false, 'it had just begun');
  clock.advance(120_000);
  await once(stalls.socket, 'data');
  clock.advance(2_000);
  t.match(await stalls.all, /^HTTP\/1\.1 400 [^]*body stopped coming/);
  t.equal(taken.length, 0);
  t.equal(clock.pendingTimers, 0);
  await call(port, GENERATE, { body: ['{}'] });
  t.equal(taken.length, 1);
  t.equal(clock.pendingTimers, 0, 'a body that has come leaves no timer');
});

t.test('an answer that is cut is seen to be cut', async (t) => {
  const { port } = await startOwnServer(t, {
    onTake({ sink }) {
      sink.head(200, []);
      sink.write(Buffer.from('half'));
      sink.destroy();
    },
  });
  await t.rejects(call(port, GENERATE, { body: ['{}'] }), { code: 'ECONNRESET' });
});

t.test('a slow client holds back the writer, and lets it go on', async (t) => {
  let full = 0;
  const drained = deferred();
  const { port } = await startOwnServer(t, {
    onTake({ sink }) {
      sink.head(200, []);
      sink.onDrain(() => {
        drained.resolve();
        sink.end();
      });
      while (sink.write(Buffer.alloc(1024 * 1024))) full += 1;
    },
  });
  const answer = await call(port, GENERATE, { body: ['{}'] });
  await drained.promise;
  t.equal(answer.body.length, (full + 1) * 1024 * 1024);
});

t.test('errors of ours speak the dialect of the path', async (t) => {
  const { port } = await startOwnServer(t, {
    onTake() {
      throw new Error('secret detail');
    },
  });
  const noModel = await call(port, '/v1beta/models/:generateContent', { body: ['{}'] });
  t.match(errorOf(noModel), { code: 400, details: [{ reason: 'MODEL_MISSING' }] });
  const array = await call(port, '/v1beta/models/m:streamGenerateContent', { body: ['{}'] });
  t.match(JSON.parse(array.body.toString()), [{ error: { code: 500, status: 'INTERNAL' } }]);
  t.notMatch(array.body.toString(), 'secret detail');
  const interactions = await call(port, '/v1beta/interactions', { body: ['{}'] });
  t.match(errorOf(interactions), { code: 'internal' });
});

t.test('a WebSocket is refused in words, and another upgrade is ignored', async (t) => {
  const { port } = await startOwnServer(t);
  const path = '/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent';
  const live = await call(port, path, {
    method: 'GET',
    headers: { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-key': 'x' },
  });
  t.equal(live.status, 501);
  t.match(errorOf(live), { status: 'UNIMPLEMENTED', details: [{ reason: 'NOT_SUPPORTED' }] });
  const h2c = await call(port, '/v1beta/models', {
    method: 'GET',
    headers: { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': '' },
  });
  t.equal(h2c.status, 200);
});
