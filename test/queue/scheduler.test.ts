import t from 'tap';
import type { Test } from 'tap';
import { ProxyError } from '../../src/errors.ts';
import type { QuotaPolicy, QuotaRules } from '../../src/quota/policy.ts';
import { LedgerBusyError } from '../../src/quota/ledger.ts';
import type { LedgerUnderTest } from '../support/ledgers.ts';
import { memoryLedgerUnderTest, oracleUnderTest } from '../support/ledgers.ts';
import { policy, request, rulesWith, units } from '../support/quota-samples.ts';
import { WaitingRoom } from '../support/waiting-room.ts';

const TEN_S: Partial<QuotaPolicy> = { window: { kind: 'sliding', spanMs: 10_000 } };

interface Place {
  readonly under: LedgerUnderTest;
  readonly room: WaitingRoom;
  /** Takes quota without the queue, dated now. */
  readonly fill: (id: string, tokens?: number) => void;
}

function place(t: Test, rules: QuotaRules, open = oracleUnderTest): Place {
  const under = open();
  t.teardown(() => under.close());
  const room = new WaitingRoom(under, (_, model) =>
    model === 'm' ? rules : { ...rules, partition: { project: 'p', model } },
  );
  const fill = (id: string, tokens = 0): void => {
    const ledger = under.as(0);
    ledger.transact(() => {
      ledger.reserve(request(id, rules, under.nowMs(), { ceiling: units(1, tokens) }));
      ledger.date(id, under.nowMs());
      ledger.settle(id, { units: units(1, tokens), atMs: under.nowMs(), sent: true });
    });
  };
  return { under, room, fill };
}

function reasonOf(room: WaitingRoom, id: string): string | undefined {
  return room.ends.find((end) => end.id === id)?.error?.reason;
}

t.test('a waiter is admitted at the first instant at which there is room', async (t) => {
  const { room, under, fill } = place(t, rulesWith([policy(1, TEN_S)]));
  fill('first');
  const atMs = under.nowMs();
  room.enqueue();
  room.settle();
  t.equal(room.scheduler.waiting, 1);
  t.equal(under.clock.nextTimerAtMs, under.clock.monotonicMs() + 2_000, 'the long wait is told');
  under.clock.advance(20_000);
  t.match(room.ends, [{ kind: 'admitted', atMs: atMs + 10_000 }]);
  t.equal(under.clock.pendingTimers, 0, 'and nothing is left running');
});

t.test('a wait past two seconds is told once, with position, time and reason', async (t) => {
  const { room, under, fill } = place(t, rulesWith([policy(1, TEN_S)]));
  fill('first');
  const atMs = under.nowMs();
  room.enqueue();
  room.enqueue({ agent: 'bob' });
  room.settle();
  under.clock.advance(9_000);
  t.match(
    room.longWaits.map(({ position, expectedAtMs }) => [position, expectedAtMs - atMs]),
    [
      [1, 10_000],
      [2, 20_000],
    ],
  );
  t.equal(room.longWaits[0]!.reason, 'requests per 10 s: needs 1, 1 of 1 used');
});

t.test(
  'every call is tried once, however many wait, so that all know what they wait for',
  async (t) => {
    const { room, under, fill } = place(t, rulesWith([policy(1, TEN_S)]));
    fill('first');
    for (let index = 0; index < 60; index += 1) {
      room.enqueue({ agent: `agent-${index}` });
      if (index === 58) {
        const states = under.as(0).transact(() => room.scheduler.states());
        t.equal(states.at(-1)?.reason, '58 calls ahead of it', 'before its first attempt');
      }
      room.settle();
    }
    const states = under.as(0).transact(() => room.scheduler.states());
    t.equal(states.length, 60);
    t.strictSame(
      [...new Set(states.map(({ reason }) => reason))],
      ['requests per 10 s: needs 1, 1 of 1 used'],
    );
    const hopeless = room.enqueue({ agent: 'last', units: units(2), ceiling: units(2) });
    room.settle();
    t.equal(reasonOf(room, hopeless.id), 'CALL_LARGER_THAN_LIMIT', 'and is told at once');
  },
);

