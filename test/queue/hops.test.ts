import fc from 'fast-check';
import t from 'tap';
import { FairOrder } from '../../src/queue/fair-order.ts';
import { HOPS_AHEAD_MAX, HOPS_IN_ROW_MAX } from '../../src/queue/hop-lead.ts';
import type { Ticket } from '../../src/queue/ticket.ts';
import { oracleUnderTest } from '../support/ledgers.ts';
import { policy, rulesWith, units } from '../support/quota-samples.ts';
import { PROPERTY_RUNS } from '../support/runs.ts';
import { WaitingRoom } from '../support/waiting-room.ts';

const room = new WaitingRoom(oracleUnderTest(), () => rulesWith([]));

function push(order: FairOrder, agent: string, count = 1, isHop = false): Ticket[] {
  const tickets = Array.from({ length: count }, () => room.ticket({ agent, isHop }));
  for (const ticket of tickets) order.push(ticket, 0);
  return tickets;
}

/** Serves whoever is next. */
function serve(order: FairOrder, cost = 1): Ticket | undefined {
  const [ticket] = order.inOrder();
  if (ticket !== undefined) order.take(ticket, cost);
  return ticket;
}

function served(order: FairOrder, turns: number): string {
  return Array.from({ length: turns }, () => serve(order)?.agent ?? '').join('');
}

t.test('a hop goes ahead of strangers, and of the other calls of its agent', async (t) => {
  const order = new FairOrder();
  push(order, 'b', 3);
  push(order, 'a', 2);
  push(order, 'c', 3);
  const [hop] = push(order, 'a', 1, true);
  t.equal([...order.inOrder()][0], hop);
  t.equal(served(order, 3), 'abc', 'and is the turn of its agent');
});

t.test('strangers have every fourth turn, however many interactions go on', async (t) => {
  const order = new FairOrder();
  for (const agent of 'bcd') push(order, agent);
  for (const agent of ['p', 'q', 'r', 's', 't', 'u', 'v']) push(order, agent, 1, true);
  const forecast = order.forecast(() => 1).map(({ agent }) => agent);
  t.equal(served(order, 20), 'pqrbstucvd');
  t.equal(forecast.join(''), 'pqrbstucvd');
});

t.test('an interaction is ahead of its share by a bounded number of turns', async (t) => {
  const order = new FairOrder();
  for (const agent of 'bcdefghijk') push(order, agent, 3);
  let line = '';
  for (let turn = 0; turn < 25; turn += 1) {
    // The next hop follows as soon as the one before has been served.
    if (order.sizeOf('a') === 0) push(order, 'a', 1, true);
    line += served(order, 1);
  }
  t.equal(line, 'aaabaaacaadefghijkbcdefgh', 'it catches up before it has another turn');
});

t.test('whoever leaves with a lead has it when coming back', async (t) => {
  const order = new FairOrder();
  push(order, 'b', 20);
  for (let turn = 0; turn < 10; turn += 1) {
    push(order, 'a', 1, true);
    serve(order);
    if (order.sizeOf('a') > 0) serve(order);
  }
  const [hop] = push(order, 'a', 1, true);
  t.not([...order.inOrder()][0], hop, 'its lead is used up');
  order.remove(hop!, 100);
  const [again] = push(order, 'a', 1, true);
  t.not([...order.inOrder()][0], again);
});

t.test('nobody starves, and nobody is ahead of another by more than the lead', async (t) => {
  const agent = fc.constantFrom('a', 'b', 'c', 'd');
  const step = fc.oneof(
    { weight: 2, arbitrary: fc.record({ agent, isHop: fc.boolean() }) },
    { weight: 3, arbitrary: fc.constant('serve' as const) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 160, size: 'max' }), (steps) => {
      const order = new FairOrder();
      /** Turns that others have had since the agent began to wait without a break, less its own. */
      const behind = new Map<string, Map<string, number>>();
      let hopsInRow = 0;
      const count = (step: Ticket): void => {
        const hadTurn = step.agent;
        for (const [waiter, others] of behind) {
          if (waiter === hadTurn) for (const [one, turns] of others) others.set(one, turns - 1);
          else others.set(hadTurn, (others.get(hadTurn) ?? 0) + 1);
          for (const [one, turns] of others) {
            if (turns < 0) others.set(one, 0);
            // One turn more of each: the one that is due at the start, and the one just served.
            if (turns <= HOPS_AHEAD_MAX + 2) continue;
            throw new Error(`${waiter} waits, ${one} is ${turns} turns ahead`);
          }
        }
        hopsInRow = step.isHop === true && order.size > 0 ? hopsInRow + 1 : 0;
        if (order.sizeOf(hadTurn) === 0) behind.delete(hadTurn);
      };
      for (const step of steps) {
        if (step === 'serve') {
          const ticket = serve(order);
          if (ticket !== undefined) count(ticket);
          continue;
        }
        if (!behind.has(step.agent)) behind.set(step.agent, new Map());
        push(order, step.agent, 1, step.isHop);
      }
      const left = order.size;
      for (let turn = 0; turn < left; turn += 1) count(serve(order)!);
      if (order.size !== 0) throw new Error(`${order.size} still wait`);
    }),
    { numRuns: PROPERTY_RUNS * 2 },
  );
  t.pass();
});

