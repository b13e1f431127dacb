import { setTimeout as pause } from 'node:timers/promises';
import { GoogleGenAI, type LiveServerMessage, Modality } from '@google/genai';
import t from 'tap';
import {
  type Gate,
  idle,
  limits,
  partitionOf,
  passUntil,
  queueOf,
  startGate,
  statusOf,
  until,
  windowOf,
} from '../support/gate.ts';
import { LIVE_MODEL, LIVE_PATH, SETUP, talkTo } from '../support/live.ts';
import { ManualClock } from '../support/manual-clock.ts';

interface Told {
  readonly code: number;
  readonly reason: string;
}

/** A session of the SDK, with what it was told. */
async function connect(gate: Gate, { path = '', apiKey = 'AIza-own' } = {}) {
  const messages: LiveServerMessage[] = [];
  const closes: Told[] = [];
  const { live } = new GoogleGenAI({ apiKey, httpOptions: { baseUrl: `${gate.url}${path}` } });
  const session = await live.connect({
    model: LIVE_MODEL,
    config: { responseModalities: [Modality.TEXT] },
    callbacks: {
      onmessage: (message) => messages.push(message),
      onclose: ({ code, reason }) => closes.push({ code, reason }),
      onerror: () => undefined,
    },
  });
  const has = async (isSo: () => boolean) => {
    while (!isSo()) await pause(3);
  };
  return {
    messages,
    async say(text: string): Promise<string> {
      const from = messages.length;
      session.sendClientContent({ turns: [{ role: 'user', parts: [{ text }] }] });
      await has(() => messages.slice(from).some((each) => each.serverContent?.turnComplete));
      return messages
        .slice(from)
        .map((each) => each.text ?? '')
        .join('');
    },
    send: (text: string) =>
      session.sendClientContent({ turns: [{ role: 'user', parts: [{ text }] }] }),
    close: () => session.close(),
    async closed(): Promise<Told> {
      await has(() => closes.length > 0);
      return closes[0] ?? { code: 0, reason: '' };
    },
  };
}

t.test('@google/genai talks with a model; the turns are charged as they come', async (t) => {
  const gate = await startGate(t, {
    config: {
      upstream: { api_key: 'AIza-configured' },
      rate_limits: limits({ rpm: 10, tpm: 100_000 }),
    },
  });
  const session = await connect(gate, { path: '/agents/alice', apiKey: 'headgate' });
  t.equal(await session.say('Where does the Nile begin?'), 'Where does the Nile begin?');
  t.equal(await session.say('And where does it end?'), 'And where does it end?');
  const { totals } = await statusOf(gate);
  t.equal(totals.running, 1);
  t.equal((await partitionOf(gate, LIVE_MODEL)).running, 1);
  t.equal((await windowOf(gate, 'rpm', LIVE_MODEL)).used, 1);
  const usage = session.messages.flatMap(({ usageMetadata }) => usageMetadata ?? []);
  t.equal(usage.length, 2);
  const prompts = usage.reduce((sum, { promptTokenCount = 0 }) => sum + promptTokenCount, 0);
  // Until it ends, the setup's own estimate stands beside them.
  t.ok((await windowOf(gate, 'tpm', LIVE_MODEL)).used >= prompts);
  session.close();
  t.match(await session.closed(), { code: 1005 });
  await idle(gate);
  t.equal((await windowOf(gate, 'tpm', LIVE_MODEL)).used, prompts);
  t.equal((await windowOf(gate, 'rpm', LIVE_MODEL)).used, 1);

  const [arrival] = gate.simulator.arrivals;
  t.match(arrival, { method: 'BidiGenerateContent', model: LIVE_MODEL, requests: 1 });
  const { arrivals } = gate.simulator;
  t.equal(arrivals.length, 1);
  const lines = gate.log.filter((line) => line.includes(' live '));
  t.equal(lines.length, 1, 'one line per session');
  t.match(lines[0], /alice/);
  t.notMatch(gate.log.join(''), /AIza/);
});

t.test('a session of its own waits for a place, and goes on when there is one', async (t) => {
  const gate = await startGate(t, { config: { rate_limits: limits({ max_concurrent: 1 }) } });
  const first = await connect(gate);
  await first.say('one');
  const waits = connect(gate);
  while ((await queueOf(gate)).length === 0) await pause(3);
  t.match(await queueOf(gate), [{ model: LIVE_MODEL }]);
  t.equal(gate.simulator.arrivals.length, 1, 'nothing goes upstream while it waits');
  first.close();
  const second = await waits;
  t.equal(await second.say('two'), 'two');
  second.close();
});

