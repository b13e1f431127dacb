import fc from 'fast-check';
import t from 'tap';
import type { QuotaPolicy, QuotaRules } from '../../src/quota/policy.ts';
import { worstWindow } from '../support/arrivals.ts';
import type { LedgerUnderTest } from '../support/ledgers.ts';
import { memoryLedgerUnderTest, oracleUnderTest } from '../support/ledgers.ts';
import type { Command } from '../support/ledger-commands.ts';
import { commands, runCommand } from '../support/ledger-commands.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { policy, request, rulesWith, units } from '../support/quota-samples.ts';
import { PROPERTY_RUNS } from '../support/runs.ts';

/** A few milliseconds before a minute, an hour and a day of UTC begin. */
const BEFORE_MIDNIGHT_MS = Date.UTC(2026, 4, 1) - 20;
const HORIZON_MS = 90;

/** One call's life, in milliseconds from each step to the next. */
interface Plan {
  readonly gapMs: number;
  readonly ceiling: number;
  readonly actual: number;
  readonly sendMs: number;
  /** Of the guard, 0 to 1: when the upstream counts it. */
  readonly transit: number;
  readonly answerMs: number;
  readonly lateMs: number;
  readonly endMs: number;
  readonly ending: 'settle' | 'release' | 'rejected' | 'crash';
  readonly wallStepMs: number;
}

const plan: fc.Arbitrary<Plan> = fc.record({
  gapMs: fc.nat(3),
  ceiling: fc.nat(3),
  actual: fc.nat(4),
  sendMs: fc.nat(2),
  transit: fc.constantFrom(0, 0.5, 1),
  answerMs: fc.nat(6),
  lateMs: fc.nat(2),
  endMs: fc.nat(6),
  ending: fc.constantFrom('settle', 'settle', 'release', 'rejected', 'crash'),
  wallStepMs: fc.constantFrom(0, 0, 0, -3_600_000, 7_200_000),
});

interface Counted {
  readonly atMs: number;
  readonly requests: number;
  readonly tokens: number;
}

/**
 * Sends the calls as soon as the ledger admits them and returns what the upstream counted, and
 * when, on its own clock. A call weighs what it really took, but no more than it had reserved.
 */
function send(
  under: LedgerUnderTest,
  rules: QuotaRules,
  plans: readonly Plan[],
  { guardMs, dateMs }: { guardMs: number; dateMs: number },
): Counted[] {
  const ledger = under.as(0);
  const { clock } = under;
  const counted: Counted[] = [];
  const waiting: { id: string; plan: Plan }[] = [];
  let arrivalMs = 0;
  let isDead = new Set<string>();

  function start({ id, plan }: { id: string; plan: Plan }): void {
    const sentMs = plan.sendMs;
    if (plan.ending === 'release') {
      clock.after(sentMs, () => ledger.release(id, under.nowMs()));
      return;
    }
    const transitMs = Math.round(guardMs * plan.transit);
    const sentAtMs = under.nowMs() + Math.max(1, sentMs);
    clock.after(sentMs, () => {
      if (isDead.has(id)) return;
      const isRejected = plan.ending === 'rejected';
      const tokens = isRejected ? 0 : Math.min(plan.actual, plan.ceiling);
      counted.push({ atMs: sentAtMs + transitMs, requests: 1, tokens });
      const byteMs = transitMs + plan.answerMs;
      const datedMs = Math.min(byteMs, dateMs);
      const atMs = sentAtMs + Math.max(0, datedMs - guardMs);
      clock.after(datedMs + plan.lateMs, () => ledger.date(id, atMs));
      clock.after(byteMs + plan.endMs, () => {
        if (plan.ending === 'crash') {
          under.die(0);
          isDead = new Set(plans.map((_, index) => String(index)));
          return;
        }
        const took = isRejected ? units(0, 0, { rejected: 1 }) : units(1, plan.actual);
        ledger.settle(id, { units: took, atMs: under.nowMs(), sent: true });
      });
    });
  }

  for (const [index, plan] of plans.entries()) {
    arrivalMs += plan.gapMs;
    clock.after(arrivalMs, () => {
      if (plan.wallStepMs !== 0) clock.stepWall(plan.wallStepMs);
      waiting.push({ id: String(index), plan });
    });
  }
  for (let ms = 0; ms < HORIZON_MS; ms += 1) {
    clock.advance(1);
    for (const call of waiting.splice(0)) {
      const ceiling = units(1, call.plan.ceiling);
      const asked = request(call.id, rules, under.nowMs(), { ceiling });
      const outcome = ledger.transact(() => ledger.reserve(asked));
      if (outcome.kind === 'admitted') {
        isDead.delete(call.id);
        start(call);
      } else if (outcome.kind === 'blocked') waiting.push(call);
    }
  }
  return counted;
}

