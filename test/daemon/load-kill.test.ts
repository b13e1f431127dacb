import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import { checkArrivals } from '../support/arrivals.ts';
import {
  directoryFor,
  freePort,
  GUARD_MS,
  simulatorFor,
  SPAN_MS,
  spawnDaemon,
  writeConfig,
} from '../support/daemon.ts';
import { runFleet } from '../support/fleet.ts';
import { heldBackMs } from '../support/machine.ts';

const CALLS = 200;
const AGENTS = 20;
/** Each kill comes when so many calls have arrived; a burst is under way then. */
const KILLS_AT_ARRIVAL = [30, 70, 110, 150, 190];
const LIMITS = { rpm: 60, tpm: null };
const BACK_MS = 1_000;
/** What is used of the quota beside other tests on the same machine. */
const SHARE_MIN = 0.9;
/** How often the arrivals are looked at. */
const LOOK_MS = 5;

t.test('a daemon that is killed five times never lets a call over the limit', async (t) => {
  const simulator = await simulatorFor(t, {
    models: {},
    default: { ...LIMITS, rpd: null },
    latency: { first_byte: [50, 250] },
  });
  const port = await freePort();
  const directory = directoryFor(t);
  const file = writeConfig(t, { upstreamUrl: simulator.url, limits: LIMITS, directory, port });
  let daemon = await spawnDaemon(t, file);
  const arrived = () => simulator.arrivals.filter(({ requests }) => requests > 0);
  const beforeMs = heldBackMs();
  const fleet = runFleet({
    baseUrl: daemon.url,
    agents: AGENTS,
    totalCalls: CALLS,
    headers: ({ agent }) => ({ 'x-headgate-agent': `agent-${agent}` }),
    promptFor: (index) => `Call ${index}: say something about the number.`,
    retryOnReset: true,
  });

  let downMs = 0;
  for (const arrivals of KILLS_AT_ARRIVAL) {
    while (arrived().length < arrivals) await sleep(LOOK_MS);
    const killedAtMs = systemClock.monotonicMs();
    await daemon.kill();
    daemon = await spawnDaemon(t, file);
    downMs += systemClock.monotonicMs() - killedAtMs;
  }
  const calls = await fleet;

  const arrivals = arrived();
  const answered = calls.filter(({ status }) => status === 200);
  const lost = arrivals.length - CALLS;
  t.equal(answered.length, CALLS, 'every call is answered');
  t.ok(lost > 0, `${lost} calls were in flight at a kill and were sent again`);
  t.equal(simulator.score().refusedByQuota, 0, 'the upstream refuses none');
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

  // What the kills may cost beyond the run without them: the time without a daemon, or without the
  // processor; the room of the calls in flight, which take it twice; and for each kill a second, in
  // which the clients come back and the next daemon dates what it finds in flight.
  const windowMs = SPAN_MS + GUARD_MS;
  const idealMs = Math.floor((CALLS - 1) / LIMITS.rpm) * windowMs;
  const allowedMs =
    idealMs / SHARE_MIN +
    downMs +
    heldBackMs(beforeMs) +
    (lost / LIMITS.rpm) * windowMs +
    KILLS_AT_ARRIVAL.length * BACK_MS;
  const times = arrivals.map(({ atMs }) => atMs);
  const tookMs = Math.max(...times) - Math.min(...times);
  t.comment(
    `${arrivals.length} arrivals, ${lost} of them lost; ${Math.round(tookMs)} ms of ` +
      `${Math.round(allowedMs)} allowed; ${Math.round(downMs)} ms without a daemon`,
  );
  t.ok(tookMs <= allowedMs, 'the kills cost no more than the restarts and the calls in flight');
});