t.test(
  'a full queue refuses by depth, by agent and by bytes, but not who had a place',
  async (t) => {
    const { room } = place(t, rulesWith([policy(0, { unit: 'usd' })], { maxConcurrent: 0 }));
    room.bounds = { depthMax: 3, depthPerAgentMax: 2, bytesMax: 100 };
    const refusals = (more: Parameters<WaitingRoom['ticket']>[0]) =>
      reasonOf(room, room.enqueue(more).id);
    t.equal(refusals({ heldBytes: 500 }), undefined, 'a single call is let in alone');
    t.equal(refusals({ heldBytes: 1, agent: 'bob' }), 'QUEUE_FULL_BYTES');
    room.bounds = { ...room.bounds, bytesMax: 1_000 };
    t.equal(refusals({}), undefined);
    t.equal(refusals({}), 'QUEUE_FULL_AGENT');
    t.equal(refusals({ agent: 'bob' }), undefined);
    t.equal(refusals({ agent: 'cid' }), 'QUEUE_FULL');
    t.equal(refusals({ agent: 'cid', urgent: true }), undefined);
    t.equal(room.scheduler.waiting, 4);
  },
);

t.test('a refusal says what holds the call, for how long, and whose quota it is', async (t) => {
  const day: Partial<QuotaPolicy> = {
    name: 'rpd',
    window: { kind: 'sliding', spanMs: 86_400_000 },
  };
  const rules = rulesWith([policy(2, TEN_S), policy(2, day)]);
  const { room, under, fill } = place(t, rules);
  fill('a');
  fill('b');
  const hopeless = room.enqueue({ deadlineMs: under.nowMs() + 20_000 });
  room.settle();
  t.match(room.ends.find(({ id }) => id === hopeless.id)?.error, {
    reason: 'QUOTA_DAY',
    retryAfterMs: 86_400_000,
    quota: { policy: 'rpd', limit: 2, model: 'm' },
  });
  const large = room.enqueue({ ceiling: units(3) });
  room.settle();
  t.equal(reasonOf(room, large.id), 'CALL_LARGER_THAN_LIMIT');
  under
    .as(0)
    .park(rules.partition, { kind: 'exhausted', untilMs: under.nowMs() + 500, reason: 'r' });
  const parked = room.enqueue({ deadlineMs: under.nowMs() + 400, requestedModel: 'm' });
  room.settle();
  t.equal(reasonOf(room, parked.id), 'QUOTA_DAY', 'the longest of all reasons');
  const late = place(t, rulesWith([policy(1, TEN_S)], { maxConcurrent: 1 }));
  late.under.as(0).reserve(request('runs', rulesWith([]), late.under.nowMs()));
  const waits = late.room.enqueue({ deadlineMs: late.under.nowMs() + 3_000 });
  late.room.settle();
  late.under.clock.advance(3_000);
  t.equal(reasonOf(late.room, waits.id), 'CONCURRENCY', 'refused at its deadline');
});

t.test('calls are taken out by hand, by leaving and at the end, once each', async (t) => {
  const { room } = place(t, rulesWith([], { maxConcurrent: 0 }));
  const [one, two] = [room.enqueue(), room.enqueue(), room.enqueue()];
  t.equal(room.scheduler.cancel(one.id), true);
  t.equal(room.scheduler.cancel(one.id), false);
  t.equal(room.leave(two), true);
  t.equal(room.leave(two), false);
  room.scheduler.stop(new ProxyError('DRAINING', 'stopping'));
  const late = room.enqueue();
  t.equal(reasonOf(room, late.id), 'DRAINING');
  t.same(
    room.ends.map(({ kind, error }) => [kind, error?.reason]),
    [
      ['refused', 'CANCELLED'],
      ['left', undefined],
      ['refused', 'DRAINING'],
      ['refused', 'DRAINING'],
    ],
  );
});

