import type { ReserveOutcome } from '../../src/quota/ledger.ts';
import type { Partition } from '../../src/quota/policy.ts';
import { contract } from '../support/ledger-contract.ts';
import { call } from '../support/ledgers.ts';
import { policy, request, rulesWith, units } from '../support/quota-samples.ts';

const P: Partition = { project: 'p', model: 'm' };
const START = { cooldownMs: 500, perMinute: null, idleMs: 600_000 };

function reasons(outcome: ReserveOutcome): string[] {
  if (outcome.kind === 'blocked') return outcome.blocks.map(({ reason }) => reason);
  return [outcome.kind];
}

contract('agents start apart and one that has started is never held', (t, under) => {
  const rules = rulesWith([], { start: START });
  const at = under.nowMs();
  const reserve = (id: string, agent: string, atMs: number) =>
    call(under, (ledger) => ledger.reserve(request(id, rules, atMs, { agent })));
  t.match(reserve('a', 'amy', at), { kind: 'admitted', starts: true });
  t.match(reserve('b', 'bob', at), { blocks: [{ reason: 'startup', freeAtMs: Infinity }] });
  t.match(
    reserve('a2', 'amy', at),
    { blocks: [{ reason: 'startup', freeAtMs: Infinity }] },
    'an agent whose first call has not left yet has not started',
  );
  call(under, (ledger) => ledger.dateStart('a', at + 70));
  t.match(reserve('a2', 'amy', at + 70), { kind: 'admitted', starts: false });
  t.match(reserve('b', 'bob', at + 70), { retryAtMs: at + 670 }, 'with the way to the upstream');
  t.match(reserve('b', 'bob', at + 670), { kind: 'admitted', starts: true });
  call(under, (ledger) => ledger.release('b', at + 671));
  t.match(reserve('c', 'cid', at + 671), { kind: 'admitted' }, 'a call not sent started nobody');
  call(under, (ledger) => ledger.settle('c', { units: units(0), atMs: at + 672, sent: false }));
  t.match(reserve('c2', 'cid', at + 672), { kind: 'admitted', starts: true });
  t.match(
    call(under, (ledger) => ledger.isStarted(P, 'cid', 1_000, at + 673)),
    false,
  );
  call(under, (ledger) => ledger.settle('c2', { units: units(1), atMs: at + 674, sent: true }));
  t.match(
    call(under, (ledger) => ledger.isStarted(P, 'cid', 1_000, at + 675)),
    true,
  );
  t.match(
    call(under, (ledger) => ledger.isStarted(P, 'cid', 1_000, at + 1_674)),
    false,
  );
  t.match(
    call(under, (ledger) => ledger.windows(rules, at + 675)),
    {
      starts: 2,
      lastStartAtMs: at + 674,
    },
  );
});

contract('starts are capped per minute, and spaced by more than a minute when told', (t, under) => {
  const at = under.nowMs();
  const start = (id: string, rules: ReturnType<typeof rulesWith>, atMs: number) =>
    call(under, (ledger) => {
      const outcome = ledger.reserve(request(id, rules, atMs, { agent: id }));
      if (outcome.kind === 'admitted') ledger.dateStart(id, atMs);
      return outcome;
    });
  const capped = rulesWith([], { start: { ...START, cooldownMs: 0, perMinute: 2 } });
  start('a', capped, at);
  start('b', capped, at + 10);
  t.match(start('c', capped, at + 20), { retryAtMs: at + 60_100 });
  t.match(start('c', capped, at + 60_100), { kind: 'admitted' });
  t.match(start('d', capped, at + 60_101), { retryAtMs: at + 60_110 });
  const slow = rulesWith([], {
    partition: { project: 'p', model: 'slow' },
    start: { ...START, cooldownMs: 300_000 },
  });
  start('e', slow, at);
  t.match(start('f', slow, at + 290_000), { retryAtMs: at + 300_100 });
});

contract('no more calls run at once than allowed', (t, under) => {
  const rules = rulesWith([], { maxConcurrent: 1 });
  const at = under.nowMs();
  call(under, (ledger) => ledger.reserve(request('a', rules, at)));
  t.match(
    call(under, (ledger) => ledger.reserve(request('b', rules, at))),
    {
      blocks: [{ reason: 'concurrency', freeAtMs: Infinity }],
    },
  );
  call(under, (ledger) => ledger.settle('a', { units: units(1), atMs: at, sent: true }));
  t.match(
    call(under, (ledger) => ledger.reserve(request('b', rules, at))),
    { kind: 'admitted' },
  );
});

