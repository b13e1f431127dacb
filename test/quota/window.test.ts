import t from 'tap';
import type { TimeWindow } from '../../src/quota/window.ts';
import {
  GOOGLE_QUOTA_ZONE,
  leavesAtMs,
  periodEndMs,
  spanMs,
  windowKey,
} from '../../src/quota/window.ts';
import { call, memoryLedgerUnderTest } from '../support/ledgers.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { policy, request, rulesWith, units } from '../support/quota-samples.ts';

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const DAY: TimeWindow = { kind: 'calendar', period: 'day', zone: GOOGLE_QUOTA_ZONE };
const SLIDING_DAY: TimeWindow = { kind: 'sliding_day', zone: GOOGLE_QUOTA_ZONE };

/** Days on which Los Angeles changes its clocks: midnight in UTC, and hours until the next one. */
const CHANGES = [
  { day: '2026-03-08', startsAt: '2026-03-08T08:00Z', hours: 23 },
  { day: '2026-11-01', startsAt: '2026-11-01T07:00Z', hours: 25 },
  { day: '2027-03-14', startsAt: '2027-03-14T08:00Z', hours: 23 },
  { day: '2027-11-07', startsAt: '2027-11-07T07:00Z', hours: 25 },
];

function leaves(window: TimeWindow, atMs: number, guardMs = 0, upstreamOffsetMs = 0): number {
  return leavesAtMs(window, atMs, { guardMs, upstreamOffsetMs });
}

t.test('a unit leaves a sliding window after its span and the guard', async (t) => {
  t.equal(leaves({ kind: 'sliding', spanMs: 10 }, 5, 2, 900), 17);
});

t.test('calendar periods end where their zone says', async (t) => {
  const at = Date.UTC(2026, 0, 31, 23, 59, 30);
  t.equal(periodEndMs('minute', 'UTC', at), at + 30_000);
  t.equal(periodEndMs('hour', 'UTC', at), at + 30_000);
  t.equal(periodEndMs('day', 'UTC', at), at + 30_000);
  t.equal(periodEndMs('month', 'UTC', at), at + 30_000);
  t.equal(periodEndMs('month', 'UTC', at + 30_000), Date.UTC(2026, 2, 1), 'February follows');
  t.equal(periodEndMs('day', 'UTC', at + 30_000), Date.UTC(2026, 1, 2), 'a boundary opens a day');
  t.equal(periodEndMs('day', 'Asia/Kathmandu', at), Date.UTC(2026, 1, 1, 18, 15));
  t.equal(periodEndMs('month', GOOGLE_QUOTA_ZONE, at), Date.UTC(2026, 1, 1, 8));
});

t.test('a Pacific day has 23 hours in spring and 25 in autumn', async (t) => {
  for (const { day, startsAt, hours } of CHANGES) {
    const startMs = Date.parse(startsAt);
    for (const intoMs of [0, 90 * MINUTE_MS, 9.5 * HOUR_MS, hours * HOUR_MS - 1]) {
      const endMs = periodEndMs('day', GOOGLE_QUOTA_ZONE, startMs + intoMs);
      t.equal(endMs - startMs, hours * HOUR_MS, `${day} ${intoMs}`);
    }
    const endMs = startMs + hours * HOUR_MS;
    t.equal(periodEndMs('day', GOOGLE_QUOTA_ZONE, endMs) - endMs, 24 * HOUR_MS, 'the next has 24');
    t.equal(
      periodEndMs('day', GOOGLE_QUOTA_ZONE, startMs - 1),
      startMs,
      'the one before ends here',
    );
  }
});

t.test('a calendar window keeps a guard on both sides of its edge', async (t) => {
  const midnight = Date.UTC(2026, 6, 2, 7);
  t.equal(
    leaves(DAY, midnight - 5_000, 1_000),
    midnight + 1_000,
    'nothing leaves before the guard',
  );
  t.equal(leaves(DAY, midnight - 1_001, 1_000), midnight + 1_000);
  t.equal(
    leaves(DAY, midnight - 1_000, 1_000),
    midnight + 24 * HOUR_MS + 1_000,
    'what the upstream may count after midnight stays for the next day',
  );
});