t.test('a call that the upstream rejected goes first, whoever waits', async (t) => {
  const { room, under, fill } = place(t, rulesWith([policy(1, TEN_S)]));
  fill('first');
  const plain = room.enqueue({ agent: 'bob' });
  const again = room.enqueue({ urgent: true });
  room.settle();
  under.clock.advance(10_000);
  t.same(room.admitted(), [again.id]);
  t.equal(room.scheduler.states()[0]?.ticket, plain);
});

t.test('who waits for its start claims no room before others', async (t) => {
  const start = { cooldownMs: 60_000, perMinute: null, idleMs: 600_000 };
  const { room, under } = place(t, rulesWith([policy(2, TEN_S)], { start }));
  const ledger = under.as(0);
  const first = room.enqueue({ agent: 'amy' });
  room.settle();
  ledger.dateStart(first.id, under.nowMs());
  const bob = room.enqueue({ agent: 'bob' });
  room.settle();
  const second = room.enqueue({ agent: 'amy' });
  room.settle();
  t.same(room.admitted(), [first.id, second.id]);
  for (const { id } of [first, second]) {
    ledger.settle(id, { units: units(1), atMs: under.nowMs(), sent: true });
  }
  under.clock.advance(60_100);
  t.same(room.admitted(), [first.id, second.id, bob.id]);
});

t.test('a new configuration matches every waiting call anew', async (t) => {
  const tight = rulesWith([policy(0, { unit: 'usd' })], { maxConcurrent: 0 });
  let rules = tight;
  const under = oracleUnderTest();
  t.teardown(() => under.close());
  const room = new WaitingRoom(under, () => rules);
  const [one, two] = [room.enqueue(), room.enqueue({ agent: 'bob' })];
  room.settle();
  t.same(room.admitted(), []);
  rules = { ...rules, partition: { project: 'p', model: 'other' }, maxConcurrent: null };
  room.scheduler.rematch();
  room.settle();
  t.same(room.admitted(), [one.id, two.id]);
  t.match(under.as(0).windows(rules, under.nowMs()), { running: 2 });
  t.match(under.as(0).windows(tight, under.nowMs()), { running: 0 });
});

t.test('the next few in line are counted exactly, once, while tokens hold them', async (t) => {
  const rules = rulesWith([policy(100, { unit: 'input_tokens', ...TEN_S })]);
  const { room, fill } = place(t, rules);
  fill('first', 60);
  let asked = 0;
  const countTokens = (tokens: number | null) => () => {
    asked += 1;
    return Promise.resolve(tokens);
  };
  const estimate = { exact: false, ceiling: units(1, 90), units: units(1, 50) };
  const small = room.enqueue({ ...estimate, countTokens: countTokens(30) });
  const failing = room.enqueue({ ...estimate, agent: 'bob', countTokens: countTokens(null) });
  room.settle();
  t.same(room.admitted(), []);
  await Promise.resolve().then(() => Promise.resolve());
  room.settle();
  t.same(room.admitted(), [small.id], 'the exact count fits');
  t.match(failing, { exact: false, ceiling: { inputTokens: 90 } }, 'else the ceiling stands');
  room.settle();
  t.equal(asked, 2);
});

