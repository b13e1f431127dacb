import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import t, { type Test } from 'tap';
import {
  call,
  type GateOptions,
  GENERATE,
  idle,
  MODEL,
  saying,
  startGate,
  until,
  windowOf,
} from '../support/gate.ts';
import { bodyOf, deferred, listen } from '../support/loopback.ts';

const CHAT = '/v1beta/openai/chat/completions';
const ANSWER = { candidates: [], usageMetadata: { promptTokenCount: 7, totalTokenCount: 7 } };

/** A daemon before an upstream that keeps the bodies it is sent, and answers once it is let. */
async function gateWith(
  t: Test,
  config: GateOptions['config'] = {},
  answered: Promise<void> = Promise.resolve(),
) {
  const bodies: Buffer[] = [];
  const serve = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    bodies.push(await bodyOf(incoming));
    await answered;
    response.end(JSON.stringify(ANSWER));
  };
  const server = createServer((incoming, response) => void serve(incoming, response));
  const port = await listen(server);
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const gate = await startGate(t, { upstreamUrl: `http://127.0.0.1:${port}`, config });
  return { gate, bodies };
}

t.test('a packed body goes out as it came, and what it says is known', async (t) => {
  const { gate, bodies } = await gateWith(t);
  const text = JSON.stringify({
    model: MODEL,
    messages: [{ role: 'user', content: 'x'.repeat(99) }],
  });
  const packed = { gzip: gzipSync(text), deflate: deflateSync(text), br: brotliCompressSync(text) };
  for (const [coding, body] of Object.entries(packed)) {
    const answer = await call(gate, CHAT, { body, headers: { 'content-encoding': coding } });
    t.equal(answer.status, 200, coding);
    t.equal(bodies.pop()?.compare(body), 0, 'byte for byte');
  }
  await idle(gate);
  t.equal((await windowOf(gate, 'rpm')).used, 3, 'the model in the packed body was counted');
});

t.test('a packed body that unpacks to too much is refused, and so is a broken one', async (t) => {
  const { gate, bodies } = await gateWith(t);
  const post = (body: Buffer, coding = 'gzip', path = GENERATE) =>
    call(gate, path, { body, headers: { 'content-encoding': coding } });
  const bomb = gzipSync(Buffer.alloc(200 * 1024 * 1024, ' '));
  const large = await post(bomb);
  t.equal(large.status, 413);
  t.equal(large.headers['x-headgate-refused'], 'BODY_TOO_LARGE');
  const whole = gzipSync(JSON.stringify(saying('Hi')));
  for (const [body, words] of [
    [whole.subarray(0, -9), /is gzip, but after \d+ unpacked bytes came: unexpected end of file/],
    [Buffer.from('{}'), /incorrect header check/],
    [gzipSync('{"contents":'), /ends in the middle/],
    [Buffer.alloc(0), /empty/],
  ] as const) {
    const answer = await post(body);
    t.equal(answer.status, 400);
    t.equal(answer.headers['x-headgate-refused'], 'BAD_JSON');
    t.match(answer.text, words);
  }
  const unknown = await post(Buffer.from('?'), 'x-rot13', CHAT);
  t.equal(unknown.headers['x-headgate-refused'], 'MODEL_MISSING', 'nobody here can know it');
  t.equal(bodies.length, 0);
});

t.test('a body that only the upstream can read is counted as so much text', async (t) => {
  const answered = deferred();
  const { gate, bodies } = await gateWith(t, {}, answered.promise);
  const body = Buffer.alloc(1_000);
  const answer = call(gate, GENERATE, { body, headers: { 'content-encoding': 'x-rot13' } });
  await until(() => bodies.length === 1);
  const { held, used } = await windowOf(gate, 'tpm');
  t.ok(held + used >= 1_000, `${held + used} tokens`);
  answered.resolve();
  t.equal((await answer).status, 200);
});

t.test('the end of packed data is the end of the body, whatever follows', async (t) => {
  const { gate, bodies } = await gateWith(t);
  const body = Buffer.concat([gzipSync(JSON.stringify(saying('Hi'))), Buffer.alloc(3_000_000)]);
  const answer = await call(gate, GENERATE, { body, headers: { 'content-encoding': 'gzip' } });
  t.equal(answer.status, 200);
  t.equal(bodies[0]?.compare(body), 0);
});

t.test('a body in very many pieces arrives whole', async (t) => {
  const { gate, bodies } = await gateWith(t);
  const body = Buffer.from(JSON.stringify(saying('abc ü '.repeat(30_000))));
  const outgoing = request(gate.url + GENERATE, { method: 'POST' });
  for (let at = 0; at < body.length; at += 7) outgoing.write(body.subarray(at, at + 7));
  outgoing.end();
  const [response] = await once(outgoing, 'response');
  t.equal(response.statusCode, 200);
  response.resume();
  t.equal(bodies[0]?.compare(body), 0);
});

t.test('bodies under way count against queue.max_bytes until their answer has ended', async (t) => {
  const answered = deferred();
  const { gate, bodies } = await gateWith(t, { queue: { max_bytes: '1MiB' } }, answered.promise);
  const body = saying('x'.repeat(700_000));
  const first = call(gate, GENERATE, { body });
  await until(() => bodies.length === 1);
  const refused = await call(gate, GENERATE, { body });
  t.equal(refused.status, 429);
  t.equal(refused.headers['x-headgate-refused'], 'QUEUE_FULL_BYTES');
  t.match(refused.text, /queue\.max_bytes is 1048576/);
  const small = call(gate, GENERATE, { body: saying('Hi') });
  answered.resolve();
  t.equal((await first).status, 200);
  t.equal((await small).status, 200);
  t.equal((await call(gate, GENERATE, { body })).status, 200, 'its place is free again');
  const alone = saying('x'.repeat(3_000_000));
  t.equal((await call(gate, GENERATE, { body: alone })).status, 200, 'one alone may be larger');
});
