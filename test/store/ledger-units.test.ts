import type { ReserveOutcome } from '../../src/quota/ledger.ts';
import type { Partition } from '../../src/quota/policy.ts';
import { contract } from '../support/ledger-contract.ts';
import { call } from '../support/ledgers.ts';
import { policy, request, rulesWith, units } from '../support/quota-samples.ts';

const P: Partition = { project: 'p', model: 'm' };

function reasons(outcome: ReserveOutcome): string[] {
  if (outcome.kind === 'blocked') return outcome.blocks.map(({ reason }) => reason);
  return [outcome.kind];
}

contract('a reservation holds its ceiling, is dated once and ages from its date', (t, under) => {
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

contract('settling replaces the ceiling where the event stands', (t, under) => {
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

contract(
  'a call is admitted only when every policy has room, and takes all or nothing',
  (t, under) => {
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
  },
);

contract(
  'released units are back at once and a dead process is settled at its ceilings',
  (t, under) => {
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
  },
);

contract('a rejected request stays in the minute and is given back to the day', (t, under) => {
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

contract('output is charged by an event of its own when the answer ends', (t, under) => {
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

contract('only an exact count is refused as larger than its limit', (t, under) => {
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

contract('a call that takes nothing of a policy is not held by it', (t, under) => {
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

contract('a parked partition admits nothing until the latest cooldown ends', (t, under) => {
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

contract('limits are learned under the configured one, overridden and reset', (t, under) => {
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

contract('in shadow mode everything passes and what would have held it is told', (t, under) => {
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