t.test('no span as long as a window holds more than its limit at the upstream', async () => {
  const shape = fc.record({
    requests: fc.integer({ min: 1, max: 4 }),
    tokens: fc.integer({ min: 1, max: 5 }),
    requestSpanMs: fc.integer({ min: 1, max: 10 }),
    tokenSpanMs: fc.integer({ min: 1, max: 10 }),
    guardMs: fc.nat(4),
    dateMs: fc.nat(6),
    offsetMs: fc.integer({ min: -3, max: 3 }),
    day: fc.integer({ min: 1, max: 5 }),
    plans: fc.array(plan, { minLength: 1, maxLength: 25 }),
  });
  fc.assert(
    fc.property(shape, (shape) => {
      const { requests, tokens, requestSpanMs, tokenSpanMs, guardMs, offsetMs } = shape;
      const sliding = (spanMs: number): Partial<QuotaPolicy> => ({
        window: { kind: 'sliding', spanMs },
        guardMs,
      });
      const day = { kind: 'calendar', period: 'day', zone: 'UTC' } as const;
      const rules = rulesWith([
        policy(requests, sliding(requestSpanMs)),
        policy(tokens, { name: 'tpm', unit: 'input_tokens', ...sliding(tokenSpanMs) }),
        policy(shape.day, { name: 'tpd', unit: 'input_tokens', window: day, guardMs }),
      ]);
      const under = memoryLedgerUnderTest(new ManualClock({ wallMs: BEFORE_MIDNIGHT_MS }));
      under.offsetMs = offsetMs;
      try {
        const counted = send(under, rules, shape.plans, shape);
        const of = (unit: 'requests' | 'tokens') =>
          counted.map((event) => ({ atMs: event.atMs, units: event[unit] }));
        const worst = [
          [worstWindow(of('requests'), requestSpanMs), requests],
          [worstWindow(of('tokens'), tokenSpanMs), tokens],
        ] as const;
        for (const [{ units, fromMs }, limit] of worst) {
          if (units > limit) throw new Error(`${units} of ${limit} from ${fromMs}`);
        }
        const midnightMs = BEFORE_MIDNIGHT_MS + 20 - offsetMs;
        for (const isBefore of [true, false]) {
          const inDay = counted.filter(({ atMs }) => atMs < midnightMs === isBefore);
          const sum = inDay.reduce((total, event) => total + event.tokens, 0);
          if (sum > shape.day) throw new Error(`${sum} of ${shape.day} in one day`);
        }
      } finally {
        under.close();
      }
    }),
    { numRuns: PROPERTY_RUNS * 2 },
  );
});

t.test('SQLite and the oracle agree step by step', async (t) => {
  function run(list: readonly Command[], offsetMs: number): void {
    const subjects = [memoryLedgerUnderTest, oracleUnderTest].map((open) => {
      const under = open(new ManualClock({ wallMs: BEFORE_MIDNIGHT_MS }));
      under.offsetMs = offsetMs;
      return under;
    });
    try {
      for (const [index, command] of list.entries()) {
        const [sqlite, oracle] = subjects.map((under) => runCommand(under, command, index));
        if (sqlite !== oracle) {
          throw new Error(`step ${index} ${JSON.stringify(command)}\n${sqlite}\n${oracle}`);
        }
      }
    } finally {
      for (const under of subjects) under.close();
    }
  }
  const offset = fc.integer({ min: -2, max: 2 });
  fc.assert(fc.property(commands, offset, run), { numRuns: PROPERTY_RUNS });
  t.pass();
});
