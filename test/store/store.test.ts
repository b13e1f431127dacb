import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import t from 'tap';
import { ProxyError } from '../../src/errors.ts';
import { LedgerBusyError } from '../../src/quota/ledger.ts';
import { openDatabase } from '../../src/store/database.ts';
import { createProcessStore } from '../../src/store/process-store.ts';
import { createSqliteLedger } from '../../src/store/sqlite-ledger.ts';
import type { Store } from '../../src/store/store.ts';
import { openStore } from '../../src/store/store.ts';
import { call, memoryLedgerUnderTest } from '../support/ledgers.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { policy, request, rulesWith, units } from '../support/quota-samples.ts';

const P = { project: 'p', model: 'm' };
const HOUR: Parameters<typeof policy>[1] = { window: { kind: 'sliding', spanMs: 3_600_000 } };
const RULES = rulesWith([policy(9, HOUR)]);

function scratch(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'headgate-store-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  return join(directory, 'deep', 'headgate.db');
}

function open(path: string, clock: ManualClock): Store {
  return openStore({
    path,
    clock,
    eventsMs: () => 0,
    checkpoints: false,
    onError(error) {
      throw error;
    },
  });
}

function reserve(store: Store, id: string) {
  const atMs = store.timeline.nowMs();
  return store.ledger.transact(() => store.ledger.reserve(request(id, RULES, atMs)));
}

function used(store: Store): number {
  const atMs = store.timeline.nowMs();
  return store.ledger.transact(() => store.ledger.windows(RULES, atMs)).windows[0]!.used;
}

t.test('what was counted, parked, learned and set survives a restart', async (t) => {
  const path = scratch(t);
  const clock = new ManualClock();
  const first = open(path, clock);
  reserve(first, 'ended');
  reserve(first, 'running');
  const atMs = first.timeline.nowMs();
  first.ledger.transact(() => {
    first.ledger.settle('ended', { units: units(1), atMs, sent: true });
    first.ledger.park(P, { kind: 'day', untilMs: atMs + 9_000_000, reason: 'r' });
    first.ledger.learnLimit(P, 'rpm', { limit: 5, configured: 9, atMs });
  });
  const calibration = {
    model: 'm',
    client: 'c',
    ratioAverage: 1.5,
    sampleCount: 3,
    histogram: new Map([[20, 3]]),
  };
  first.learning.writeCalibration([calibration]);
  first.learning.writeAlias('latest', 'm', atMs);
  first.close();
  clock.reboot(60_000);
  const second = open(path, clock);
  const { windows, cooldowns, running } = second.ledger.transact(() =>
    second.ledger.windows(RULES, second.timeline.nowMs()),
  );
  t.match(windows, [{ used: 2, held: 0, limit: 5 }], 'the running call at its ceiling');
  t.equal(running, 0);
  t.match(cooldowns, [{ kind: 'day' }]);
  t.same(second.learning.readCalibration(), [calibration]);
  t.same([...second.learning.readAliases()], [['latest', 'm']]);
  clock.advance(3_600_000);
  t.equal(used(second), 0);
  second.close();
});

t.test(
  'a dead process is settled when its lease has run out, and wakes up as a new one',
  async (t) => {
    const path = scratch(t);
    const clocks = [new ManualClock(), new ManualClock()];
    const [dead, live] = [open(path, clocks[0]!), open(path, clocks[1]!)];
    reserve(dead, 'a');
    clocks[1]!.advance(9_000);
    t.match(live.ledger.windows(RULES, live.timeline.nowMs()), { running: 1 }, 'not before');
    clocks[1]!.advance(2_000);
    t.match(live.ledger.windows(RULES, live.timeline.nowMs()), {
      running: 0,
      windows: [{ used: 1, held: 0 }],
    });
    t.equal(live.othersLive(), false);
    clocks[0]!.advance(12_000);
    dead.ledger.transact(() => dead.ledger.release('a', dead.timeline.nowMs()));
    t.equal(used(live), 1, 'a late word of it changes nothing');
    t.match(reserve(dead, 'b'), { kind: 'admitted' });
    live.close();
    t.match(dead.ledger.windows(RULES, dead.timeline.nowMs()), { running: 1 }, 'b is its own');
    dead.close();
  },
);

