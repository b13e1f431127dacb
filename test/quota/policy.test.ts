import t from 'tap';
import { Calibration, CALIBRATION_SAMPLES_MIN } from '../../src/quota/calibration.ts';
import type { Block } from '../../src/quota/ledger.ts';
import { limitInForce } from '../../src/quota/policy.ts';
import type { Unit } from '../../src/quota/units.ts';
import { count, plus } from '../../src/quota/units.ts';
import { blockDetail, blockWords, policyWords } from '../../src/quota/words.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

t.test(
  'the limit in force is a live one, else the smaller of configured and learned',
  async (t) => {
    const none = { learned: null, learnedUnder: null, override: null };
    const cases: [number | null, Partial<typeof none> | object, number | null, string][] = [
      [5, {}, 5, 'configured'],
      [null, {}, null, 'configured'],
      [5, { learned: 3, learnedUnder: 5 }, 3, 'learned'],
      [null, { learned: 3, learnedUnder: null }, 3, 'learned'],
      [5, { learned: 7, learnedUnder: 5 }, 5, 'configured'],
      [6, { learned: 3, learnedUnder: 5 }, 6, 'configured'],
      [5, { learned: 3, learnedUnder: 5, override: 9 }, 9, 'override'],
      [5, { override: 0 }, 0, 'override'],
    ];
    for (const [configured, adjustment, limit, source] of cases) {
      t.same(limitInForce(configured, { ...none, ...adjustment }), { limit, source });
    }
  },
);

t.test('each unit counts what it names, and rejected requests only in short windows', async (t) => {
  const all = { requests: 1, rejected: 2, inputTokens: 30, outputTokens: 400, usdMicros: 5_000 };
  const counted = (spanMs: number) =>
    (['requests', 'input_tokens', 'total_tokens', 'usd'] satisfies Unit[]).map((unit) =>
      count(all, unit, spanMs),
    );
  t.same(counted(HOUR_MS - 1), [3, 30, 430, 5_000]);
  t.same(counted(HOUR_MS), [1, 30, 430, 5_000]);
  t.same(plus(all, all), {
    requests: 2,
    rejected: 4,
    inputTokens: 60,
    outputTokens: 800,
    usdMicros: 10_000,
  });
});

const WHOSE = { model: 'm', client: 'c' };

function sampled(ratios: readonly number[], calibration = new Calibration([])): Calibration {
  for (const ratio of ratios) {
    calibration.observe(WHOSE, { estimate: 1_000, actual: 1_000 * ratio });
  }
  return calibration;
}

t.test('until two hundred samples the ceiling is the size of the text', async (t) => {
  const few = sampled(Array.from({ length: CALIBRATION_SAMPLES_MIN - 1 }, () => 0.5));
  const asked = { estimate: 1_000, bytesMax: 4_000, margin: 1.1 };
  t.equal(few.correct(WHOSE, asked).ceiling, 4_000);
  const enough = sampled([0.5], few);
  const { expected, ceiling } = enough.correct(WHOSE, asked);
  t.ok(expected >= 545 && expected <= 555, `${expected}`);
  t.ok(ceiling >= 550 && ceiling <= 550 * 1.03, `${ceiling}`);
  t.same(
    enough.correct({ model: 'm', client: 'other' }, asked),
    { expected: 1_100, ceiling: 4_000 },
    'each kind of client by itself',
  );
});

t.test('the ceiling covers 99 of 100 calls, and never exceeds the text', async (t) => {
  const ratios = Array.from({ length: 1_000 }, (_, index) =>
    index % 100 === 0 ? 9 : 1 + (index % 10) / 10,
  );
  const calibration = sampled(ratios);
  const { ceiling } = calibration.correct(WHOSE, { estimate: 100, bytesMax: 10_000, margin: 1 });
  const covered = ratios.filter((ratio) => ratio * 100 <= ceiling).length;
  t.ok(covered >= 990, `${covered} of 1,000`);
  t.ok(ceiling < 900, 'and not every one');
  const short = calibration.correct(WHOSE, { estimate: 100, bytesMax: 50, margin: 1.1 });
  t.same(short, { expected: 50, ceiling: 50 });
});

t.test('old samples fade, and what is learned survives a restart', async (t) => {
  const asked = { estimate: 1_000, bytesMax: 99_000, margin: 1 };
  const calibration = sampled(Array.from({ length: 2_500 }, () => 4));
  sampled(
    Array.from({ length: 60_000 }, () => 1),
    calibration,
  );
  t.ok(calibration.correct(WHOSE, asked).ceiling < 1_050);
  const rows = calibration.takeChanged();
  t.equal(rows.length, 1);
  t.same(calibration.takeChanged(), [], 'only what has changed is stored');
  t.same(new Calibration(rows).correct(WHOSE, asked), calibration.correct(WHOSE, asked));
});

t.test('a nonsensical count teaches nothing, and names without end share one entry', async (t) => {
  const calibration = new Calibration([]);
  calibration.observe(WHOSE, { estimate: 0, actual: 5 });
  calibration.observe(WHOSE, { estimate: 5, actual: 0 });
  t.same(calibration.takeChanged(), []);
  for (let index = 0; index < 1_000; index += 1) {
    calibration.observe({ model: `m${index}`, client: 'c' }, { estimate: 1, actual: 1 });
  }
  t.ok(calibration.takeChanged().length <= 501);
});

t.test('limits and waits read as words', async (t) => {
  const words = [
    policyWords({ unit: 'requests', spanMs: MINUTE_MS }),
    policyWords({ unit: 'input_tokens', spanMs: DAY_MS }),
    policyWords({ unit: 'usd', spanMs: 31 * DAY_MS }),
    policyWords({ unit: 'total_tokens', spanMs: 5 * HOUR_MS }),
    policyWords({ unit: 'requests', spanMs: 10_000 }),
    policyWords({ unit: 'requests', spanMs: 5 * MINUTE_MS }),
  ];
  t.same(words, [
    'requests per minute',
    'input tokens per day',
    'dollars per month',
    'tokens per 5 h',
    'requests per 10 s',
    'requests per 5 min',
  ]);
  const state = {
    policy: 'tpm',
    unit: 'input_tokens',
    spanMs: MINUTE_MS,
    limit: 240_000,
    limitSource: 'configured',
    used: 231_000,
    held: 0,
    nextFreeAtMs: null,
  } as const;
  const none = { state: null, needs: 0, freeAtMs: 0, cooldown: null };
  const quota: Block = { ...none, reason: 'quota', state, needs: 12_400 };
  t.equal(blockDetail(quota), 'input tokens per minute: needs 12,400, 231,000 of 240,000 used');
  t.equal(
    blockDetail({
      ...quota,
      state: { ...state, unit: 'usd', limit: 5e6, used: 4e6 },
      needs: 1.5e6,
    }),
    'dollars per minute: needs $1.5000, $4.0000 of $5.0000 used',
  );
  const reasons = (['startup', 'concurrency', 'head'] as const).map((reason) =>
    blockWords({ ...none, reason }),
  );
  const kinds = (['minute', 'day', 'billing', 'zero_limit', 'exhausted'] as const).map((kind) =>
    blockWords({ ...none, reason: 'cooldown', cooldown: { kind, untilMs: 0, reason: '' } }),
  );
  t.equal(new Set([...reasons, ...kinds]).size, 8, 'no two waits read alike');
  t.ok(kinds.every((text) => text.startsWith('upstream cooldown after a 429')));
});
