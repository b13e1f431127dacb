import t from 'tap';
import { QuotaDay, Truth } from '../../src/operation/truth.ts';
import { openDatabase } from '../../src/store/database.ts';
import { createSampleStore } from '../../src/store/sample-store.ts';
import { RECORD } from '../support/exchange-record.ts';
import { ManualClock } from '../support/manual-clock.ts';

const HOUR_MS = 3_600_000;

t.test('the truth is what the answers told, and how often the daemon has started', async (t) => {
  const connection = openDatabase(':memory:');
  t.teardown(() => connection.close());
  const samples = createSampleStore(connection);
  const clock = new ManualClock({ wallMs: Date.UTC(2026, 0, 15, 12) });
  const truth = new Truth({ clock, samples });
  t.strictSame(truth.view(), {
    upstream_rejections: 0,
    estimate_ratio: null,
    restarts: 0,
    started_at: '2026-01-15T12:00:00.000Z',
  });
  const usage = { ...RECORD.usage!, inputTokens: 120 };
  truth.add({ ...RECORD, estimatedTokens: 100, usage });
  truth.add({ ...RECORD, estimatedTokens: 150, usage });
  truth.addRejection();
  truth.addRejection();
  truth.add({ ...RECORD, estimatedTokens: 0, usage });
  truth.add({ ...RECORD, estimatedTokens: 100, usage: null });
  truth.add({ ...RECORD, estimatedTokens: 100, usage: { ...usage, inputTokens: 0 } });
  for (let start = 0; start < 3; start += 1) samples.noteStart(clock.wallMs(), 0);
  t.match(truth.view(), {
    upstream_rejections: 2,
    estimate_ratio: { mean: 1, samples: 2 },
    restarts: 2,
  });
  clock.advance(24 * HOUR_MS + 1);
  t.match(truth.view(), { restarts: 0, started_at: '2026-01-15T12:00:00.000Z' });
});

t.test("the day ends at Pacific midnight by the upstream's clock", async (t) => {
  const clock = new ManualClock({ wallMs: Date.UTC(2026, 2, 8, 9) });
  const day = new QuotaDay(clock);
  const spring = {
    zone: 'America/Los_Angeles',
    started_at: '2026-03-08T08:00:00.000Z',
    resets_at: '2026-03-09T07:00:00.000Z',
  };
  t.strictSame(day.view(clock.wallMs()), spring, 'it has 23 hours when clocks go forward');
  clock.advance(5 * HOUR_MS);
  t.strictSame(day.view(clock.wallMs()), spring);
  t.match(
    day.view(clock.wallMs() + 60_000),
    { resets_at: '2026-03-09T06:59:00.000Z' },
    'by our clock: the upstream is a minute ahead',
  );
  clock.setWall(Date.UTC(2026, 10, 1, 20));
  t.match(day.view(clock.wallMs() + 0.4), {
    started_at: '2026-11-01T07:00:00.000Z',
    resets_at: '2026-11-02T08:00:00.000Z',
  });
});