t.test('a session that cannot wait any longer is told why and when to come back', async (t) => {
  const gate = await startGate(t, {
    config: { rate_limits: limits({ max_concurrent: 1 }), queue: { max_wait: '200ms' } },
  });
  const first = await connect(gate);
  // The SDK resolves its connection only once the setup is complete.
  const talk = await talkTo(gate, LIVE_PATH);
  talk.socket.send(SETUP);
  const told = await talk.closed;
  t.equal(told.code, 1013);
  t.match(told.reason, /^headgate CONCURRENCY\. Please retry in \d+s\. /);
  t.ok(Buffer.byteLength(told.reason) <= 123);
  t.equal(gate.simulator.arrivals.length, 1);
  t.equal((await statusOf(gate)).totals.refused, 1);
  first.close();
});

t.test('a refusal and the closes of the upstream reach the SDK', async (t) => {
  const gate = await startGate(t, { scenario: { keys: ['AIza-own'] } });
  const session = await connect(gate);
  session.send('[[goaway]] [[close:4011 enough for today]]');
  t.strictSame(await session.closed(), { code: 4011, reason: 'enough for today' });

  const stranger = await talkTo(gate, `/${LIVE_PATH}?key=AIza-wrong`);
  stranger.socket.send(SETUP);
  t.strictSame(await stranger.closed, {
    code: 1008,
    reason: 'API key not valid. Please pass a valid API key.',
  });
  await idle(gate);
  t.notMatch(gate.log.join(''), /AIza/);
});

t.test('a used-up quota parks the model as the 429 of a call does', async (t) => {
  const row = { rpm: 1, tpm: null, rpd: null };
  const gate = await startGate(t, {
    scenario: { default: row },
    config: { queue: { max_wait: '1s' } },
  });
  const first = await connect(gate);
  await first.say('one');
  const talk = await talkTo(gate, LIVE_PATH);
  talk.socket.send(SETUP);
  const told = await talk.closed;
  t.equal(told.code, 1011);
  t.match(told.reason, /^You exceeded your current quota/, 'what the upstream said');
  const { cooldowns } = await partitionOf(gate, LIVE_MODEL);
  t.equal(cooldowns.length, 1);
  first.close();
});

t.test(
  'a session too many at the upstream is told its words where there is no time to wait',
  async (t) => {
    const gate = await startGate(t, {
      scenario: { default: { rpm: null, tpm: null, rpd: null, live_sessions: 1 } },
      config: { queue: { max_wait: '1s' } },
    });
    const first = await connect(gate);
    await first.say('one');
    const talk = await talkTo(gate, LIVE_PATH);
    talk.socket.send(SETUP);
    t.match(await talk.closed, {
      code: 1011,
      reason: /RESOURCE_EXHAUSTED: Maximum concurrent se$/,
    });
    t.equal(await first.say('still there?'), 'still there?', 'the one that has the place keeps it');
    first.close();
    await idle(gate);
  },
);

t.test('a session too many at the upstream is tried again, and goes on when it may', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, {
    clock,
    scenario: { default: { rpm: null, tpm: null, rpd: null, live_sessions: 1 } },
  });
  const first = await talkTo(gate, LIVE_PATH);
  first.socket.send(SETUP);
  await first.next();
  const second = await talkTo(gate, LIVE_PATH);
  second.socket.send(SETUP);
  await until(() => gate.simulator.arrivals[1]?.refusedBy === 'live_sessions');
  first.socket.close();
  await first.closed;
  const { value, tookMs } = await passUntil(clock, second.nextJson(), 600_000);
  t.strictSame(value, { setupComplete: {} });
  t.ok(tookMs > 0, 'not before the model had cooled down');
  t.equal(gate.simulator.arrivals.length, 3);
  second.socket.close();
  await second.closed;
  await idle(gate);
});

t.test(
  'when headgate stops, who waits is told to come back, and who runs goes on to the end',
  async (t) => {
    const gate = await startGate(t, {
      config: { rate_limits: limits({ max_concurrent: 1 }), queue: { drain: '300ms' } },
    });
    const running = await connect(gate);
    const waits = await talkTo(gate, LIVE_PATH);
    const idler = await talkTo(gate, LIVE_PATH);
    waits.socket.send(SETUP);
    while ((await queueOf(gate)).length === 0) await pause(3);
    const stopped = gate.stop();
    t.match(await waits.closed, {
      code: 1012,
      reason: /^headgate DRAINING\. Please retry in 5s\./,
    });
    t.equal(await running.say('still there?'), 'still there?');
    t.match(await running.closed(), { code: 1001, reason: /^headgate is stopping/ });
    t.match(await idler.closed, { code: 1001 });
    await stopped;
  },
);
