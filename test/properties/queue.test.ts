import fc from 'fast-check';
import t from 'tap';
import { ProxyError } from '../../src/errors.ts';
import type { QuotaRules } from '../../src/quota/policy.ts';
import type { Ticket } from '../../src/queue/ticket.ts';
import { memoryLedgerUnderTest, oracleUnderTest } from '../support/ledgers.ts';
import { policy, rulesWith, units } from '../support/quota-samples.ts';
import { PROPERTY_RUNS } from '../support/runs.ts';
import { WaitingRoom } from '../support/waiting-room.ts';

const AGENTS = ['amy', 'bob', 'cid', 'dan'] as const;
const agent = fc.constantFrom(...AGENTS);
const LEDGERS = fc.constantFrom(oracleUnderTest, memoryLedgerUnderTest);

/** Settles admitted calls after a while, at what they had reserved. */
function settleAfter(room: WaitingRoom, under: ReturnType<typeof oracleUnderTest>, ms: number) {
  const ledger = under.as(0);
  return (ticket: Pick<Ticket, 'id' | 'ceiling'>, rules: QuotaRules) => {
    const { id, ceiling } = ticket;
    room.scheduler.write(rules.partition, () => {
      ledger.dateStart(id, under.nowMs());
      ledger.date(id, under.nowMs());
    });
    under.clock.after(ms, () =>
      room.scheduler.write(rules.partition, () =>
        ledger.settle(id, { units: ceiling, atMs: under.nowMs(), sent: true }),
      ),
    );
  };
}

t.test('every waiter ends exactly once, and nobody waits when there is room', async (t) => {
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('enqueue' as const),
        agent,
        interactive: fc.boolean(),
        tokens: fc.nat(4),
        exact: fc.boolean(),
        urgent: fc.constantFrom(false, false, false, true),
        waitMs: fc.constantFrom(Infinity, Infinity, 0, 3, 20),
        model: fc.constantFrom('m', 'n'),
        whenEnded: fc.constantFrom('nothing', 'nothing', 'cancel next', 'leave next', 'come again'),
      }),
    },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.nat(12) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), back: fc.nat(6) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), back: fc.nat(6) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('rematch' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('stop' as const) }) },
  );
  const shape = fc.record({
    open: LEDGERS,
    steps: fc.array(step, { maxLength: 40, size: 'max' }),
    answerMs: fc.integer({ min: 1, max: 9 }),
    maxConcurrent: fc.constantFrom(null, 1, 2),
    starts: fc.boolean(),
  });
  fc.assert(
    fc.property(shape, ({ open, steps, answerMs, maxConcurrent, starts }) => {
      const under = open();
      const start = starts ? { cooldownMs: 5, perMinute: null, idleMs: 600_000 } : null;
      let isMerged = false;
      const rulesOf = (_: string, model: string) =>
        rulesWith(
          [
            policy(2, { window: { kind: 'sliding', spanMs: 4 } }),
            policy(3, { name: 'tpm', unit: 'input_tokens', guardMs: 1 }),
          ],
          { partition: { project: 'p', model: isMerged ? 'm' : model }, maxConcurrent, start },
        );
      const room = new WaitingRoom(under, rulesOf);
      const settleLater = settleAfter(room, under, answerMs);
      const tickets: Ticket[] = [];
      const after = new Map<string, string>();
      let isStopped = false;
      room.onEnd = ({ id, kind }) => {
        const index = tickets.findIndex((ticket) => ticket.id === id);
        const ticket = tickets[index];
        if (ticket !== undefined && kind === 'admitted') {
          settleLater(ticket, rulesOf('p', ticket.requestedModel));
        }
        const next = tickets[index + 1];
        const then = after.get(id);
        after.delete(id);
        if (then === 'come again') enqueue({ agent: ticket!.agent, urgent: true });
        else if (then === 'leave next' && next !== undefined) room.leave(next);
        else if (then === 'cancel next' && next !== undefined) room.scheduler.cancel(next.id);
      };
      function enqueue(more: Partial<Ticket>, whenEnded = 'nothing'): void {
        const ticket = room.ticket(more);
        tickets.push(ticket);
        after.set(ticket.id, whenEnded);
        room.scheduler.enqueue(ticket);
      }
      for (const step of steps) {
        if (step.do === 'enqueue') {
          const { tokens, model, waitMs, whenEnded, agent, interactive, exact, urgent } = step;
          const deadlineMs = under.nowMs() + waitMs;
          const ceiling = units(1, tokens);
          const more = { agent, interactive, exact, urgent, ceiling, units: ceiling, deadlineMs };
          enqueue({ ...more, requestedModel: model }, whenEnded);
        } else if (step.do === 'pass') room.pass(step.ms);
        else if (step.do === 'rematch') {
          isMerged = !isMerged;
          room.scheduler.rematch();
        } else if (step.do === 'stop') {
          room.scheduler.stop(new ProxyError('DRAINING', 'stopping'));
          isStopped = true;
        } else {
          const ticket = tickets.at(-1 - step.back);
          if (ticket === undefined) continue;
          if (step.do === 'leave') room.leave(ticket);
          else room.scheduler.cancel(ticket.id);
        }
      }
      // Whoever is left needs nothing but time: a call fits in every 11 ms, starts in every 105.
      room.pass(120 * 4 + tickets.length * 25);
      under.close();
      if (room.errors.length > 0) throw room.errors[0];
      const open_ = tickets.filter(({ id }) => !room.ends.some((end) => end.id === id));
      if (open_.length > 0) throw new Error(`${open_.length} still wait, stopped: ${isStopped}`);
      if (room.ends.length !== tickets.length) throw new Error('a waiter ended twice');
      if (room.scheduler.waiting !== 0) throw new Error('the queue counts somebody who has ended');
    }),
    { numRuns: PROPERTY_RUNS },
  );
  t.pass();
});

