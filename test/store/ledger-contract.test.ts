import type { Test } from 'tap';
import t from 'tap';
import type { LedgerStore, ReserveOutcome } from '../../src/quota/ledger.ts';
import type { Partition } from '../../src/quota/policy.ts';
import type { LedgerUnderTest } from '../support/ledgers.ts';
import { fileLedgerUnderTest, memoryLedgerUnderTest, oracleUnderTest } from '../support/ledgers.ts';
import { policy, request, rulesWith, units } from '../support/quota-samples.ts';

const P: Partition = { project: 'p', model: 'm' };
const START = { cooldownMs: 500, perMinute: null, idleMs: 600_000 };

function reasons(outcome: ReserveOutcome): string[] {
  if (outcome.kind === 'blocked') return outcome.blocks.map(({ reason }) => reason);
  return [outcome.kind];
}

/** What every ledger promises, whatever keeps it. */
function contract(name: string, open: () => LedgerUnderTest): void {
  function test(title: string, run: (t: Test, under: LedgerUnderTest) => void): void {
    t.test(`${name}: ${title}`, async (t) => {
      const under = open();
      t.teardown(() => under.close());
      run(t, under);
    });
  }

  function call<T>(
    under: LedgerUnderTest,
    work: (ledger: LedgerStore) => T,
    process: 0 | 1 = 0,
  ): T {
    const ledger = under.as(process);
    return ledger.transact(() => work(ledger));
  }

  test('a reservation holds its ceiling, is dated once and ages from its date', (t, under) => {
    const rules = rulesWith([policy(10, { unit: 'input_tokens', guardMs: 2 })]);
    const at = under.nowMs();
    const first = request('a', rules, at, { ceiling: units(1, 8) });
    t.match(
      call(under, (ledger) => ledger.reserve(first)),
      { kind: 'admitted', windows: [{ used: 8, held: 8, nextFreeAtMs: null }] },
    );
    const second = request('b', rules, at, { ceiling: units(1, 3) });
    t.match(
      call(under, (ledger) => ledger.reserve({ ...second, atMs: at + 1_000 })),
      { kind: 'blocked', retryAtMs: Infinity, blocks: [{ needs: 3 }] },
      'held units never leave',
    );
    call(under, (ledger) => {
      ledger.date('a', at + 5);
      ledger.date('a', at + 9);
    });
    t.match(
      call(under, (ledger) => ledger.reserve({ ...second, atMs: at + 9 })),
      { kind: 'blocked', retryAtMs: at + 17 },
      'only the first date counts',
    );
    t.match(
      call(under, (ledger) => ledger.reserve({ ...second, atMs: at + 16 })),
      {
        kind: 'blocked',
      },
    );
    t.match(
      call(under, (ledger) => ledger.reserve({ ...second, atMs: at + 17 })),
      {
        kind: 'admitted',
      },
    );
  });

  test('settling replaces the ceiling where the event stands', (t, under) => {
    const rules = rulesWith([policy(10, { unit: 'input_tokens' })]);
    const at = under.nowMs();
    call(under, (ledger) => {
      ledger.reserve(request('a', rules, at, { ceiling: units(1, 10) }));
      ledger.date('a', at);
      ledger.settle('a', { units: units(1, 4), atMs: at + 3, sent: true });
      ledger.settle('a', { units: units(1, 9), atMs: at + 3, sent: true });
    });
    t.match(
      call(under, (ledger) => ledger.windows(rules, at + 4)),
      { windows: [{ used: 4, held: 0, nextFreeAtMs: at + 10 }], running: 0 },
      'and once only',
    );
    call(under, (ledger) => {
      ledger.reserve(request('b', rules, at + 4, { ceiling: units(1, 2) }));
      ledger.settle('b', { units: units(1, 5), atMs: at + 6, sent: true });
    });
    t.match(call(under, (ledger) => ledger.windows(rules, at + 6)).windows, [{ used: 9 }]);
    t.match(
      call(under, (ledger) => ledger.windows(rules, at + 10)).windows,
      [{ used: 5, nextFreeAtMs: at + 16 }],
      'an undated one is dated when it is settled',
    );
  });

  test('a call is admitted only when every policy has room, and takes all or nothing', (t, under) => {
    const rules = rulesWith([policy(5), policy(3, { name: 'tpm', unit: 'input_tokens' })]);
    const at = under.nowMs();
    const big = request('a', rules, at, { ceiling: units(1, 3) });
    call(under, (ledger) => ledger.reserve(big));
    t.same(
      reasons(
        call(under, (ledger) => ledger.reserve(request('b', rules, at, { ceiling: units(1, 1) }))),
      ),
      ['quota'],
    );
    t.match(
      call(under, (ledger) => ledger.windows(rules, at)),
      {
        windows: [{ used: 1 }, { used: 3 }],
        running: 1,
      },
    );
  });

  test('released units are back at once and a dead process is settled at its ceilings', (t, under) => {
    const rules = rulesWith([
      policy(9, { unit: 'input_tokens', window: { kind: 'sliding', spanMs: 60_000 } }),
    ]);
    const at = under.nowMs();
    call(under, (ledger) => {
      ledger.reserve(request('a', rules, at, { ceiling: units(1, 4) }));
      ledger.reserve(request('b', rules, at, { ceiling: units(1, 5) }));
      ledger.release('b', at);
    });
    t.match(
      call(under, (ledger) => ledger.windows(rules, at)),
      {
        windows: [{ used: 4 }],
        running: 1,
      },
    );
    under.die(0);
    call(
      under,
      (ledger) => {
        ledger.settle('a', { units: units(1, 1), atMs: at + 1, sent: true });
        ledger.release('a', at + 1);
        ledger.date('a', at + 1);
      },
      1,
    );
    t.match(
      call(under, (ledger) => ledger.windows(rules, at + 1), 1),
      { windows: [{ used: 4, held: 0 }], running: 0 },
      'and a late settle does nothing',
    );
  });

  test('a rejected request stays in the minute and is given back to the day', (t, under) => {
    const minute = policy(5, { window: { kind: 'sliding', spanMs: 60_000 } });
    const day = policy(5, { name: 'rpd', window: { kind: 'sliding_day', zone: 'UTC' } });
    const rules = rulesWith([minute, day]);
    const at = under.nowMs();
    call(under, (ledger) => {
      ledger.reserve(request('a', rules, at));
      ledger.settle('a', { units: units(0, 0, { rejected: 1 }), atMs: at, sent: true });
    });
    t.match(call(under, (ledger) => ledger.windows(rules, at)).windows, [{ used: 1 }, { used: 0 }]);
  });

  test('output is charged by an event of its own when the answer ends', (t, under) => {
    const rules = rulesWith([policy(9, { unit: 'total_tokens' })]);
    const at = under.nowMs();
    call(under, (ledger) => {
      ledger.reserve(request('a', rules, at, { ceiling: units(1, 2) }));
      ledger.date('a', at);
      ledger.settle('a', { units: units(1, 2), atMs: at + 8, sent: true });
      ledger.charge(P, units(0, 0, { outputTokens: 5 }), at + 8);
    });
    t.match(call(under, (ledger) => ledger.windows(rules, at + 9)).windows, [{ used: 7 }]);
    t.match(call(under, (ledger) => ledger.windows(rules, at + 17)).windows, [{ used: 5 }]);
  });

  test('only an exact count is refused as larger than its limit', (t, under) => {
    const rules = rulesWith([policy(10, { unit: 'input_tokens' })]);
    const at = under.nowMs();
    const big = request('a', rules, at, { ceiling: units(1, 11) });
    t.match(
      call(under, (ledger) => ledger.reserve(big)),
      {
        kind: 'too_large',
        needs: 11,
        state: { limit: 10 },
      },
    );
    const estimated = { ...big, exact: false };
    t.match(
      call(under, (ledger) => ledger.reserve(estimated)),
      { kind: 'admitted' },
    );
    t.match(
      call(under, (ledger) => ledger.reserve({ ...estimated, reservationId: 'b' })),
      { kind: 'blocked', blocks: [{ needs: 10 }] },
      'an estimate waits for an empty window',
    );
    const closed = rulesWith([policy(0)], { partition: { project: 'p', model: 'zero' } });
    t.match(
      call(under, (ledger) => ledger.reserve(request('c', closed, at))),
      {
        kind: 'too_large',
        state: { limit: 0 },
      },
    );
  });

  test('a call that takes nothing of a policy is not held by it', (t, under) => {
    const rules = rulesWith([policy(1), policy(5, { name: 'tpm', unit: 'input_tokens' })]);
    const at = under.nowMs();
    call(under, (ledger) => {
      ledger.reserve(request('a', rules, at, { ceiling: units(0, 5) }));
      ledger.overrideLimit(P, 'tpm', 2, at);
    });
    t.match(
      call(under, (ledger) => ledger.reserve(request('b', rules, at))),
      { kind: 'admitted' },
    );
  });

  test('a parked partition admits nothing until the latest cooldown ends', (t, under) => {
    const rules = rulesWith([policy(5)]);
    const at = under.nowMs();
    call(under, (ledger) => {
      ledger.park(P, { kind: 'minute', untilMs: at + 50, reason: 'a' });
      ledger.park(P, { kind: 'minute', untilMs: at + 20, reason: 'b' });
      ledger.park(P, { kind: 'day', untilMs: at + 30, reason: 'c' });
    });
    t.match(
      call(under, (ledger) => ledger.reserve(request('a', rules, at + 29))),
      {
        kind: 'blocked',
        retryAtMs: at + 50,
        blocks: [{ cooldown: { kind: 'minute', reason: 'a' } }, { cooldown: { kind: 'day' } }],
      },
    );
    call(under, (ledger) => ledger.unpark(P, 'minute'));
    t.match(
      call(under, (ledger) => ledger.reserve(request('a', rules, at + 29))),
      {
        kind: 'blocked',
        retryAtMs: at + 30,
      },
    );
    t.match(
      call(under, (ledger) => ledger.reserve(request('a', rules, at + 30))),
      {
        kind: 'admitted',
      },
    );
    call(under, (ledger) => {
      ledger.park(P, { kind: 'day', untilMs: at + 90, reason: 'd' });
      ledger.unpark(P, null);
    });
    t.same(call(under, (ledger) => ledger.windows(rules, at + 31)).cooldowns, []);
  });

  test('limits are learned under the configured one, overridden and reset', (t, under) => {
    const rules = rulesWith([policy(5)]);
    const at = under.nowMs();
    const inForce = () => {
      const [state] = call(under, (ledger) => ledger.windows(rules, at)).windows;
      return [state!.limit, state!.limitSource];
    };
    const learn = (limit: number, configured: number) =>
      call(under, (ledger) => ledger.learnLimit(P, 'rpm', { limit, configured, atMs: at }));
    t.same([learn(0, 5), learn(5, 5), learn(3, 5), learn(3, 5)], [false, false, true, false]);
    t.same(inForce(), [3, 'learned']);
    call(under, (ledger) => ledger.overrideLimit(P, 'rpm', 7, at + 1));
    t.same(inForce(), [7, 'override']);
    t.same(
      call(under, (ledger) => ledger.adjustedLimits()),
      [
        {
          partition: P,
          policy: 'rpm',
          learned: 3,
          learnedUnder: 5,
          learnedAtMs: at,
          override: 7,
          overrideAtMs: at + 1,
        },
      ],
    );
    call(under, (ledger) => ledger.overrideLimit(P, 'rpm', null, at));
    t.same(inForce(), [3, 'learned']);
    t.match(
      call(under, (ledger) => ledger.windows(rulesWith([policy(6)]), at)).windows,
      [{ limit: 6, limitSource: 'configured' }],
      'a changed configuration drops what was learned',
    );
    call(under, (ledger) => ledger.resetLimits(P));
    t.same(inForce(), [5, 'configured']);
    t.same(
      call(under, (ledger) => ledger.adjustedLimits()),
      [],
    );
  });

  test('agents start apart and one that has started is never held', (t, under) => {
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

  test('starts are capped per minute, and spaced by more than a minute when told', (t, under) => {
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

  test('no more calls run at once than allowed', (t, under) => {
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

  test('a call passes the head only when the head is not delayed by it', (t, under) => {
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

  test('an older head of another process is not overtaken, a younger one is', (t, under) => {
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

  test('in shadow mode everything passes and what would have held it is told', (t, under) => {
    const rules = rulesWith([policy(1)], { enforce: false });
    const at = under.nowMs();
    call(under, (ledger) => ledger.reserve(request('a', rules, at)));
    t.match(
      call(under, (ledger) => ledger.reserve(request('b', rules, at))),
      {
        kind: 'admitted',
        windows: [{ used: 2 }],
        ignored: [{ reason: 'quota' }],
      },
    );
  });

  test('two names of one model are merged with everything they hold', (t, under) => {
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

  test('the expected time counts everyone ahead', (t, under) => {
    const rules = rulesWith([policy(2)]);
    const at = under.nowMs();
    call(under, (ledger) => {
      for (const id of ['a', 'b']) {
        ledger.reserve(request(id, rules, at));
        ledger.date(id, at);
      }
    });
    const expected = (requests: number) =>
      call(under, (ledger) => ledger.expectedAtMs(rules, units(requests), at)) - at;
    t.same([expected(0), expected(1), expected(2), expected(3), expected(5)], [0, 10, 10, 20, 30]);
  });
}

contract('the oracle', oracleUnderTest);
contract('SQLite in memory', memoryLedgerUnderTest);
contract('SQLite on a file', fileLedgerUnderTest);