t.test('no process gets the id of one that is gone', async (t) => {
  const connection = openDatabase(':memory:');
  const processes = createProcessStore(connection, 'boot');
  const first = processes.register(0);
  processes.remove(first);
  const second = processes.register(0);
  t.not(second, first);
  t.equal(processes.renew(first, 5), false, 'so the one that is gone is told so');
  connection.close();
});

t.test('a store sees what another one has committed, and its clock', async (t) => {
  const path = scratch(t);
  const clock = new ManualClock();
  const [one, two] = [open(path, clock), open(path, clock)];
  two.foreignChange();
  t.equal(two.foreignChange(), false);
  reserve(one, 'a');
  t.equal(two.foreignChange(), true);
  t.equal(two.foreignChange(), false);
  const nowMs = one.timeline.nowMs();
  one.observeDate({ dateMs: nowMs + 60_000, sentAtMs: nowMs, receivedAtMs: nowMs });
  t.equal(one.timeline.upstreamOffsetMs, 60_000);
  clock.advance(2_000);
  t.equal(two.timeline.upstreamOffsetMs, 60_000);
  t.ok(one.bytes() > 0);
  one.close();
  two.close();
});

t.test('a held database is told as busy, and nothing has happened', async (t) => {
  const path = scratch(t);
  const store = open(path, new ManualClock());
  const other = openDatabase(path);
  other.exec('BEGIN IMMEDIATE');
  let ran = false;
  t.throws(() => store.ledger.transact(() => (ran = true)), LedgerBusyError);
  t.notOk(ran);
  other.exec('ROLLBACK');
  other.close();
  t.match(reserve(store, 'a'), { kind: 'admitted' });
  store.close();
});

t.test('a partition that was rolled back is not taken for another', async (t) => {
  const under = memoryLedgerUnderTest();
  t.teardown(() => under.close());
  const atMs = under.nowMs();
  const named = (model: string) => rulesWith([policy(1)], { partition: { project: 'p', model } });
  const gone = new Error('rolled back');
  t.throws(
    () =>
      call(under, (ledger) => {
        ledger.reserve(request('a', named('a'), atMs));
        throw gone;
      }),
    gone,
  );
  t.match(
    call(under, (ledger) => ledger.reserve(request('b', named('b'), atMs))),
    {
      kind: 'admitted',
    },
  );
  t.match(
    call(under, (ledger) => ledger.reserve(request('c', named('a'), atMs))),
    { kind: 'admitted' },
    'each has room of its own',
  );
});

t.test('many events of one instant are kept apart, and leave in slices', async (t) => {
  const under = memoryLedgerUnderTest();
  t.teardown(() => under.close());
  const atMs = under.nowMs();
  const rules = rulesWith([policy(5_000)]);
  const state = (now: number) => call(under, (ledger) => ledger.windows(rules, now)).windows[0]!;
  call(under, (ledger) => {
    ledger.charge(P, units(1), atMs + 1);
    for (let event = 0; event < 2_100; event += 1) ledger.charge(P, units(1), atMs);
  });
  t.match(state(atMs), { used: 2_101 });
  const left = Array.from({ length: 6 }, () => state(atMs + 20).used);
  t.same(left, [1_601, 1_101, 601, 101, 0, 0], 'five hundred at a time');
});

