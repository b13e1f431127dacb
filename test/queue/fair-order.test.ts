import t from 'tap';
import { FairOrder } from '../../src/queue/fair-order.ts';
import type { Ticket } from '../../src/queue/ticket.ts';
import { oracleUnderTest } from '../support/ledgers.ts';
import { rulesWith } from '../support/quota-samples.ts';
import { WaitingRoom } from '../support/waiting-room.ts';

const room = new WaitingRoom(oracleUnderTest(), () => rulesWith([]));

function calls(order: FairOrder, agent: string, count: number): Ticket[] {
  const tickets = Array.from({ length: count }, () => room.ticket({ agent }));
  for (const ticket of tickets) order.push(ticket, 0);
  return tickets;
}

/** Serves so many turns and says whose they were. */
function serve(
  order: FairOrder,
  turns: number,
  costOf: (agent: string) => number = () => 1,
): string {
  let served = '';
  for (let turn = 0; turn < turns; turn += 1) {
    const [ticket] = order.inOrder();
    if (ticket === undefined) break;
    served += ticket.agent;
    order.take(ticket, costOf(ticket.agent));
  }
  return served;
}

t.test('agents take turns, in the order in which they came', async (t) => {
  const order = new FairOrder();
  calls(order, 'a', 4);
  calls(order, 'b', 1);
  calls(order, 'c', 2);
  t.equal(order.size, 7);
  t.equal(serve(order, 9), 'abcacaa');
  t.equal(order.size, 0);
});

t.test("an agent's turn comes as often as its calls are cheap", async (t) => {
  const order = new FairOrder();
  calls(order, 'a', 8);
  calls(order, 'b', 30);
  const served = serve(order, 25, (agent) => (agent === 'a' ? 1 : 0.25));
  const ofA = served.split('a').length - 1;
  t.equal(ofA, 5, served);
});

t.test('who joins can neither claim the past nor is put behind', async (t) => {
  const order = new FairOrder();
  calls(order, 'a', 20);
  calls(order, 'b', 20);
  serve(order, 10);
  calls(order, 'c', 10);
  t.equal(serve(order, 9), 'cabcabcab');
});

t.test('an expensive call is paid for after the line was empty', async (t) => {
  const order = new FairOrder();
  calls(order, 'a', 1);
  calls(order, 'b', 1);
  serve(order, 2, (agent) => (agent === 'a' ? 3 : 1));
  calls(order, 'a', 1);
  calls(order, 'b', 4);
  t.equal(serve(order, 5), 'bbabb');
});

t.test('whoever was passed over has one turn first, and saves up no more', async (t) => {
  const order = new FairOrder();
  const [held] = calls(order, 'a', 5);
  calls(order, 'b', 20);
  calls(order, 'c', 20);
  for (let turn = 0; turn < 10; turn += 1) {
    const next = [...order.inOrder()].find(({ agent }) => agent !== 'a');
    order.take(next!, 1);
  }
  t.equal([...order.inOrder()][0], held);
  const served = serve(order, 7);
  t.match(served, /^a[bc]{2}a[bc]{2}a$/);
});

t.test('a place is kept until its time, for one call', async (t) => {
  const order = new FairOrder();
  const [mine] = calls(order, 'a', 1);
  calls(order, 'b', 20);
  order.remove(mine!, 100);
  t.ok(order.keepsPlaces(100));
  t.notOk(order.keepsPlaces(101));
  serve(order, 6);
  for (const ticket of [room.ticket({ agent: 'a' }), room.ticket({ agent: 'a' })]) {
    order.push(ticket, 100);
  }
  t.equal(serve(order, 3), 'aba');
});

t.test('a place is lost after its time', async (t) => {
  const order = new FairOrder();
  calls(order, 'b', 9);
  calls(order, 'd', 9);
  const [late] = calls(order, 'c', 1);
  order.remove(late!, 100);
  serve(order, 3);
  order.push(room.ticket({ agent: 'c' }), 101);
  t.equal(serve(order, 2), 'dc');
});

t.test('a place used by a sibling is used up', async (t) => {
  const order = new FairOrder();
  calls(order, 'b', 9);
  const [first] = calls(order, 'a', 2);
  order.remove(first!, 100);
  serve(order, 2);
  calls(order, 'a', 1);
  t.equal(serve(order, 3), 'bab', 'not before b, which has waited');
});

t.test('the forecast is the order of service', async (t) => {
  const order = new FairOrder();
  calls(order, 'a', 3);
  calls(order, 'b', 12);
  calls(order, 'c', 1);
  const cost = (agent: string): number => (agent === 'a' ? 0.75 : 0.25);
  const forecast = order.forecast(({ agent }) => cost(agent)).map(({ agent }) => agent);
  t.equal(serve(order, 20, cost), forecast.join(''));
});
