import fc from 'fast-check';
import t from 'tap';
import { Bookkeeping } from '../../src/simulator/bookkeeping.ts';
import { pacificDay, utcPeriod } from '../../src/simulator/pacific-day.ts';
import { checkArrivals, worstWindow } from '../support/arrivals.ts';

const SPAN_MS = 5;
const NO_LIMITS = { rpm: null, tpm: null, rpd: null };

/** Tiny numbers, so that events exactly one span apart are common. */
const attempts = fc.array(
  fc.record({ waitMs: fc.integer({ min: 0, max: 4 }), tokens: fc.integer({ min: 0, max: 4 }) }),
  { maxLength: 40 },
);
const limits = fc.record({
  rpm: fc.option(fc.integer({ min: 1, max: 4 }), { nil: null }),
  tpm: fc.option(fc.integer({ min: 1, max: 6 }), { nil: null }),
  rpd: fc.option(fc.integer({ min: 1, max: 12 }), { nil: null }),
});

function rules(minute: 'sliding' | 'utc', rejected = false) {
  return { minute, minute_span_ms: SPAN_MS, rejected_counts_rpm: rejected };
}

t.test('no window of admitted calls exceeds a limit, by an independent count', async () => {
  fc.assert(
    fc.property(attempts, limits, fc.boolean(), (calls, row, rejected) => {
      const books = new Bookkeeping(rules('sliding', rejected));
      let nowMs = Date.UTC(2026, 2, 1);
      const admitted = [];
      for (const { waitMs, tokens } of calls) {
        nowMs += waitMs;
        const now = { monotonicMs: nowMs, wallMs: nowMs };
        if (books.ask('m', row, { requests: 1, tokens }, now).length > 0) continue;
        const call = { atMs: nowMs, answeredAtMs: null, wallMs: nowMs };
        admitted.push({ ...call, model: 'm', requests: 1, inputTokens: tokens });
      }
      return checkArrivals(admitted, { m: row }, SPAN_MS, 'arrival').length === 0;
    }),
  );
});

t.test(
  'a call is refused when it would exceed a limit, only then, and is told to wait',
  async () => {
    fc.assert(
      fc.property(attempts, limits, (calls, row) => {
        const books = new Bookkeeping(rules('sliding'));
        let nowMs = Date.UTC(2026, 2, 1);
        const admitted: { atMs: number; units: number; tokens: number }[] = [];
        for (const { waitMs, tokens } of calls) {
          nowMs += waitMs;
          const now = { monotonicMs: nowMs, wallMs: nowMs };
          const units = { requests: 1, tokens };
          const used = admitted.filter(({ atMs }) => nowMs - atMs < SPAN_MS);
          const fits =
            (row.rpm === null || used.length + 1 <= row.rpm) &&
            (row.tpm === null || used.reduce((sum, one) => sum + one.tokens, tokens) <= row.tpm) &&
            (row.rpd === null || admitted.length + 1 <= row.rpd);
          const [refusal] = books.ask('m', row, units, now);
          if ((refusal === undefined) !== fits) return false;
          if (refusal === undefined) admitted.push({ atMs: nowMs, units: 1, tokens });
          else if (refusal.retryMs <= 0) return false;
        }
        return true;
      }),
    );
  },
);

t.test('the wait of a refusal is exact in a sliding window', async (t) => {
  const books = new Bookkeeping(rules('sliding'));
  const row = { ...NO_LIMITS, tpm: 5 };
  const ask = (atMs: number, tokens: number) =>
    books.ask('m', row, { requests: 1, tokens }, { monotonicMs: atMs, wallMs: atMs });
  ask(0, 2);
  ask(1, 3);
  t.match(ask(2, 2), [{ quota: 'tpm', limit: 5, retryMs: 3 }], 'the first event is enough');
  t.match(ask(2, 3), [{ retryMs: 4 }], 'the second must leave as well');
  t.match(ask(4, 2), [{ retryMs: 1 }]);
  t.same(ask(5, 2), [], 'an event exactly one span old no longer counts');
  t.match(ask(5, 9), [{ retryMs: 5 }], 'what never fits waits for an empty window');
});

