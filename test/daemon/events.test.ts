import t from 'tap';
import type { ExchangeView, HistoryView, StatusView } from '../../src/http/views.ts';
import { listenTo } from '../support/event-source.ts';
import {
  call,
  GENERATE,
  idle,
  limits,
  MODEL,
  saying,
  send,
  startGate,
  statusOf,
  STREAM,
  waiting,
} from '../support/gate.ts';

const SECRET = 'the-sea-is-a-secret';
const HELD = { rate_limits: limits({ rpm: 1 }) };

t.test('a listener sees a call wait, be cancelled and end, and none of what it says', async (t) => {
  const gate = await startGate(t, { config: HELD });
  const source = await listenTo(gate.url);
  await source.find(({ event }) => event === 'status');
  const headers = { 'x-headgate-agent': 'alice' };
  const body = saying(SECRET);
  const answered = await call(gate, GENERATE, { body, headers });
  const words = answered.text.match(/[a-z]{5,}/gi) ?? [];
  const held = send(gate, STREAM, { body, headers });
  const seen = await source.find(
    ({ event, data }) => event === 'status' && (data as StatusView).totals.waiting === 1,
  );
  const { queue, day, truth } = seen.data as StatusView;
  t.match(queue, [{ agent: 'alice', model: MODEL, reason: /requests per minute/ }]);
  t.match(day, { zone: 'America/Los_Angeles' });
  t.ok(Date.parse(day.started_at) < Date.parse(day.resets_at));
  t.match(truth, { upstream_rejections: 0, estimate_ratio: { samples: 1 }, restarts: 0 });

  await call(gate, `/queue/${queue[0]?.id}`, { method: 'DELETE' });
  t.equal((await held.answer).status, 499);
  await source.find(
    ({ event, data }) =>
      event === 'exchange' && (data as ExchangeView).method === 'streamGenerateContent',
  );
  await source.find(
    ({ event, data }) => event === 'status' && (data as StatusView).totals.refused === 1,
  );
  const told = source.events.filter(({ event }) => event === 'exchange').map(({ data }) => data);
  t.match(told, [
    { agent: 'alice', model: MODEL, outcome: 'ok', status: 200, input_tokens: Number },
    { agent: 'alice', outcome: 'refused', reason: 'CANCELLED', input_tokens: null },
  ]);
  const listed = JSON.parse((await call(gate, '/exchanges')).text);
  t.strictSame(listed.exchanges, told.toReversed(), 'the list tells the same');
  const all = source.text() + JSON.stringify(listed);
  t.notMatch(all, SECRET);
  t.ok(words.length > 0, 'the answer has words');
  t.notOk(all.includes(JSON.parse(answered.text).candidates[0].content.parts[0].text));
});

t.test('a change of the configuration or of a limit is told', async (t) => {
  const gate = await startGate(t, { config: HELD });
  const source = await listenTo(gate.url);
  const banner = (text: RegExp) =>
    source.find(
      ({ event, data }) =>
        event === 'status' && (data as StatusView).banners.some((line) => text.test(line)),
    );
  await call(gate, `/limits/${MODEL}`, { method: 'PATCH', body: { rpm: 1234 } });
  t.ok(
    await banner(/^rpm of .* is set live to 1,234; "headgate limits reset .*" brings back 1, as/),
  );
  gate.configure({ ...HELD, mode: 'shadow' });
  gate.daemon.reload();
  t.ok(await banner(/^Shadow mode: .*\. Set mode to enforce to hold them\.$/));
  gate.configure({ ...HELD, mode: 'no such mode' });
  t.throws(() => gate.daemon.reload());
  t.ok(await banner(/^The last reload was not taken.*run "headgate reload"\.$/s));
});

t.test('what was counted, and how often it started, outlives the daemon', async (t) => {
  const gate = await startGate(t);
  await call(gate, GENERATE, { body: saying(SECRET) });
  await idle(gate);
  const source = await listenTo(gate.url);
  await gate.restart();
  await source.closed;
  t.pass('a stream does not hold up the end');
  await call(gate, GENERATE, { body: saying(SECRET) });
  await idle(gate);
  for (const span of ['hour', 'day']) {
    const text = (await call(gate, `/history?span=${span}&model=${MODEL}`)).text;
    const { points }: HistoryView = JSON.parse(text);
    const sum = (of: 'requests' | 'refusals') => points.reduce((all, point) => all + point[of], 0);
    t.strictSame([sum('requests'), sum('refusals')], [2, 0], span);
    t.notMatch(text, SECRET);
  }
  t.equal((await statusOf(gate)).truth.restarts, 1);
  const { exchanges } = JSON.parse((await call(gate, '/exchanges')).text);
  t.equal(exchanges.length, 1, 'single calls are kept in memory only');
});

t.test('waiting calls are told while they are drained', async (t) => {
  const gate = await startGate(t, { config: HELD });
  await call(gate, GENERATE, { body: saying('a') });
  const held = send(gate, GENERATE, { body: saying('b') });
  await waiting(gate, 1);
  const source = await listenTo(gate.url);
  await source.find(({ event }) => event === 'status');
  await gate.stop();
  t.equal((await held.answer).status, 503);
  await source.closed;
  t.notMatch(source.text(), /undefined/);
});
