import { writeFileSync } from 'node:fs';
import t from 'tap';
import type { Test } from 'tap';
import {
  type Answer,
  call,
  type Gate,
  GENERATE,
  generate,
  limits,
  MODEL,
  partitionOf,
  saying,
  startGate,
  statusOf,
  until,
  waiting,
  windowOf,
} from '../support/gate.ts';
import { ManualClock } from '../support/manual-clock.ts';

const BODY = saying('Tell me about the sea.');
const CALLS = 100;
const RPM = 10;

interface Crowd {
  readonly clock: ManualClock;
  readonly gate: Gate;
  /** Writes other limits and has them read. */
  readonly take: (config: Parameters<Gate['configure']>[0]) => void;
  /** Resolves once exactly so many have reached the upstream and the others wait. */
  readonly arrived: (count: number) => Promise<void>;
  /** Lifts every limit and holds that each call got its answer. */
  readonly nobodyIsLost: () => Promise<void>;
}

/** Calls that took quota; tokens may have been counted ahead besides. */
function reached({ simulator }: Gate): number {
  return simulator.arrivals.filter(({ requests }) => requests > 0).length;
}

/** A hundred calls of ten agents under a limit of ten, on a clock that stands still. */
async function crowd(t: Test, path = GENERATE): Promise<Crowd> {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock, config: { rate_limits: limits({ rpm: RPM }) } });
  const calls: Promise<Answer>[] = [];
  for (let index = 0; index < CALLS; index += 1) {
    const headers = { 'x-headgate-agent': `agent-${index % 10}` };
    calls.push(call(gate, path, { body: BODY, headers }));
  }
  const take: Crowd['take'] = (config) => {
    gate.configure(config);
    gate.daemon.reload();
  };
  const arrived: Crowd['arrived'] = async (count) => {
    await waiting(gate, CALLS - count);
    await until(() => reached(gate) >= count);
    // One that went beyond it would have arrived by the end of another round trip.
    await statusOf(gate);
    t.equal(reached(gate), count, `${count} have arrived`);
  };
  await arrived(RPM);
  return {
    clock,
    gate,
    take,
    arrived,
    async nobodyIsLost() {
      take({ rate_limits: limits({}) });
      const answers = await Promise.all(calls);
      t.equal(answers.filter(({ status }) => status === 200).length, CALLS, 'nobody is lost');
      t.equal(reached(gate), CALLS, 'and nobody is sent twice');
      t.equal((await statusOf(gate)).totals.running, 0);
    },
  };
}

t.test('a higher limit lets more of those who wait go at once', async (t) => {
  const { take, arrived, nobodyIsLost } = await crowd(t);
  take({ rate_limits: limits({ rpm: 35 }) });
  await arrived(35);
  take({ rate_limits: limits({ rpm: 36 }) });
  await arrived(36);
  await nobodyIsLost();
});

t.test('a lower limit holds even while more than it is used', async (t) => {
  const { clock, take, arrived, nobodyIsLost } = await crowd(t);
  take({ rate_limits: limits({ rpm: 3 }) });
  await arrived(RPM);
  clock.advance(60_000);
  await arrived(RPM);
  clock.advance(1_500);
  await arrived(RPM + 3);
  await nobodyIsLost();
});

t.test('a limit that comes in on top holds those who wait', async (t) => {
  const { take, arrived, gate, nobodyIsLost } = await crowd(t);
  const { used } = await windowOf(gate, 'tpm');
  take({ rate_limits: limits({ rpm: 90, tpm: used }) });
  await arrived(RPM);
  await nobodyIsLost();
});

t.test('another profile holds for those who wait', async (t) => {
  const { take, arrived, clock, nobodyIsLost } = await crowd(t);
  take({ rate_limits: { profile: 'free', gemini: {}, day: 'sliding' } });
  clock.advance(61_500);
  await arrived(RPM + 5);
  await nobodyIsLost();
});

t.test('shadow mode lets them go, and its end holds whoever comes then', async (t) => {
  const { take, gate, arrived } = await crowd(t);
  take({ mode: 'shadow', rate_limits: limits({ rpm: RPM }) });
  await arrived(CALLS);
  take({ rate_limits: limits({ rpm: RPM }) });
  const late = call(gate, GENERATE, { body: BODY });
  await waiting(gate, 1);
  t.equal(reached(gate), CALLS);
  take({ rate_limits: limits({ rpm: CALLS + 1 }) });
  t.equal((await late).status, 200);
});

t.test('the rate limit switched off lets them go', async (t) => {
  const { take, arrived } = await crowd(t);
  take({ enable_rate_limit: false, rate_limits: limits({ rpm: RPM }) });
  await arrived(CALLS);
});

t.test('an alias moves them to the quota of the model it stands for', async (t) => {
  const { take, arrived, gate, nobodyIsLost } = await crowd(t, generate('my-alias'));
  const gemini = { default: { rpm: RPM }, [MODEL]: { rpm: RPM + 2 } };
  take({ rate_limits: { gemini, aliases: { 'my-alias': MODEL } } });
  // What was used under the other name is used here.
  await arrived(RPM + 2);
  t.equal((await windowOf(gate, 'rpm')).used, RPM + 2);
  t.equal((await partitionOf(gate)).waiting, CALLS - RPM - 2);
  await nobodyIsLost();
});

