import { once } from 'node:events';
import { get } from 'node:http';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import { makeScenario, type ScenarioInput } from '../../src/simulator/scenario.ts';
import { startSimulator } from '../../src/simulator/simulator.ts';
import { LIVE_MODEL, LIVE_PATH, SETUP, type Talk, talkTo } from '../support/live.ts';

async function simulatorFor(t: Test, input: ScenarioInput = {}) {
  const simulator = await startSimulator({
    clock: systemClock,
    random: () => 0.5,
    scenario: makeScenario({ ...input }),
  });
  t.teardown(() => simulator.close());
  return simulator;
}

function say({ socket }: Talk, text: string): void {
  const turns = [{ role: 'user', parts: [{ text }] }];
  socket.send(JSON.stringify({ clientContent: { turns, turnComplete: true } }));
}

t.test('a session is set up, its turns come back, and each tells what it took', async (t) => {
  const simulator = await simulatorFor(t);
  const talk = await talkTo(simulator, LIVE_PATH);
  talk.socket.send(SETUP, { binary: true });
  const complete = await talk.next();
  t.equal(complete.data.toString(), '{"setupComplete":{}}');
  t.equal(complete.isBinary, true, 'in the kind of frame that the client used');
  say(talk, 'one two [[out:7]] [[goaway]]');
  t.match(await talk.nextJson(), { goAway: { timeLeft: '10s' } });
  t.match(await talk.nextJson(), {
    serverContent: { modelTurn: { parts: [{ text: 'one two' }] } },
  });
  t.match(await talk.nextJson(), { serverContent: { generationComplete: true } });
  const { usageMetadata } = await talk.nextJson();
  t.match(usageMetadata, { responseTokenCount: 7 });
  talk.socket.send(JSON.stringify({ realtimeInput: { text: 'three' } }));
  await talk.next();
  await talk.next();
  const second = await talk.nextJson();
  t.ok(
    Number(Reflect.get(Object(second['usageMetadata']), 'promptTokenCount')) > 7,
    'with all before',
  );
  say(talk, '[[close:4000 enough]]');
  t.strictSame(await talk.closed, { code: 4000, reason: 'enough' });
  t.match(simulator.arrivals, [
    { method: 'BidiGenerateContent', model: LIVE_MODEL, requests: 1, status: 101 },
  ]);
});

t.test('sessions and their turns are held to the quota', async (t) => {
  const row = { rpm: 1, tpm: 30, rpd: null };
  const simulator = await simulatorFor(t, { models: {}, default: row });
  const talk = await talkTo(simulator, LIVE_PATH);
  talk.socket.send(SETUP);
  await talk.next();
  const second = await talkTo(simulator, LIVE_PATH);
  second.socket.send(SETUP);
  t.match(await second.closed, { code: 1011, reason: /^You exceeded your current quota/ });
  say(talk, 'word '.repeat(200));
  t.match(await talk.closed, { code: 1011, reason: /^You exceeded your current quota/ });
  t.match(
    simulator.arrivals.map(({ refusedBy }) => refusedBy),
    ['tpm', 'rpm'],
  );
});

t.test('one session more than there may be is told so, and a place is free again', async (t) => {
  const row = { rpm: null, tpm: null, rpd: null, live_sessions: 1 };
  const simulator = await simulatorFor(t, { models: {}, default: row });
  const first = await talkTo(simulator, LIVE_PATH);
  first.socket.send(SETUP);
  await first.next();
  const second = await talkTo(simulator, LIVE_PATH);
  second.socket.send(SETUP);
  t.match(await second.closed, {
    code: 1011,
    reason: /^Request trace id: [0-9a-f]{16}, .*RESOURCE_EXHAUSTED: Maximum concurrent se$/,
  });
  first.socket.close();
  await first.closed;
  const third = await talkTo(simulator, LIVE_PATH);
  third.socket.send(SETUP);
  t.strictSame(await third.nextJson(), { setupComplete: {} });
  t.equal(simulator.arrivals[1]?.refusedBy, 'live_sessions');
});

t.test('what is no session is refused, and other upgrades are plain requests', async (t) => {
  const simulator = await simulatorFor(t, { keys: ['good'] });
  await t.rejects(talkTo(simulator, `${LIVE_PATH}?key=bad`), /400/);
  await t.rejects(talkTo(simulator, LIVE_PATH), /403/);
  const early = await talkTo(simulator, `${LIVE_PATH}?key=good`);
  early.socket.send('{"clientContent":{}}');
  t.match(await early.closed, { code: 1007 });
  const outgoing = get(`${simulator.url}/v1beta/models?key=good`, {
    headers: { connection: 'Upgrade', upgrade: 'h2c' },
  });
  const [response] = await once(outgoing, 'response');
  response.resume();
  t.equal(response.statusCode, 200);
});
