import t from 'tap';
import { openDatabase } from '../../src/store/database.ts';
import { createSampleStore, type SampleRow } from '../../src/store/sample-store.ts';

const MINUTE_MS = 60_000;
const FROM_MS = 30_000_000 * MINUTE_MS;

function row(minute: number, change: Partial<SampleRow> = {}): SampleRow {
  return {
    atMs: FROM_MS + minute * MINUTE_MS,
    project: 'p',
    model: 'm',
    requests: 2,
    inputTokens: 30,
    outputTokens: 4,
    waited: 1,
    waitMsMax: 50,
    waitMsSum: 50,
    refusals: 1,
    upstreamRejections: 1,
    usdMicros: 7,
    ...change,
  };
}

t.test('samples are summed by step, model and project', async (t) => {
  const connection = openDatabase(':memory:');
  t.teardown(() => connection.close());
  const samples = createSampleStore(connection);
  samples.add([row(0), row(14), row(15), row(0, { model: 'n' }), row(0, { project: 'q' })]);
  samples.add([row(0, { requests: 3, waited: 2, waitMsMax: 80, waitMsSum: 90 })]);
  const query = { fromMs: FROM_MS, stepMs: 15 * MINUTE_MS, steps: 3, model: null, project: null };
  t.strictSame(samples.read(query), [
    {
      atMs: FROM_MS,
      requests: 11,
      inputTokens: 150,
      outputTokens: 20,
      waited: 6,
      waitMsMax: 80,
      waitMsSum: 290,
      refusals: 5,
      upstreamRejections: 5,
      usdMicros: 35,
    },
    {
      atMs: FROM_MS + 15 * MINUTE_MS,
      requests: 2,
      inputTokens: 30,
      outputTokens: 4,
      waited: 1,
      waitMsMax: 50,
      waitMsSum: 50,
      refusals: 1,
      upstreamRejections: 1,
      usdMicros: 7,
    },
  ]);
  const requestsOf = (filter: object) =>
    samples.read({ ...query, steps: 1, ...filter }).map(({ requests }) => requests);
  t.strictSame(requestsOf({ model: 'm' }), [9]);
  t.strictSame(requestsOf({ model: 'm', project: 'q' }), [2]);
  t.strictSame(requestsOf({ project: 'p' }), [9]);
  t.strictSame(requestsOf({ model: 'x' }), []);

  samples.prune(FROM_MS + MINUTE_MS);
  t.strictSame(requestsOf({}), [2], 'what began earlier is gone');
});

t.test('restarts are counted within a time, and the first start is none', async (t) => {
  const connection = openDatabase(':memory:');
  t.teardown(() => connection.close());
  const samples = createSampleStore(connection);
  t.equal(samples.restartsSince(0), 0);
  samples.noteStart(1_000, 0);
  t.equal(samples.restartsSince(0), 0);
  samples.noteStart(2_000, 0);
  samples.noteStart(3_000, 0);
  t.equal(samples.restartsSince(0), 2);
  t.equal(samples.restartsSince(2_500), 1);
  samples.noteStart(9_000, 5_000);
  t.equal(samples.restartsSince(0), 1, 'the others are forgotten');
  samples.noteStart(90_000, 89_000);
  t.equal(
    samples.restartsSince(0),
    1,
    'a daemon that ran for long has been restarted all the same',
  );
});

t.test('a daemon that starts again and again does not fill the database', async (t) => {
  const connection = openDatabase(':memory:');
  t.teardown(() => connection.close());
  const samples = createSampleStore(connection);
  for (let start = 0; start < 1_200; start += 1) samples.noteStart(start, 0);
  t.equal(samples.restartsSince(0), 1_000);
});
