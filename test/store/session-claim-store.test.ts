import { join } from 'node:path';
import t from 'tap';
import { CLAIM_MS } from '../../src/sessions/writing/claims.ts';
import { openDatabase } from '../../src/store/database.ts';
import { createSessionClaimStore } from '../../src/store/session-claim-store.ts';
import { createSessionIntentStore } from '../../src/store/session-intent-store.ts';
import { ManualClock } from '../support/manual-clock.ts';

t.test('one holder at a time has a log, and others have other logs', async (t) => {
  const claims = createSessionClaimStore(openDatabase(':memory:'), new ManualClock());
  t.equal(claims.acquire('/log', 'a'), true);
  t.equal(claims.acquire('/log', 'b'), false);
  t.equal(claims.acquire('/log', 'a'), true, 'whoever has it has it');
  t.equal(claims.acquire('/other', 'b'), true);
  claims.release('/log', 'b');
  t.equal(claims.acquire('/log', 'b'), false, 'only the holder gives it back');
  claims.release('/log', 'a');
  t.equal(claims.acquire('/log', 'b'), true);
});

t.test(
  'a claim lives as long as it is renewed, and is lost to the next one after that',
  async (t) => {
    const clock = new ManualClock();
    const claims = createSessionClaimStore(openDatabase(':memory:'), clock);
    claims.acquire('/log', 'a');
    clock.advance(CLAIM_MS - 1);
    t.equal(claims.acquire('/log', 'b'), false);
    t.equal(claims.renew('/log', 'a'), true);
    clock.advance(CLAIM_MS - 1);
    t.equal(claims.acquire('/log', 'b'), false, 'counted from the renewal');
    clock.advance(1);
    t.equal(claims.acquire('/log', 'b'), true);
    t.equal(claims.renew('/log', 'a'), false, 'the old holder is told');
    claims.release('/log', 'a');
    t.equal(claims.acquire('/log', 'c'), false, 'and takes nothing from the new one');
  },
);

t.test('a claim from the future, after the clock was set back, is no obstacle', async (t) => {
  const clock = new ManualClock();
  const claims = createSessionClaimStore(openDatabase(':memory:'), clock);
  claims.acquire('/log', 'a');
  clock.stepWall(-3_600_000);
  t.equal(claims.acquire('/log', 'b'), true);
});

t.test('processes on one database see the claims and intents of each other', async (t) => {
  const path = join(t.testdir(), 'headgate.db');
  const clock = new ManualClock();
  const [one, other] = [openDatabase(path), openDatabase(path)];
  t.equal(createSessionClaimStore(one, clock).acquire('/log', 'a'), true);
  t.equal(createSessionClaimStore(other, clock).acquire('/log', 'b'), false);
  const moves = [{ from: '/log/.headgate-1', to: '/log/turn_1' }];
  createSessionIntentStore(one, clock).prepare({ id: '1', log: '/log', moves });
  const seen = createSessionIntentStore(other, clock);
  t.strictSame(seen.of('/log'), [{ id: '1', log: '/log', state: 'prepared', moves }]);
  t.strictSame([seen.has('/log'), seen.has('/other')], [true, false]);
  one.close();
  other.close();
});

t.test('an intent is decided once, and not when somebody undoes it', async (t) => {
  const clock = new ManualClock();
  const intents = createSessionIntentStore(openDatabase(':memory:'), clock);
  const states = (): string[] => intents.of('/log').map(({ id, state }) => `${id} ${state}`);
  intents.prepare({ id: 'b', log: '/log', moves: [] });
  clock.advance(1);
  intents.prepare({ id: 'a', log: '/log', moves: [] });
  t.strictSame(states(), ['b prepared', 'a prepared'], 'oldest first');
  intents.undo('a');
  t.equal(intents.decide('a'), false);
  t.equal(intents.decide('b'), true);
  t.equal(intents.decide('b'), false);
  t.equal(intents.decide('gone'), false);
  t.strictSame(states(), ['b decided', 'a undone']);
  intents.remove('a');
  intents.remove('b');
  t.equal(intents.has('/log'), false);
});

t.test('a damaged list of moves moves nothing', async (t) => {
  const connection = openDatabase(':memory:');
  const intents = createSessionIntentStore(connection, new ManualClock());
  intents.prepare({ id: 'a', log: '/log', moves: [{ from: '/a', to: '/b' }] });
  for (const damaged of ['{', 'null', '[1, null, {"from": "/x"}, {"from": 1, "to": "/y"}]']) {
    connection.prepare('UPDATE session_intent SET moves = ?').run(damaged);
    t.strictSame(intents.of('/log')[0]?.moves, []);
  }
});

t.test('a write waits for the lock and then says what is wrong', async (t) => {
  const path = join(t.testdir(), 'headgate.db');
  const [one, other] = [openDatabase(path), openDatabase(path)];
  const claims = createSessionClaimStore(other, new ManualClock());
  one.exec('BEGIN IMMEDIATE');
  t.throws(() => claims.acquire('/log', 'a'), { message: /is locked by another program/ });
  one.exec('COMMIT');
  t.equal(claims.acquire('/log', 'a'), true);
  t.equal(other.pragma('busy_timeout', { simple: true }), 4, 'the short wait is back in force');
  t.equal(other.pragma('synchronous', { simple: true }), 1);
  one.close();
  other.close();
});
