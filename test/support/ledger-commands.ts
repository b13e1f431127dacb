import fc from 'fast-check';
import type { Partition, QuotaRules, StartRule } from '../../src/quota/policy.ts';
import type { LedgerUnderTest } from './ledgers.ts';
import { policy, request, rulesWith, units } from './quota-samples.ts';

const MODELS = ['m', 'n'] as const;
const AGENTS = ['amy', 'bob', 'cid'] as const;
const KINDS = ['minute', 'day', 'exhausted'] as const;
const START: StartRule = { cooldownMs: 300, perMinute: 2, idleMs: 8_000 };

/** Two configurations, so that a reload in between has windows summed up anew. */
const CONFIGURATIONS: readonly ((partition: Partition) => QuotaRules)[] = [
  (partition) =>
    rulesWith(
      [
        policy(3, { window: { kind: 'sliding', spanMs: 5 }, guardMs: 1 }),
        policy(6, { name: 'tpm', unit: 'input_tokens', window: { kind: 'sliding', spanMs: 8 } }),
        policy(9, { name: 'rpd', window: { kind: 'calendar', period: 'day', zone: 'UTC' } }),
      ],
      { partition, maxConcurrent: 4 },
    ),
  (partition) =>
    rulesWith(
      [
        policy(2, { window: { kind: 'calendar', period: 'minute', zone: 'UTC' }, guardMs: 2 }),
        policy(7, { name: 'tpm', unit: 'total_tokens', window: { kind: 'sliding', spanMs: 4 } }),
        policy(8, { name: 'rpd', window: { kind: 'sliding_day', zone: 'America/Los_Angeles' } }),
        policy(5, { name: 'usd', unit: 'usd' }),
      ],
      { partition, start: START },
    ),
  (partition) => rulesWith([policy(1), policy(0, { name: 'none' })], { partition, enforce: false }),
];

const model = fc.constantFrom(...MODELS);
const back = fc.nat(12);
const process = fc.constantFrom<0 | 1>(0, 0, 0, 1);
const taken = fc.record({
  requests: fc.nat(2),
  rejected: fc.constantFrom(0, 0, 1),
  inputTokens: fc.nat(7),
  outputTokens: fc.constantFrom(0, 0, 2),
  usdMicros: fc.nat(3),
});

const command = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('reserve' as const),
      model,
      process,
      agent: fc.constantFrom(...AGENTS),
      configuration: fc.constantFrom(0, 0, 1, 1, 2),
      requests: fc.constantFrom(0, 1, 1, 1, 2),
      tokens: fc.nat(7),
      usdMicros: fc.nat(3),
      exact: fc.boolean(),
      interactive: fc.boolean(),
      waitedMs: fc.nat(4),
      behind: fc.option(fc.nat(6)),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('date' as const), back, agoMs: fc.nat(3) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('dateStart' as const), back }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('settle' as const),
      back,
      taken,
      sent: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('release' as const), back }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('advance' as const),
      ms: fc.constantFrom(1, 1, 2, 3, 5, 8, 300, 7_000, 60_000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('die' as const), process }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('charge' as const), model, taken }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('park' as const),
      model,
      kind: fc.constantFrom(...KINDS),
      ms: fc.nat(9),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('unpark' as const),
      model,
      kind: fc.option(fc.constantFrom(...KINDS)),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('learn' as const),
      model,
      limit: fc.nat(4),
      configured: fc.constantFrom(null, 2, 3),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('override' as const),
      model,
      limit: fc.option(fc.nat(4)),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reset' as const), model }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('merge' as const), model }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('publish' as const),
      model,
      process,
      tokens: fc.option(fc.nat(6)),
      interactive: fc.boolean(),
      waitedMs: fc.nat(4),
    }),
  },
);

export type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

export const commands: fc.Arbitrary<Command[]> = fc.array(command, {
  minLength: 1,
  maxLength: 60,
  size: 'max',
});

