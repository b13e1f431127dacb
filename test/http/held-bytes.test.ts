import { once } from 'node:events';
import { connect } from 'node:net';

import t from 'tap';

import { HeldBytes } from '../../src/http/held-bytes.ts';
import { until } from '../support/gate.ts';
import { answerAtOnce, startOwnServer } from '../support/own-server.ts';

t.test('bodies share one limit, up to the last byte', async (t) => {
  const held = new HeldBytes(() => 10);
  const first = held.open();
  const second = held.open();
  t.equal(first.grow(6), null);
  t.equal(second.grow(4), null);
  t.match(second.grow(5), { reason: 'QUEUE_FULL_BYTES', httpStatus: 429 });
});

t.test('a refusal says who holds how much, where, and when to come back', async (t) => {
  const held = new HeldBytes(() => 10);
  held.open().grow(8);
  const error = held.open().grow(3);
  t.match(error, { where: 'queue.max_bytes', retryAfterMs: 10_000 });
  t.match(error?.message, /hold 8 bytes \(queue\.max_bytes is 10\)/);
});

t.test('a refused growth takes nothing, and what was held before stays held', async (t) => {
  const held = new HeldBytes(() => 10);
  const first = held.open();
  const second = held.open();
  first.grow(5);
  second.grow(3);
  t.not(second.grow(6), null);
  t.equal(second.grow(5), null, 'what is left can still be taken');
  first.close();
  t.equal(held.open().grow(5), null);
  t.not(held.open().grow(1), null);
});

t.test('a share only grows: a smaller number changes nothing and is never refused', async (t) => {
  let limit = 10;
  const held = new HeldBytes(() => limit);
  const first = held.open();
  const second = held.open();
  first.grow(6);
  second.grow(4);
  t.equal(first.grow(2), null);
  t.not(second.grow(5), null, 'the first still holds 6');
  limit = 1;
  t.equal(first.grow(6), null);
});

t.test('one body alone is let in whatever its size, and then nothing beside it', async (t) => {
  const held = new HeldBytes(() => 10);
  const large = held.open();
  t.equal(large.grow(1_000), null);
  t.equal(large.grow(2_000), null);
  t.not(held.open().grow(1), null);
  large.close();
  t.equal(held.open().grow(1), null);
});

t.test('a body without bytes is let in although the others are over the limit', async (t) => {
  const held = new HeldBytes(() => 10);
  held.open().grow(1_000);
  t.equal(held.open().grow(0), null);
});

t.test('a limit that changes holds from the next growth on', async (t) => {
  let limit = 10;
  const held = new HeldBytes(() => limit);
  const first = held.open();
  const second = held.open();
  first.grow(5);
  t.equal(second.grow(5), null);
  t.not(second.grow(6), null);
  limit = 11;
  t.equal(second.grow(6), null);
});

t.test('what is closed gives back all of its own once, and takes nothing more', async (t) => {
  const held = new HeldBytes(() => 10);
  const first = held.open();
  const second = held.open();
  first.grow(4);
  second.grow(6);
  first.close();
  first.close();
  t.equal(second.grow(10), null, 'all of it is free');
  t.equal(first.grow(5), null, 'a chunk that crosses the end is nobody’s any more');
  second.close();
  const third = held.open();
  t.equal(third.grow(10), null);
  t.not(held.open().grow(1), null, 'and not more than all of it');
});

const PATH = '/v1beta/models/gemini-2.5-flash:generateContent';
const LIMIT_BYTES = 100;

/** A call that says its body has `bodyBytes`, with so much of it as `sent`. */
function callOf(bodyBytes: number, sent: string): string {
  return `POST ${PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: ${bodyBytes}\r\n\r\n${sent}`;
}

const BODY = `{"contents":[${' '.repeat(70)}]}`;

for (const [title, text, takenCount] of [
  ['in the middle of its body', callOf(90, '{"contents":['), 0],
  ['while its call waits', callOf(BODY.length, BODY), 1],
  // The second has no response on the wire yet, whose closing could tell.
  ['with two calls on one connection', callOf(2, '{}') + callOf(BODY.length, BODY), 2],
] as const) {
  t.test(`a client that leaves ${title} gives back what it held`, async (t) => {
    const { port, url, taken, refusals } = await startOwnServer(t, {
      heldBytesMax: () => LIMIT_BYTES,
      onTake({ call, sink }) {
        if (call.path.endsWith('?probe')) answerAtOnce(sink, {});
      },
    });
    const probe = async (): Promise<number> => {
      const answer = await fetch(`${url}${PATH}?probe`, { method: 'POST', body: BODY });
      await answer.arrayBuffer();
      return answer.status;
    };
    const leaving = connect(port, '127.0.0.1');
    await once(leaving, 'connect');
    leaving.write(text);
    while ((await probe()) !== 429);
    await until(() => taken.filter(({ call }) => call.path === PATH).length === takenCount);
    t.match(refusals.at(-1)?.error, { reason: 'QUEUE_FULL_BYTES' });
    leaving.destroy();
    while ((await probe()) !== 200);
    t.pass('there is room again');
  });
}
