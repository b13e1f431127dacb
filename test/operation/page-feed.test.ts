import t, { type Test } from 'tap';
import type { ExchangeRecord } from '../../src/exchange/call.ts';
import type { LiveFrame } from '../../src/http/page-control.ts';
import type { StatusView } from '../../src/http/views.ts';
import { createPageFeed } from '../../src/operation/page-feed.ts';
import { openDatabase } from '../../src/store/database.ts';
import { createSampleStore } from '../../src/store/sample-store.ts';
import { RECORD } from '../support/exchange-record.ts';
import { ManualClock } from '../support/manual-clock.ts';

const NOON_MS = Date.UTC(2026, 0, 15, 12);
const MINUTE_MS = 60_000;
const ANY = { limit: 200, model: null, agent: null, outcome: null };
const ALL = { model: null, project: null };

/** A feed whose statuses are counted. What it puts off is done when it is asked for. */
function feedFor(t: Test, clock = new ManualClock({ wallMs: NOON_MS })) {
  const connection = openDatabase(':memory:');
  t.teardown(() => connection.close());
  const samples = createSampleStore(connection);
  const state = { statuses: 0, mark: 'a', isHeld: false };
  const writes: (() => void)[] = [];
  const make = () =>
    createPageFeed({
      clock,
      samples,
      note: (write) => writes.push(write),
      flush: () => {
        for (const write of writes.splice(0)) write();
      },
      status: () => {
        if (state.isHeld) throw new Error('held');
        state.statuses += 1;
        // Only that it comes through matters here.
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion
        return { uptime_ms: state.statuses } as unknown as StatusView;
      },
      mark: () => state.mark,
    });
  return { clock, state, make, feed: make() };
}

function ended(change: Partial<ExchangeRecord> = {}): ExchangeRecord {
  return { ...RECORD, ...change };
}

function textOf(frames: readonly LiveFrame[]): string {
  return frames.map(({ bytes }) => bytes.toString()).join('');
}

t.test('nothing is made while nobody listens', async (t) => {
  const { clock, state, feed } = feedFor(t);
  feed.add(ended());
  clock.advance(10 * MINUTE_MS);
  t.equal(state.statuses, 0);
  const frames: LiveFrame[] = [];
  const leave = feed.listen((frame) => frames.push(frame));
  leave();
  const timers = clock.pendingTimers;
  feed.add(ended());
  clock.advance(10 * MINUTE_MS);
  t.equal(state.statuses, 1, 'the one that was told at once');
  t.equal(textOf(frames), 'event: status\ndata: {"uptime_ms":1}\n\n');
  t.equal(timers, 1, 'only the minute is waited for');
});

t.test('a status is told at once, on change, and every five seconds', async (t) => {
  const { clock, state, feed } = feedFor(t);
  const frames: LiveFrame[] = [];
  feed.listen((frame) => frames.push(frame));
  clock.advance(4_900);
  t.equal(frames.length, 1, 'nothing has changed');
  clock.advance(100);
  t.equal(frames.length, 2);
  state.mark = 'b';
  clock.advance(499);
  t.equal(frames.length, 2);
  clock.advance(1);
  t.equal(frames.length, 3);
  clock.advance(4_999);
  t.equal(frames.length, 3);
});

t.test('at most two statuses are made in a second, for all who listen', async (t) => {
  const { clock, state, feed } = feedFor(t);
  const seen = [0, 0, 0];
  const firstBytes: Buffer[] = [];
  for (let step = 0; step < 100; step += 1) {
    state.mark = String(step);
    if (step < seen.length) {
      let isFirst = true;
      feed.listen((frame) => {
        if (isFirst) firstBytes.push(frame.bytes);
        isFirst = false;
        seen[step] = (seen[step] ?? 0) + 1;
      });
    }
    clock.advance(100);
  }
  t.ok(state.statuses >= 20 && state.statuses <= 21, `${state.statuses} in ten seconds`);
  t.strictSame(seen, [state.statuses, state.statuses, state.statuses]);
  t.equal(firstBytes[0], firstBytes[2], 'who comes a little later gets the same bytes');
});

t.test('a status that cannot be had is asked for again', async (t) => {
  const { clock, state, feed } = feedFor(t);
  state.isHeld = true;
  const frames: LiveFrame[] = [];
  feed.listen((frame) => frames.push(frame));
  clock.advance(1_000);
  t.equal(frames.length, 0);
  state.isHeld = false;
  clock.advance(500);
  t.equal(frames.length, 1);
});

t.test('each ended exchange is told, those of one moment together', async (t) => {
  const { clock, feed } = feedFor(t);
  const frames: LiveFrame[] = [];
  feed.listen((frame) => frames.push(frame));
  for (const requestId of ['a', 'b']) feed.add(ended({ requestId }));
  feed.add(ended({ requestId: 'c', method: 'pass' }));
  const late: LiveFrame[] = [];
  feed.listen((frame) => late.push(frame));
  clock.advance(50);
  const exchanges = frames.filter(({ kind }) => kind === 'exchange');
  t.equal(exchanges.length, 1);
  t.strictSame(
    textOf(exchanges).match(/^event: exchange$|"id":"."/gm),
    ['event: exchange', '"id":"a"', 'event: exchange', '"id":"b"'],
    'and calls that are not counted are not',
  );
  t.notMatch(textOf(late), /exchange/, 'whoever came after has them from the list');
});