/** Does one command and tells everything that can be seen afterwards, as text to compare. */
export function runCommand(under: LedgerUnderTest, command: Command, index: number): string {
  const answer = answerTo(under, command, index);
  const ledger = under.as(0);
  const atMs = under.nowMs();
  const seen = ledger.transact(() =>
    ledger.partitions().map((partition) => ({
      partition,
      states: CONFIGURATIONS.map((rulesOf) => {
        const { windows, running, starts, lastStartAtMs } = ledger.windows(
          rulesOf(partition),
          atMs,
        );
        return { windows, running, starts, lastStartAtMs };
      }),
      cooldowns: inOrder(ledger.windows(CONFIGURATIONS[0]!(partition), atMs).cooldowns),
      started: AGENTS.map((agent) => ledger.isStarted(partition, agent, START.idleMs, atMs)),
      expected: CONFIGURATIONS.slice(0, 2).map((rulesOf) =>
        ledger.expectedAtMs(rulesOf(partition), [units(3, 4)], atMs),
      ),
    })),
  );
  const adjusted = inOrder(ledger.transact(() => ledger.adjustedLimits()));
  return JSON.stringify({ answer, seen, adjusted }, (_, value: unknown) =>
    value === Infinity ? 'never' : value,
  );
}

/** Sorted by text: the order among equals is nobody's promise. */
function inOrder(rows: readonly object[]): string[] {
  return rows
    .map((row) =>
      JSON.stringify(
        Object.fromEntries(Object.entries(row).toSorted(([a], [b]) => (a < b ? -1 : 1))),
      ),
    )
    .toSorted();
}

function answerTo(under: LedgerUnderTest, command: Command, index: number): unknown {
  const ledger = under.as('process' in command ? command.process : 0);
  const atMs = under.nowMs();
  const named = { project: 'p', model: 'model' in command ? command.model : 'm' };
  const id = 'back' in command ? `call-${index - 1 - command.back}` : `call-${index}`;
  return ledger.transact((): unknown => {
    switch (command.do) {
      case 'reserve': {
        const rules = CONFIGURATIONS[command.configuration]!(named);
        const { tokens, usdMicros, behind, waitedMs } = command;
        const outcome = ledger.reserve(
          request(id, rules, atMs, {
            agent: command.agent,
            ceiling: units(command.requests, tokens, { usdMicros }),
            exact: command.exact,
            interactive: command.interactive,
            sinceMs: atMs - waitedMs,
            behind: behind === null ? null : { ceiling: units(1, behind) },
          }),
        );
        if (outcome.kind === 'admitted') return { ...outcome, ignored: inOrder(outcome.ignored) };
        if (outcome.kind === 'blocked') return { ...outcome, blocks: inOrder(outcome.blocks) };
        return outcome;
      }
      case 'date':
        return ledger.date(id, atMs - command.agoMs);
      case 'dateStart':
        return ledger.dateStart(id, atMs);
      case 'settle':
        return ledger.settle(id, { units: command.taken, atMs, sent: command.sent });
      case 'release':
        return ledger.release(id, atMs);
      case 'advance':
        return under.clock.advance(command.ms);
      case 'die':
        return under.die(command.process);
      case 'charge':
        return ledger.charge(named, command.taken, atMs);
      case 'park':
        return ledger.park(named, {
          kind: command.kind,
          untilMs: atMs + command.ms,
          reason: `for ${command.ms}`,
        });
      case 'unpark':
        return ledger.unpark(named, command.kind);
      case 'learn':
        return ledger.learnLimit(named, 'rpm', {
          limit: command.limit,
          configured: command.configured,
          atMs,
        });
      case 'override':
        return ledger.overrideLimit(named, 'rpm', command.limit, atMs);
      case 'reset':
        return ledger.resetLimits(named);
      case 'merge':
        return ledger.mergePartitions(named, { project: 'p', model: 'n' });
      case 'publish': {
        const { tokens, interactive, waitedMs } = command;
        const sinceMs = atMs - waitedMs;
        return ledger.publishHead(
          named,
          tokens === null ? null : { sinceMs, interactive, ceiling: units(1, tokens) },
        );
      }
    }
  });
}