t.test(
  'a stranger that is first in line waits for no more hops than may go in a row',
  async (t) => {
    const agent = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
    const hops = fc.array(agent, { maxLength: 30, size: 'max' });
    fc.assert(
      fc.property(hops, fc.nat(5), (hops, before) => {
        const order = new FairOrder();
        for (const agent of hops.slice(0, before)) push(order, agent, 1, true);
        push(order, 'z', 1);
        let turns = 0;
        for (const agent of hops.slice(before)) {
          push(order, agent, 1, true);
          if (serve(order)?.agent === 'z') return;
          turns += 1;
          // Those that came before it have their own turns first.
          if (turns > HOPS_IN_ROW_MAX + before * 2) throw new Error(`after ${turns} turns`);
        }
      }),
      { numRuns: PROPERTY_RUNS },
    );
    t.pass();
  },
);

t.test('the forecast is the order of service, hops included', async (t) => {
  const agents = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { maxLength: 5 });
  const count = fc.integer({ min: 1, max: 5 });
  // No two agents' turns end at the same time: between those the forecast does not tell.
  const costOf = ({ agent }: Ticket): number => Math.sqrt(agent.charCodeAt(0) - 60);
  fc.assert(
    fc.property(agents, fc.array(fc.tuple(count, fc.boolean()), { minLength: 5 }), (agents, of) => {
      const order = new FairOrder();
      for (const [at, agent] of agents.entries()) push(order, agent, ...of[at]!);
      const forecast = order.forecast(costOf).map(({ agent }) => agent);
      let line = '';
      for (let [next] = order.inOrder(); next !== undefined; [next] = order.inOrder()) {
        line += next.agent;
        order.take(next, costOf(next));
      }
      if (line !== forecast.join('')) throw new Error(`${forecast.join('')}, but was ${line}`);
    }),
    { numRuns: PROPERTY_RUNS },
  );
  t.pass();
});

t.test('hops and smaller calls together do not keep a large call waiting', async (t) => {
  const under = oracleUnderTest();
  t.teardown(() => under.close());
  const rules = rulesWith([policy(4, { name: 'tpm', unit: 'input_tokens' })]);
  const waiters = new WaitingRoom(under, () => rules);
  const ledger = under.as(0);
  // The small ones take nothing of what the large one waits for, so that they may pass it.
  const tokensOf = (agent: string): number =>
    agent === 'large' ? 4 : agent.startsWith('small') ? 0 : 1;
  waiters.onEnd = ({ id, agent }) => {
    const ceiling = units(1, tokensOf(agent));
    waiters.scheduler.write(rules.partition, () => {
      ledger.date(id, under.nowMs());
      ledger.settle(id, { units: ceiling, atMs: under.nowMs(), sent: true });
    });
  };
  waiters.enqueue({ agent: 'first', ceiling: units(1, 1) });
  waiters.pass(5);
  waiters.enqueue({ agent: 'large', ceiling: units(1, 4) });
  let rounds = 0;
  for (; rounds < 200 && !waiters.admitted('agent').includes('large'); rounds += 1) {
    const number = rounds % 60;
    waiters.enqueue({ agent: `hop-${number}`, isHop: true, ceiling: units(1, 1) });
    waiters.enqueue({ agent: `small-${number}`, ceiling: units(1) });
    waiters.pass(2);
  }
  t.ok(waiters.admitted('agent').includes('large'), `not after ${rounds} rounds`);
});

t.test('a turn that was not used after all is given back', async (t) => {
  const order = new FairOrder();
  push(order, 'b', 5);
  push(order, 'a', 1);
  const [first] = order.inOrder();
  order.take(first!, 1);
  const mine = serve(order, 3);
  t.equal(mine?.agent, 'a');
  order.giveBack(mine!, 100);
  order.giveBack(mine!, 100);
  push(order, 'a', 2);
  t.equal(served(order, 4), 'abab', 'as if it had not been taken, and once');

  const other = new FairOrder();
  push(other, 'b', 9);
  const [head] = push(other, 'a', 4);
  other.take(head!, 2);
  other.giveBack(head!, 100);
  t.equal(served(other, 4), 'baba', 'also where more of the agent waits');
  const [lost] = push(other, 'c', 2);
  other.take(lost!, 4);
  serve(other);
  const later = [...other.inOrder()].find(({ agent }) => agent === 'c');
  other.take(later!, 1);
  other.giveBack(lost!, 100);
  push(other, 'c', 1);
  t.match(served(other, 3), /c/, 'and where it has had further turns, its cost alone');
});

t.test('a call that comes back goes before later calls of its agent', async (t) => {
  const order = new FairOrder();
  const since = (sinceMs: number): Ticket => {
    const ticket = room.ticket({ agent: 'a', sinceMs });
    order.push(ticket, 0);
    return ticket;
  };
  const [one, two, three] = [since(1), since(2), since(3)];
  order.remove(two, 100);
  const again = since(2);
  t.same([...order.inOrder()], [one, again, three]);
});