t.test('a model that is told apart again leaves the quota of the other', async (t) => {
  const { take, arrived, gate, nobodyIsLost } = await crowd(t);
  const gemini = { default: { rpm: RPM }, 'big-model': { rpm: 20 } };
  take({ rate_limits: { gemini, aliases: { [MODEL]: 'big-model' } } });
  await arrived(20);
  take({ rate_limits: { gemini: { ...gemini, [MODEL]: { rpm: 15 } } } });
  await arrived(35);
  t.equal((await windowOf(gate, 'rpm')).used, 15);
  await nobodyIsLost();
});

t.test('the startup cooldown comes and goes with the file', async (t) => {
  const { take, arrived, clock, gate, nobodyIsLost } = await crowd(t);
  take({
    cooldown: { startup: { default: '10s' }, starts_per_minute: 100, startup_idle: '10m' },
    rate_limits: limits({ rpm: RPM }),
  });
  clock.advance(61_500);
  // One agent has started, and sends its nine others; the next agent's start is still to wait.
  await arrived(RPM + 9);
  t.match((await partitionOf(gate)).cooldowns[0]?.kind, 'startup');
  take({ rate_limits: limits({ rpm: RPM }) });
  await arrived(2 * RPM);
  await nobodyIsLost();
});

t.test('smaller bounds of the queue refuse only who comes after', async (t) => {
  const { take, gate, nobodyIsLost } = await crowd(t);
  take({ rate_limits: limits({ rpm: RPM }), queue: { max_depth: 5 } });
  const refused = await call(gate, GENERATE, { body: BODY });
  t.equal(refused.headers['x-headgate-refused'], 'QUEUE_FULL');
  t.match(refused.text, /queue\.max_depth/);
  await nobodyIsLost();
});

t.test('a broken file changes nothing, and says so everywhere', async (t) => {
  const { arrived, gate, nobodyIsLost } = await crowd(t);
  const before = (await statusOf(gate)).config.hash;
  writeFileSync(gate.file, 'rate_limits:\n  gemini:\n    default: { rpm: -3 }\n');
  const answer = await call(gate, '/reload', { method: 'POST' });
  t.equal(answer.status, 422);
  t.match(answer.headers['content-type'], /^application.problem.json/);
  const problem = JSON.parse(answer.text);
  t.equal(problem.reason, 'CONFIG_INVALID');
  t.match(problem.detail, /rpm/);
  t.match(problem.where, `${gate.file}:3:`);
  const status = await statusOf(gate);
  t.equal(status.config.hash, before);
  t.match(status.config.reload_error, /rpm/);
  t.match(status.banners.join('\n'), /last reload was not taken/);
  const metrics = (await call(gate, '/metrics')).text;
  t.match(metrics, 'headgate_config_reloads_total{result="failed"} 1');
  t.equal(gate.log.filter((line) => /reload failed/.test(line)).length, 1, 'one clear line');
  await arrived(RPM);
  await nobodyIsLost();
  t.equal((await statusOf(gate)).config.reload_error, null, 'a good file clears it');
});

t.test('the file is watched, good or broken', async (t) => {
  const config = { rate_limits: limits({ rpm: 1 }), log: { level: 'info' } };
  const gate = await startGate(t, { config });
  const calls = [0, 1].map(() => call(gate, GENERATE, { body: BODY }));
  await waiting(gate, 1);
  writeFileSync(gate.file, '{ "rate_limits": ');
  await until(() => gate.log.some((line) => /reload failed/.test(line)));
  await waiting(gate, 1);
  gate.configure({ ...config, rate_limits: limits({ rpm: 2 }) });
  for (const { status } of await Promise.all(calls)) t.equal(status, 200);
});

t.test('a call goes to the upstream that was configured when it came, with that key', async (t) => {
  const other = await startGate(t);
  const upstreamOf = ({ simulator }: Gate, key: string) => ({
    base_url: simulator.url,
    api_key: key,
  });
  const one = { rate_limits: limits({ rpm: 1 }) };
  const gate = await startGate(t, { config: one });
  gate.configure({ ...one, upstream: upstreamOf(gate, 'first-key') });
  gate.daemon.reload();
  t.equal((await call(gate, GENERATE, { body: BODY })).status, 200);
  const held = call(gate, GENERATE, { body: BODY });
  await waiting(gate, 1);
  gate.configure({ rate_limits: limits({ rpm: 3 }), upstream: upstreamOf(other, 'second-key') });
  gate.daemon.reload();
  t.equal((await held).status, 200);
  t.equal((await call(gate, GENERATE, { body: BODY })).status, 200);
  const [first, second] = gate.simulator.arrivals;
  t.equal(gate.simulator.arrivals.length, 2);
  t.equal(second?.apiKeyHash, first?.apiKeyHash);
  t.equal(other.simulator.arrivals.length, 1);
  t.not(other.simulator.arrivals[0]?.apiKeyHash, first?.apiKeyHash);
});

t.test('an unchanged file is no reload, and a new address waits for the next start', async (t) => {
  const gate = await startGate(t);
  t.match(JSON.parse((await call(gate, '/reload', { method: 'POST' })).text), {
    result: 'unchanged',
  });
  gate.configure({ listen: '127.0.0.1:4299' });
  t.match(JSON.parse((await call(gate, '/reload', { method: 'POST' })).text), {
    result: 'applied',
    restart_needed: ['listen'],
  });
  t.equal((await call(gate, GENERATE, { body: BODY })).status, 200, 'at the former address');
});
