import fc from 'fast-check';
import t from 'tap';
import { oracleUnderTest } from '../support/ledgers.ts';
import { rulesWith, units } from '../support/quota-samples.ts';
import { PROPERTY_RUNS } from '../support/runs.ts';
import { WaitingRoom } from '../support/waiting-room.ts';

const agent = fc.constantFrom('amy', 'bob', 'cid', 'dan');

t.test('starts stay apart and under their cap, and hold nobody who has started', async (t) => {
  const call = fc.record({
    agent,
    gapMs: fc.constantFrom(0, 0, 10, 50, 200, 5_000),
    sendMs: fc.constantFrom(0, 10, 80),
    transitMs: fc.constantFrom(0, 30, 100),
    fate: fc.constantFrom('answer', 'answer', 'answer', 'never sent'),
  });
  const shape = fc.record({
    calls: fc.array(call, { minLength: 1, maxLength: 25, size: 'max' }),
    cooldownMs: fc.constantFrom(0, 50, 200, 70_000),
    perMinute: fc.constantFrom(null, 1, 2),
    idleMs: fc.constantFrom(20_000, 600_000),
  });
  fc.assert(
    fc.property(shape, ({ calls, ...start }) => {
      const under = oracleUnderTest();
      const ledger = under.as(0);
      const rules = rulesWith([], { start });
      const room = new WaitingRoom(under, () => rules);
      const fates = new Map<string, (typeof calls)[number]>();
      const arrivals: number[] = [];
      const heldSince = new Map<string, number>();
      const startedAtMs = new Map<string, number>();
      room.onEnd = ({ id, agent, starts }) => {
        const { sendMs, transitMs, fate } = fates.get(id)!;
        const sinceMs = heldSince.get(id)!;
        const lastMs = startedAtMs.get(agent) ?? -Infinity;
        // Last seen is written down to five seconds.
        const hadStarted = lastMs > sinceMs - start.idleMs + 5_000 && lastMs <= sinceMs;
        if (hadStarted && under.nowMs() > sinceMs) throw new Error(`${agent} was held`);
        if (hadStarted && starts) throw new Error(`${agent} started twice`);
        under.clock.after(sendMs, () => {
          const { partition } = rules;
          if (fate === 'never sent') {
            room.scheduler.write(partition, () => ledger.release(id, under.nowMs()));
            return;
          }
          const atMs = under.nowMs();
          startedAtMs.set(agent, atMs);
          if (starts) arrivals.push(atMs + transitMs);
          room.scheduler.write(partition, () => {
            ledger.dateStart(id, atMs);
            ledger.settle(id, { units: units(1), atMs, sent: true });
          });
        });
      };
      for (const call of calls) {
        room.pass(call.gapMs, 10);
        const ticket = room.ticket({ agent: call.agent });
        fates.set(ticket.id, call);
        heldSince.set(ticket.id, under.nowMs());
        room.scheduler.enqueue(ticket);
      }
      for (let tries = 0; room.scheduler.waiting > 0; tries += 1) {
        if (tries > 3_000) throw new Error('somebody waits for ever');
        room.settle();
        under.clock.advance(
          Math.max(1, (under.clock.nextTimerAtMs ?? 0) - under.clock.monotonicMs()),
        );
      }
      under.close();
      arrivals.sort((a, b) => a - b);
      for (const [index, atMs] of arrivals.entries()) {
        const before = arrivals[index - 1];
        if (before !== undefined && atMs - before < start.cooldownMs) {
          throw new Error(`starts ${atMs - before} ms apart`);
        }
        const first = start.perMinute === null ? undefined : arrivals[index - start.perMinute];
        if (first !== undefined && atMs - first < 60_000) throw new Error('too many in a minute');
      }
    }),
    { numRuns: PROPERTY_RUNS },
  );
  t.pass();
});