t.test('none waits while another agent gets two turns of the same cost', async (t) => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ do: fc.constant('enqueue' as const), agent }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.nat(6) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), back: fc.nat(6) }) },
  );
  const shape = fc.record({
    steps: fc.array(step, { maxLength: 50, size: 'max' }),
    limit: fc.integer({ min: 1, max: 3 }),
    starts: fc.boolean(),
  });
  fc.assert(
    fc.property(shape, ({ steps, limit, starts }) => {
      const under = oracleUnderTest();
      const start = starts ? { cooldownMs: 1, perMinute: null, idleMs: 600_000 } : null;
      const rules = rulesWith([policy(limit, { window: { kind: 'sliding', spanMs: 5 } })], {
        start,
      });
      const room = new WaitingRoom(under, () => rules);
      const settleLater = settleAfter(room, under, 1);
      const waiting: Ticket[] = [];
      /** Turns that others have had since the agent began to wait or last had a turn. */
      const others = new Map<string, Map<string, number>>();
      const started = new Set<string>(starts ? [] : AGENTS);
      room.onEnd = ({ id, agent }) => {
        const index = waiting.findIndex((ticket) => ticket.id === id);
        const [ticket] = waiting.splice(index, 1);
        settleLater(ticket!, rules);
        started.add(agent);
        others.set(agent, new Map());
        for (const { agent: waiter } of waiting) {
          if (waiter === agent || !started.has(waiter)) continue;
          const turns = others.get(waiter) ?? new Map<string, number>();
          others.set(waiter, turns);
        }
        for (const waiter of new Set(waiting.map((other) => other.agent))) {
          if (waiter === agent || !started.has(waiter)) continue;
          const turns = others.get(waiter)!;
          turns.set(agent, (turns.get(agent) ?? 0) + 1);
          if (turns.get(agent)! > 1) throw new Error(`${waiter} waits, ${agent} had two turns`);
        }
      };
      for (const step of steps) {
        if (step.do === 'enqueue') {
          if (waiting.every((ticket) => ticket.agent !== step.agent)) others.delete(step.agent);
          const ticket = room.ticket({ agent: step.agent });
          waiting.push(ticket);
          room.scheduler.enqueue(ticket);
        } else if (step.do === 'pass') room.pass(step.ms);
        else {
          const ticket = waiting.at(-1 - step.back);
          if (ticket === undefined || !room.leave(ticket)) continue;
          waiting.splice(waiting.indexOf(ticket), 1);
        }
      }
      room.pass(500);
      under.close();
      if (waiting.length > 0) throw new Error(`${waiting.length} still wait`);
    }),
    { numRuns: PROPERTY_RUNS },
  );
  t.pass();
});

t.test('a smaller call that goes ahead of the head does not delay it', async (t) => {
  const life = fc.record({
    tokens: fc.integer({ min: 1, max: 4 }),
    dateMs: fc.nat(3),
    endMs: fc.nat(9),
  });
  const shape = fc.record({
    first: fc.array(life, { maxLength: 4 }),
    head: fc.integer({ min: 2, max: 5 }),
    small: fc.array(fc.record({ life, gapMs: fc.nat(4) }), { minLength: 1, maxLength: 6 }),
    maxConcurrent: fc.constantFrom(null, 2, 3),
    requests: fc.integer({ min: 2, max: 4 }),
    guardMs: fc.nat(2),
  });
  fc.assert(
    fc.property(shape, (shape) => {
      const admittedAtMs = (small: typeof shape.small): number => {
        const under = oracleUnderTest();
        const ledger = under.as(0);
        const rules = rulesWith(
          [
            policy(shape.requests, { window: { kind: 'sliding', spanMs: 7 } }),
            policy(5, { name: 'tpm', unit: 'input_tokens', guardMs: shape.guardMs }),
          ],
          { maxConcurrent: shape.maxConcurrent },
        );
        const room = new WaitingRoom(under, () => rules);
        const lives = new Map<string, (typeof shape.first)[number]>();
        room.onEnd = ({ id }) => {
          const life = lives.get(id);
          if (life === undefined) return;
          const took = units(1, life.tokens);
          under.clock.after(life.dateMs, () =>
            room.scheduler.write(rules.partition, () => ledger.date(id, under.nowMs())),
          );
          under.clock.after(life.dateMs + life.endMs, () =>
            room.scheduler.write(rules.partition, () =>
              ledger.settle(id, { units: took, atMs: under.nowMs(), sent: true }),
            ),
          );
        };
        const enqueue = (id: string, life: (typeof shape.first)[number]) => {
          lives.set(id, life);
          room.enqueue({ id, agent: id, ceiling: units(1, life.tokens) });
        };
        for (const [index, life] of shape.first.entries()) {
          enqueue(`first-${index}`, life);
          room.settle();
          // Only those that run: nobody else is ahead of the head.
          room.scheduler.cancel(`first-${index}`);
        }
        enqueue('head', { tokens: shape.head, dateMs: 0, endMs: 0 });
        room.settle();
        for (const [index, { life, gapMs }] of small.entries()) {
          room.pass(gapMs);
          enqueue(`small-${index}`, life);
        }
        room.pass(200);
        under.close();
        return room.ends.find(({ id }) => id === 'head')!.atMs - rulesTimeZero;
      };
      const without = admittedAtMs([]);
      const withSmall = admittedAtMs(shape.small);
      if (withSmall > without) throw new Error(`at ${withSmall} instead of ${without}`);
    }),
    { numRuns: PROPERTY_RUNS * 2 },
  );
  t.pass();
});