t.test('the last 200 exchanges are kept, and found by what they are', async (t) => {
  const { feed } = feedFor(t);
  for (let index = 0; index < 250; index += 1) {
    const agent = index % 2 === 0 ? 'even' : 'odd';
    feed.add(ended({ requestId: `r${index}`, agent, outcome: index === 249 ? 'failed' : 'ok' }));
  }
  const ids = (query: Partial<typeof ANY> | { outcome: 'failed' }) =>
    feed.exchanges({ ...ANY, ...query }).map(({ id }) => id);
  t.equal(ids({}).length, 200);
  t.strictSame(ids({ limit: 2 }), ['r249', 'r248'], 'the newest first');
  t.equal(ids({}).at(-1), 'r50');
  t.strictSame(
    feed.exchanges({ ...ANY, agent: 'even', limit: 1 }).map(({ id }) => id),
    ['r248'],
  );
  t.strictSame(ids({ outcome: 'failed' }), ['r249']);
  const named = (model: string) => feed.exchanges({ ...ANY, model }).length;
  t.strictSame(
    [named('gemini-2.5-flash'), named('gemini-flash-latest'), named('x')],
    [200, 200, 0],
  );
  t.match(feed.exchanges({ ...ANY, limit: 1 })[0], {
    at: new Date(13_141).toISOString(),
    wait_reason: 'requests per minute',
    queued_ms: 12_300,
    first_byte_ms: 800,
    estimated_tokens: 1180,
    input_tokens: 1204,
    usd: 0.0025,
  });
});

t.test('a minute that has passed is told and written down', async (t) => {
  const { clock, feed, make } = feedFor(t);
  const frames: LiveFrame[] = [];
  const leave = feed.listen((frame) => frames.push(frame));
  feed.add(ended());
  feed.add(ended({ waitReason: null, outcome: 'refused', usage: null, usdMicros: 0 }));
  feed.add(ended({ queuedMs: 700 }));
  const { project, model } = ended();
  feed.addRejection({ project, model });
  clock.advance(MINUTE_MS);
  const point = {
    at: new Date(NOON_MS).toISOString(),
    requests: 3,
    input_tokens: 2408,
    output_tokens: 80,
    waited: 2,
    wait_ms_max: 12_300,
    wait_ms_mean: 6_500,
    refusals: 1,
    upstream_rejections: 1,
    usd: 0.005,
  };
  const told = textOf(frames.filter(({ kind }) => kind === 'sample'));
  t.equal(told, `event: sample\ndata: ${JSON.stringify({ span: 'hour', point })}\n\n`);
  leave();

  feed.add(ended({ usage: null, usdMicros: 0 }));
  const { span, step_ms: stepMs, points } = feed.history({ span: 'hour', ...ALL });
  t.strictSame([span, stepMs, points.length], ['hour', MINUTE_MS, 60]);
  t.strictSame(points.at(-2), point);
  t.match(points.at(-1), { at: new Date(NOON_MS + MINUTE_MS).toISOString(), requests: 1 });
  t.equal(points.filter(({ requests }) => requests === 0).length, 58, 'gaps are zero');
  feed.writeSamples();
  feed.writeSamples();
  feed.close();

  const next = make();
  next.add(ended({ usage: null, usdMicros: 0 }));
  const after = next.history({ span: 'hour', ...ALL }).points;
  t.strictSame(after.at(-2), point, 'it has outlived the feed');
  t.equal(after.at(-1)?.requests, 2, 'and the minute that was open goes on');
  const ofModel = next.history({ span: 'hour', model: 'x', project: null }).points;
  t.equal(ofModel.filter(({ requests }) => requests > 0).length, 0);
});

t.test('a day has 96 steps of a quarter of an hour, and is forgotten after 25 hours', async (t) => {
  const { clock, feed } = feedFor(t);
  feed.add(ended());
  clock.advance(20 * MINUTE_MS);
  feed.add(ended());
  const { step_ms: stepMs, points } = feed.history({ span: 'day', ...ALL });
  t.equal(stepMs, 15 * MINUTE_MS);
  t.equal(points.length, 96);
  t.strictSame(
    points.slice(-3).map(({ at, requests }) => [at.slice(11, 16), requests]),
    [
      ['11:45', 0],
      ['12:00', 1],
      ['12:15', 1],
    ],
  );
  clock.advance(24 * 60 * MINUTE_MS);
  feed.add(ended());
  const { points: later } = feed.history({ span: 'day', ...ALL });
  t.strictSame(
    [later[0], later[95]].map((point) => [point?.at.slice(11, 16), point?.requests]),
    [
      ['12:30', 0],
      ['12:15', 1],
    ],
  );
});

t.test('a clock that is set back opens the minute anew', async (t) => {
  const { clock, feed } = feedFor(t);
  feed.add(ended());
  clock.setWall(NOON_MS - 5 * MINUTE_MS);
  feed.add(ended());
  clock.setWall(NOON_MS + 1_000);
  feed.add(ended());
  const { points } = feed.history({ span: 'hour', ...ALL });
  t.equal(points.at(-1)?.requests, 2);
  t.equal(points.at(-6)?.requests, 1);
});

t.test('names of models that callers make up are added up under one', async (t) => {
  const { clock, feed } = feedFor(t);
  for (let index = 0; index < 150; index += 1) feed.add(ended({ model: `made-up-${index}` }));
  clock.advance(MINUTE_MS);
  const requestsOf = (model: string | null) =>
    feed.history({ span: 'hour', model, project: null }).points.at(-2)?.requests;
  t.strictSame([requestsOf('other'), requestsOf('made-up-7'), requestsOf(null)], [50, 1, 150]);
});