t.test('old events are deleted in slices, and no window is changed by that', async (t) => {
  const path = scratch(t);
  const clock = new ManualClock();
  const store = open(path, clock);
  const atMs = store.timeline.nowMs();
  const day = rulesWith([policy(9_000, { window: { kind: 'sliding_day', zone: 'UTC' } })]);
  const usedOfDay = () =>
    store.ledger.transact(() => store.ledger.windows(day, store.timeline.nowMs())).windows[0]!.used;
  store.ledger.transact(() => {
    for (let event = 0; event < 700; event += 1) store.ledger.charge(P, units(1), atMs + event);
  });
  clock.advance(23 * 3_600_000);
  t.equal(usedOfDay(), 700, 'whatever was asked for, a day is kept');
  const connection = openDatabase(path);
  const kept = () => connection.prepare('SELECT count(*) FROM usage_event').pluck().get();
  t.equal(kept(), 700);
  clock.advance(4 * 3_600_000 + 2_000);
  t.equal(kept(), 200);
  clock.advance(2_000);
  t.equal(kept(), 0);
  t.equal(usedOfDay(), 0);
  connection.close();
  store.close();
});

t.test('a database that cannot be used is refused with what to do', async (t) => {
  const path = scratch(t);
  const connection = openDatabase(path);
  connection.pragma('user_version = 999');
  connection.close();
  const refusal = (file: string): ProxyError => {
    try {
      openDatabase(file).close();
    } catch (error) {
      if (error instanceof ProxyError) return error;
    }
    throw new Error(`${file} was opened`);
  };
  t.match(refusal(path), {
    reason: 'DATABASE_UNAVAILABLE',
    message: /written by a newer headgate \(schema 999.*Update headgate/,
    where: 'storage.path',
  });
  const text = `${path}.txt`;
  writeFileSync(text, 'no database '.repeat(100));
  t.match(refusal(text), { message: /is not a database or is damaged\. Move it away/ });
  t.match(refusal(join(text, 'below')), { reason: 'DATABASE_UNAVAILABLE', where: 'storage.path' });
});

t.test('usage is summed per day and read by any column, over any days', async (t) => {
  const store = open(':memory:', new ManualClock());
  const row = {
    day: '2026-01-15',
    project: 'p',
    model: 'm',
    agent: 'amy',
    outcome: 'ok',
    inputTokens: 10,
    outputTokens: 2,
    usdMicros: 5,
  };
  for (const more of [{}, { agent: 'bob' }, { day: '2026-01-14', model: 'n' }]) {
    store.learning.addUsage({ ...row, ...more });
  }
  t.match(store.learning.readUsage('agent'), {
    rows: [
      { key: 'amy', exchanges: 2, input_tokens: 20, output_tokens: 4, usd_micros: 10 },
      { key: 'bob', exchanges: 1 },
    ],
    total: { exchanges: 3, input_tokens: 30, output_tokens: 6, usd_micros: 15 },
  });
  const keys = (since: string | null, until: string | null) => {
    const { rows, total } = store.learning.readUsage('day', { since, until });
    return [...rows.map(({ key }) => key), total.exchanges];
  };
  t.same(keys(null, null), ['2026-01-15', '2026-01-14', 3], 'days the newest first');
  t.same(keys('2026-01-15', null), ['2026-01-15', 2]);
  t.same(keys(null, '2026-01-14'), ['2026-01-14', 1]);
  t.same(keys('2026-01-14', '2026-01-15'), ['2026-01-15', '2026-01-14', 3]);
  t.same(keys('2026-01-16', null), [0]);
  store.learning.pruneUsage('2026-01-15');
  t.match(store.learning.readUsage('day').rows, [{ key: '2026-01-15', exchanges: 2 }]);
  t.same(
    store.learning.readUsage('model').rows.map(({ key }) => key),
    ['m'],
  );
  store.close();
});

t.test('a ledger without anybody else looks at no heads', async (t) => {
  const connection = openDatabase(':memory:');
  const ledger = createSqliteLedger({
    connection,
    processId: 1,
    upstreamOffsetMs: () => 0,
    othersLive: () => false,
  });
  ledger.publishHead(P, { sinceMs: 0, interactive: true, ceiling: units(9) });
  ledger.useProcess(2);
  t.match(ledger.reserve(request('a', RULES, 1_000)), { kind: 'admitted' });
  connection.close();
});