contract('a call passes the head only when the head is not delayed by it', (t, under) => {
  const rules = rulesWith([policy(5, { unit: 'input_tokens' })], { maxConcurrent: 4 });
  const at = under.nowMs();
  const behind = { ceiling: units(1, 4) };
  const small = (id: string, tokens: number, atMs: number) =>
    request(id, rules, atMs, { ceiling: units(1, tokens), behind });
  call(under, (ledger) => {
    ledger.reserve(request('a', rules, at, { ceiling: units(1, 2) }));
    ledger.date('a', at);
    ledger.reserve(request('b', rules, at, { ceiling: units(1, 1) }));
    ledger.date('b', at + 5);
  });
  t.match(
    call(under, (ledger) => ledger.reserve(small('c', 1, at + 6))),
    { blocks: [{ reason: 'head', freeAtMs: at + 10 }] },
    'the head fits at 10, when nobody else would',
  );
  call(under, (ledger) => ledger.settle('b', { units: units(1, 0), atMs: at + 6, sent: true }));
  t.match(
    call(under, (ledger) => ledger.reserve(small('c', 1, at + 6))),
    { kind: 'admitted' },
  );
  call(under, (ledger) => {
    ledger.release('c', at + 6);
    ledger.reserve(request('d', rules, at + 6, { ceiling: units(1, 0) }));
    ledger.reserve(request('e', rules, at + 6, { ceiling: units(1, 0) }));
  });
  t.match(
    call(under, (ledger) => ledger.reserve(small('c', 1, at + 6))),
    { kind: 'blocked' },
    'never into the last free slot but one: a, d and e run',
  );
});

contract('an older head of another process is not overtaken, a younger one is', (t, under) => {
  const rules = rulesWith([policy(3, { unit: 'input_tokens' })]);
  const at = under.nowMs();
  call(under, (ledger) => {
    ledger.reserve(request('a', rules, at, { ceiling: units(1, 1) }));
    ledger.publishHead(P, { sinceMs: at - 5, interactive: true, ceiling: units(1, 3) });
  });
  const late = request('b', rules, at, { ceiling: units(1, 1) });
  t.same(reasons(call(under, (ledger) => ledger.reserve(late), 1)), ['head']);
  t.match(
    call(under, (ledger) => ledger.reserve({ ...late, sinceMs: at - 6 }), 1),
    { kind: 'admitted' },
  );
  call(under, (ledger) => {
    ledger.release('b', at);
    ledger.publishHead(P, { sinceMs: at - 5, interactive: false, ceiling: units(1, 3) });
  });
  t.match(
    call(under, (ledger) => ledger.reserve(late), 1),
    { kind: 'admitted' },
    'a batch call holds no interactive one',
  );
  call(under, (ledger) => {
    ledger.release('b', at);
    ledger.publishHead(P, { sinceMs: at - 5, interactive: true, ceiling: units(1, 3) });
    ledger.publishHead(P, null);
  });
  t.match(
    call(under, (ledger) => ledger.reserve(late), 1),
    { kind: 'admitted' },
  );
});

contract('two names of one model are merged with everything they hold', (t, under) => {
  const from = { project: 'p', model: 'alias' };
  const rules = rulesWith([policy(9)], { start: START });
  const aliased = { ...rules, partition: from };
  const at = under.nowMs();
  call(under, (ledger) => {
    ledger.reserve(request('a', aliased, at, { agent: 'amy' }));
    ledger.dateStart('a', at);
    ledger.date('a', at + 3);
    ledger.reserve(request('a2', aliased, at, { agent: 'amy' }));
    ledger.reserve(request('b', rules, at, { agent: 'bob' }));
    ledger.date('b', at + 3);
    ledger.park(P, { kind: 'minute', untilMs: at + 50, reason: 'later' });
    ledger.park(from, { kind: 'minute', untilMs: at + 20, reason: 'earlier' });
    ledger.overrideLimit(from, 'rpm', 8, at);
    ledger.mergePartitions(from, P);
    ledger.mergePartitions(from, P);
  });
  t.match(
    call(under, (ledger) => ledger.windows(rules, at + 4)),
    {
      windows: [{ used: 3, held: 1, limit: 8 }],
      running: 3,
      cooldowns: [{ untilMs: at + 50 }],
    },
  );
  call(under, (ledger) => ledger.settle('a', { units: units(0), atMs: at + 4, sent: true }));
  t.match(
    call(under, (ledger) => ledger.windows(rules, at + 4)),
    {
      windows: [{ used: 2 }],
      running: 2,
    },
  );
  t.ok(call(under, (ledger) => ledger.isStarted(P, 'amy', 1_000, at + 5)));
  t.same(
    call(under, (ledger) => ledger.partitions()),
    [P],
  );
  t.same(
    call(
      under,
      (ledger) => {
        ledger.park(from, { kind: 'day', untilMs: at + 9, reason: 'anew' });
        return ledger.partitions();
      },
      1,
    ),
    [from, P],
    'the other process can go on using the old name',
  );
});

contract('the expected time counts everyone ahead', (t, under) => {
  const rules = rulesWith([policy(2)]);
  const at = under.nowMs();
  call(under, (ledger) => {
    for (const id of ['a', 'b']) {
      ledger.reserve(request(id, rules, at));
      ledger.date(id, at);
    }
  });
  const expected = (requests: number) =>
    (call(under, (ledger) => ledger.expectedAtMs(rules, [units(requests)], at))[0] ?? NaN) - at;
  t.same([expected(0), expected(1), expected(2), expected(3), expected(5)], [0, 10, 10, 20, 30]);
});
