import t from 'tap';
import { checkArrivals } from '../support/arrivals.ts';
import {
  call,
  GENERATE,
  idle,
  limitOf,
  limits,
  MODEL,
  saying,
  startGate,
  statusOf,
  waiting,
  windowOf,
} from '../support/gate.ts';
import { ManualClock } from '../support/manual-clock.ts';

const BODY = saying('Tell me about the sea.');
const TIGHT = {
  rate_limits: limits({ rpm: 1, tpm: 10, rpd: 2 }),
  cooldown: { startup: { default: '30s' } },
};
const CALLS = 50;

/** Sends 50 calls of 50 agents at once; on a clock that stands still none of them may be held. */
async function sendAll(gate: { readonly url: string }) {
  const answers = await Promise.all(
    Array.from({ length: CALLS }, (_, index) =>
      call(gate, GENERATE, { body: BODY, headers: { 'x-headgate-agent': `agent-${index}` } }),
    ),
  );
  return answers.filter(({ status }) => status === 200).length;
}

for (const [name, flags, file] of [
  ['--no-rate-limit', { rateLimit: false }, { enable_rate_limit: true }],
  ['enable_rate_limit: false', {}, { enable_rate_limit: false }],
] as const) {
  t.test(`${name} lets every call go at once and counts it`, async (t) => {
    const clock = new ManualClock();
    const gate = await startGate(t, { clock, flags, config: { ...TIGHT, ...file } });
    t.equal(await sendAll(gate), CALLS);
    t.equal(gate.simulator.arrivals.length, CALLS);
    await idle(gate);
    t.equal((await windowOf(gate, 'rpm')).used, CALLS);
    t.equal((await windowOf(gate, 'rpd')).used, CALLS);
    t.ok((await windowOf(gate, 'tpm')).used > CALLS * 5);
    t.match(await limitOf(gate, 'rpm'), { limit: 1 }, 'the limit is still shown');
    const { mode, banners } = await statusOf(gate);
    t.equal(mode, 'off');
    t.match(banners.join(), /rate limit is off/);
  });
}

t.test('--rate-limit beats enable_rate_limit: false', async (t) => {
  const clock = new ManualClock();
  const config = { enable_rate_limit: false, rate_limits: limits({ rpm: 1 }) };
  const gate = await startGate(t, { clock, flags: { rateLimit: true }, config });
  const both = [0, 1].map(() => call(gate, GENERATE, { body: BODY }));
  await waiting(gate, 1);
  t.equal(gate.simulator.arrivals.length, 1);
  await gate.stop();
  t.strictSame(
    (await Promise.all(both)).map(({ status }) => status),
    [200, 503],
  );
});

t.test('what was counted without the limit holds once it is on', async (t) => {
  const clock = new ManualClock();
  const off = { enable_rate_limit: false, rate_limits: limits({ rpm: CALLS }) };
  const gate = await startGate(t, { clock, config: off });
  await sendAll(gate);
  gate.configure({ ...off, enable_rate_limit: true });
  gate.daemon.reload();
  const late = call(gate, GENERATE, { body: BODY });
  await waiting(gate, 1);
  clock.advance(62_000);
  t.equal((await late).status, 200);
  const rules = { default: { rpm: CALLS } };
  t.strictSame(checkArrivals(gate.simulator.arrivals, rules, 60_000, 'arrival'), []);
});

t.test('shadow mode holds nothing and says what it would have held', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock, config: { ...TIGHT, mode: 'shadow' } });
  t.equal(await sendAll(gate), CALLS);
  const told = gate.log.filter((line) => line.includes(`shadow: ${MODEL} agent-`));
  t.ok(told.length >= CALLS - 1, `${told.length} lines`);
  await call(gate, GENERATE, { body: BODY });
  t.match(gate.log.join(''), /shadow: \S+ \S+ would have waited [\d.]+ s \(/);
  t.equal((await windowOf(gate, 'rpm')).used, CALLS + 1);
  t.match((await statusOf(gate)).banners.join(), /Shadow mode/);
});