t.test('a held database is tried again, and a failing one refuses who was next', async (t) => {
  const rules = rulesWith([policy(5)]);
  const { room, under } = place(t, rules, memoryLedgerUnderTest);
  const ledger = under.as(0);
  const { transact } = ledger;
  let fault: Error | null = new LedgerBusyError('held');
  ledger.transact = (work) => {
    if (fault instanceof LedgerBusyError) throw fault;
    return transact.call(ledger, () => {
      const result = work();
      if (fault !== null) throw fault;
      return result;
    }) as ReturnType<typeof work>;
  };
  const first = room.enqueue();
  room.settle();
  fault = null;
  under.clock.advance(3);
  t.same(room.admitted(), [first.id]);
  fault = new Error('disk full');
  const [second, third] = [room.enqueue(), room.enqueue({ agent: 'bob' })];
  let written = 0;
  room.scheduler.write(rules.partition, () => (written += 1));
  room.settle();
  t.same(
    [second, third].map(({ id }) => reasonOf(room, id)),
    ['DATABASE_UNAVAILABLE', 'DATABASE_UNAVAILABLE'],
  );
  t.match(room.errors, [fault]);
  fault = null;
  written = 0;
  under.clock.advance(500);
  t.equal(written, 1, 'what was to be written is not lost');
  t.match(under.as(0).windows(rules, under.nowMs()), { running: 1 }, 'nor is anything left behind');
});

t.test('who waits behind a failed round is tried again', async (t) => {
  const rules = rulesWith([policy(1, TEN_S)]);
  const { room, under, fill } = place(t, rules, memoryLedgerUnderTest);
  fill('first');
  room.enqueue();
  room.settle();
  const ledger = under.as(0);
  const { transact } = ledger;
  ledger.transact = () => {
    throw new Error('disk full');
  };
  under.clock.advance(10_000);
  ledger.transact = transact;
  under.clock.advance(500);
  t.equal(room.admitted().length, 1);
});

t.test(
  'a deadline holds while the database fails, and errors are told at a bearable pace',
  async (t) => {
    const rules = rulesWith([policy(1, TEN_S)]);
    for (const fault of [new Error('disk full'), new LedgerBusyError('held')]) {
      const { room, under, fill } = place(t, rules, memoryLedgerUnderTest);
      fill('first');
      const ticket = room.enqueue({ deadlineMs: under.nowMs() + 10_500 });
      room.settle();
      under.as(0).transact = () => {
        throw fault;
      };
      room.pass(10_600, 100);
      t.match(room.ends, [{ id: ticket.id, kind: 'refused', error: { reason: 'QUOTA_MINUTE' } }]);
      t.ok(room.errors.length < 60, `${room.errors.length} errors in ten seconds`);
    }
  },
);

t.test('room that another process has made is seen', async (t) => {
  const rules = rulesWith([], { maxConcurrent: 1 });
  const { room, under } = place(t, rules);
  under.as(1).reserve(request('theirs', rules, under.nowMs()));
  under.as(0);
  room.othersLive = true;
  room.enqueue();
  room.settle();
  under.clock.advance(49);
  under.as(0).release('theirs', under.nowMs());
  under.clock.advance(1);
  t.same(room.admitted(), [], 'nothing was told');
  room.foreignChange = true;
  under.clock.advance(50);
  t.equal(room.admitted().length, 1);
});

t.test('other processes hear of the head, and that it is gone', async (t) => {
  const rules = rulesWith([policy(100, { unit: 'input_tokens', ...TEN_S })]);
  const { room, under, fill } = place(t, rules, memoryLedgerUnderTest);
  fill('first', 60);
  let tokens: (value: number) => void = () => undefined;
  const countTokens = () => new Promise<number>((resolve) => (tokens = resolve));
  room.enqueue({ exact: false, ceiling: units(1, 90), units: units(1, 90), countTokens });
  room.settle();
  under.clock.advance(5);
  const theirs = (id: string) =>
    under.as(1).reserve(request(id, rules, under.nowMs(), { ceiling: units(1, 20) })).kind;
  t.equal(theirs('x'), 'blocked');
  tokens(30);
  await Promise.resolve().then(() => Promise.resolve());
  room.settle();
  t.equal(room.admitted().length, 1, 'it was counted, and went');
  under.as(0).release('call-1', under.nowMs());
  t.equal(theirs('y'), 'admitted', 'and holds nobody any more');
});