const rulesTimeZero = Date.UTC(2026, 0, 15, 12);

t.test('batch calls get one turn in eight, and no more while interactive ones wait', async (t) => {
  const shape = fc.record({
    interactive: fc.array(agent, { minLength: 16, maxLength: 40, size: 'max' }),
    batch: fc.array(agent, { minLength: 1, maxLength: 6 }),
    limit: fc.integer({ min: 1, max: 3 }),
  });
  fc.assert(
    fc.property(shape, ({ interactive, batch, limit }) => {
      const under = oracleUnderTest();
      const rules = rulesWith([policy(limit, { window: { kind: 'sliding', spanMs: 2 } })]);
      const room = new WaitingRoom(under, () => rules);
      const settleLater = settleAfter(room, under, 1);
      room.onEnd = ({ id }) => settleLater({ id, ceiling: units(1) }, rules);
      let ids = 0;
      for (const agent of batch) room.enqueue({ id: `b${(ids += 1)}`, agent, interactive: false });
      for (const agent of interactive) room.enqueue({ agent });
      room.pass(200);
      under.close();
      const classes = room.admitted().map((id) => (id.startsWith('b') ? 'b' : 'i'));
      const lastBatch = classes.lastIndexOf('b');
      const lastInteractive = classes.lastIndexOf('i');
      const turns = classes
        .slice(0, Math.min(lastBatch, lastInteractive) + 1)
        .join('')
        .split('b')
        .map(({ length }) => length);
      // What stands behind the last batch call, or before the end of the interactive ones, need not
      // be a whole round.
      const rest = turns.pop() ?? 0;
      if (rest > 7 || turns.some((length) => length !== 7)) throw new Error(classes.join(''));
    }),
    { numRuns: PROPERTY_RUNS },
  );
  t.pass();
});

t.test('who was refused or has left and comes back in time has kept the place', async (t) => {
  const shape = fc.record({
    others: fc.array(agent, { maxLength: 12 }),
    more: fc.array(agent, { minLength: 1, maxLength: 12 }),
    how: fc.constantFrom('leave', 'deadline', 'hopeless'),
    awayMs: fc.integer({ min: 1, max: 80 }),
  });
  fc.assert(
    fc.property(shape, ({ others, more, how, awayMs }) => {
      const under = oracleUnderTest();
      const rules = rulesWith([policy(1, { window: { kind: 'sliding', spanMs: 9 } })]);
      const room = new WaitingRoom(under, () => rules);
      const settleLater = settleAfter(room, under, 1);
      room.onEnd = ({ id, kind }) => {
        if (kind === 'admitted') settleLater({ id, ceiling: units(1) }, rules);
      };
      room.enqueue({ agent: 'zoe' });
      room.pass(1);
      // There will be room in time, but another one is ahead.
      if (how === 'deadline') room.enqueue({ agent: 'zed' });
      const deadlineMs = under.nowMs() + { leave: Infinity, deadline: 12, hopeless: 1 }[how];
      const mine = room.enqueue({ agent: 'kim', deadlineMs });
      for (const agent of others) room.enqueue({ agent });
      room.settle();
      if (how === 'leave') room.leave(mine);
      if (how === 'deadline') room.pass(12);
      const end = room.ends.find(({ id }) => id === mine.id);
      if (end?.kind !== 'left' && end?.kind !== 'refused') throw new Error('kim still waits');
      room.pass(awayMs);
      for (const agent of more) room.enqueue({ agent });
      room.settle();
      const before = room.admitted().length;
      const again = room.enqueue({ agent: 'kim' });
      room.pass(30);
      under.close();
      const next = room.admitted()[before];
      if (next !== again.id) throw new Error(`${next} went first`);
    }),
    { numRuns: PROPERTY_RUNS },
  );
  t.pass();
});