t.test("calendar windows follow the upstream's clock", async (t) => {
  const midnight = Date.UTC(2026, 6, 2, 7);
  t.equal(leaves(DAY, midnight - 5_000, 0, 3_000), midnight - 3_000, 'its midnight comes earlier');
  t.equal(leaves(DAY, midnight - 2_000, 0, 3_000), midnight + 24 * HOUR_MS - 3_000);
  t.equal(leaves(DAY, midnight + 2_000, 0, -3_000), midnight + 3_000, 'or later');
});

t.test('a sliding day is 24 hours, and the whole day when that has 25', async (t) => {
  const autumn = Date.parse('2026-11-01T07:00Z');
  t.equal(leaves(SLIDING_DAY, autumn, 0), autumn + 25 * HOUR_MS);
  t.equal(leaves(SLIDING_DAY, autumn + 30 * MINUTE_MS, 0), autumn + 25 * HOUR_MS);
  t.equal(leaves(SLIDING_DAY, autumn + 2 * HOUR_MS, 7), autumn + 26 * HOUR_MS + 7);
  const spring = Date.parse('2026-03-08T08:00Z');
  t.equal(leaves(SLIDING_DAY, spring, 0), spring + 24 * HOUR_MS);
});

t.test('windows that hold the same units share a key, others do not', async (t) => {
  const windows: TimeWindow[] = [
    { kind: 'sliding', spanMs: 10 },
    { kind: 'sliding', spanMs: 20 },
    { kind: 'calendar', period: 'day', zone: 'UTC' },
    { kind: 'calendar', period: 'month', zone: 'UTC' },
    DAY,
    SLIDING_DAY,
  ];
  const keys = windows.flatMap((window) => [windowKey(window, 0), windowKey(window, 5)]);
  t.equal(new Set(keys).size, keys.length);
  t.same(windows.map(spanMs), [
    10,
    20,
    24 * HOUR_MS,
    31 * 24 * HOUR_MS,
    24 * HOUR_MS,
    24 * HOUR_MS,
  ]);
});

/** Asks every ten minutes for four days, and says how many were let in on each Pacific day. */
function admittedPerDay(window: TimeWindow, startMs: number): Map<string, number> {
  const under = memoryLedgerUnderTest(new ManualClock({ wallMs: startMs - 36 * HOUR_MS }));
  const rules = rulesWith([policy(3, { window, guardMs: 1_000 })]);
  const dayOf = new Intl.DateTimeFormat('en-CA', {
    timeZone: GOOGLE_QUOTA_ZONE,
    dateStyle: 'short',
  });
  const perDay = new Map<string, number>();
  for (let step = 0; step < 4 * 24 * 6; step += 1) {
    const atMs = under.nowMs();
    const id = `call-${step}`;
    const outcome = call(under, (ledger) => {
      const outcome = ledger.reserve(request(id, rules, atMs));
      ledger.settle(id, { units: units(1), atMs, sent: true });
      return outcome;
    });
    if (outcome.kind === 'admitted') {
      const day = dayOf.format(atMs);
      perDay.set(day, (perDay.get(day) ?? 0) + 1);
    }
    under.clock.advance(10 * MINUTE_MS);
  }
  under.close();
  return perDay;
}

t.test('across both clock changes each Pacific day admits exactly its limit', async (t) => {
  for (const { day, startsAt } of CHANGES) {
    const perDay = admittedPerDay(DAY, Date.parse(startsAt));
    t.equal(perDay.get(day), 3, day);
    t.same([...perDay.values()], [3, 3, 3, 3, 3].slice(0, perDay.size), 'and its neighbours do');
    const sliding = admittedPerDay(SLIDING_DAY, Date.parse(startsAt));
    t.ok(
      [...sliding.values()].every((admitted) => admitted <= 3),
      'a sliding day never more',
    );
  }
});
