import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { checkArrivals } from '../support/arrivals.ts';
import {
  directoryFor,
  GUARD_MS,
  simulatorFor,
  SPAN_MS,
  spawnDaemon,
  writeConfig,
} from '../support/daemon.ts';
import { makePrompt, runFleet } from '../support/fleet.ts';

const LIMITS = { rpm: null, tpm: 30_000 };
const CALLS = 90;
const AGENTS = 20;
/** About this many tokens each, so that all of them together are three windows. */
const SMALL_TOKENS = 1_000;

t.test('a large call passes through one of two daemons on one database', async (t) => {
  const simulator = await simulatorFor(t, {
    models: {},
    default: { ...LIMITS, rpd: null },
    latency: { first_byte: [50, 250] },
  });
  const directory = directoryFor(t);
  const urls = [];
  for (const name of ['one', 'two']) {
    const config = { upstreamUrl: simulator.url, limits: LIMITS, directory, name };
    urls.push((await spawnDaemon(t, writeConfig(t, config))).url);
  }
  // By then each daemon has looked at the other's lease.
  await sleep(2_500);
  const fleets = urls.map((baseUrl, daemon) =>
    runFleet({
      baseUrl,
      agents: AGENTS / 2,
      totalCalls: CALLS / 2,
      headers: ({ agent }) => ({
        'x-headgate-agent': `agent-${daemon}-${agent}`,
        'x-test-tag': 'small',
      }),
      promptFor: (index) => makePrompt('latin', SMALL_TOKENS, index),
    }),
  );
  // In the middle of everyone's waiting, one that needs most of a window.
  await sleep(1_500);
  const [large] = await runFleet({
    baseUrl: urls[0] ?? '',
    agents: 1,
    headers: { 'x-headgate-agent': 'large', 'x-test-tag': 'large' },
    promptFor: () => makePrompt('latin', 0.68 * LIMITS.tpm, 9),
  });
  const calls = (await Promise.all(fleets)).flat();

  t.equal(large?.status, 200, 'the large call is answered');
  t.equal(calls.filter(({ status }) => status === 200).length, CALLS, 'every call is answered');
  t.equal(simulator.score().refusedByQuota, 0, 'the upstream refuses none');
  const arrivals = simulator.arrivals.filter(({ requests }) => requests > 0);
  t.same(
    checkArrivals(arrivals, { default: LIMITS }, SPAN_MS, 'arrival'),
    [],
    'no window holds more than its limit',
  );
  t.same(
    checkArrivals(arrivals, { default: LIMITS }, SPAN_MS, 'answer'),
    [],
    'no window holds more than its limit',
  );

  const own = arrivals.find(({ agentTag }) => agentTag === 'large');
  t.ok((own?.inputTokens ?? 0) >= 0.6 * LIMITS.tpm, 'it needs most of a window');
  const after = arrivals.filter(({ atMs }) => atMs > (own?.atMs ?? Infinity)).length;
  const waitedWindows = (large?.ms ?? Infinity) / (SPAN_MS + GUARD_MS);
  t.comment(
    `${own?.inputTokens} of ${LIMITS.tpm} tokens waited ${waitedWindows.toFixed(2)} windows; ` +
      `${after} calls came after it`,
  );
  t.ok(waitedWindows < 2.5, 'the large call is not starved');
  t.ok(after > 0, 'the large call does not come last');
});