t.test('a UTC minute begins anew at its edge, for the wall clock', async (t) => {
  const books = new Bookkeeping(rules('utc'));
  const row = { ...NO_LIMITS, rpm: 2 };
  const ask = (wallMs: number) =>
    books.ask('m', row, { requests: 1, tokens: 0 }, { monotonicMs: 0, wallMs });
  t.same(ask(3), []);
  t.same(ask(4), []);
  t.match(ask(4), [{ quota: 'rpm', retryMs: 1 }]);
  t.same(ask(5), [], 'the edge belongs to the new minute');
  t.same(utcPeriod(7, 5), { startMs: 5, endMs: 10 });
});

t.test('a refused call takes a place in the minute only when the scenario says so', async (t) => {
  for (const rejected of [false, true]) {
    const books = new Bookkeeping(rules('sliding', rejected));
    const row = { ...NO_LIMITS, rpm: 1 };
    const ask = (atMs: number) =>
      books.ask('m', row, { requests: 1, tokens: 0 }, { monotonicMs: atMs, wallMs: atMs }).length;
    t.equal(ask(0), 0);
    t.equal(ask(3), 1);
    t.equal(ask(5), rejected ? 1 : 0);
    t.equal(books.peaks('m').rpm.peak, 1, 'the peak is of admitted calls');
  }
});

t.test('of several full windows the longest is named, of limits of 0 all are', async (t) => {
  const books = new Bookkeeping(rules('sliding'));
  const now = { monotonicMs: 0, wallMs: Date.UTC(2026, 5, 1, 12) };
  const units = { requests: 1, tokens: 1 };
  books.ask('m', NO_LIMITS, units, now);
  const named = books.ask('m', { rpm: 1, tpm: 1, rpd: 1 }, units, now);
  t.same(
    named.map(({ quota }) => quota),
    ['rpd'],
  );
  const zero = books.ask('m', { rpm: 0, tpm: 0, rpd: 0 }, units, now);
  t.same(
    zero.map(({ quota }) => quota),
    ['rpm', 'tpm', 'rpd'],
  );
});

t.test('a Pacific day has 24 hours, and 23 or 25 when the clocks change', async (t) => {
  const hours = (wallMs: number) => {
    const { startMs, endMs } = pacificDay(wallMs);
    t.ok(startMs <= wallMs && wallMs < endMs);
    t.equal(pacificDay(endMs).startMs, endMs, 'the next day begins where this one ends');
    return (endMs - startMs) / 3_600_000;
  };
  t.equal(hours(Date.UTC(2026, 0, 15, 12)), 24);
  t.equal(hours(Date.UTC(2026, 2, 8, 20)), 23);
  t.equal(hours(Date.UTC(2026, 10, 1, 20)), 25);
  t.equal(pacificDay(Date.UTC(2026, 6, 1, 7)).startMs, Date.UTC(2026, 6, 1, 7), 'midnight PDT');
  t.equal(
    pacificDay(Date.UTC(2026, 11, 1, 7)).endMs,
    Date.UTC(2026, 11, 1, 8),
    'an hour before it, PST',
  );
});

t.test('the judge of arrivals finds what is too much and no more', async (t) => {
  const events = [0, 4, 5, 9].map((atMs) => ({ atMs, units: 1 }));
  t.same(worstWindow(events, 5), { units: 2, fromMs: 0 });
  t.same(worstWindow(events, 6), { units: 3, fromMs: 0 });
  const calls = events.map(({ atMs }) => {
    const call = { atMs, answeredAtMs: 0, wallMs: atMs, model: 'm', requests: 1 };
    return { ...call, inputTokens: 10 };
  });
  t.same(checkArrivals(calls, { m: { rpm: 2, tpm: 20, rpd: 4 } }, 5, 'arrival'), []);
  t.match(checkArrivals(calls, { m: { rpm: 1, tpm: 19, rpd: 3 } }, 5, 'arrival'), [
    { quota: 'rpm', units: 2, limit: 1 },
    { quota: 'tpm', units: 20, limit: 19 },
    { quota: 'rpd', units: 4, limit: 3 },
  ]);
  t.match(checkArrivals(calls, { default: { rpm: 3 } }, 5, 'answer'), [{ quota: 'rpm', units: 4 }]);
});
