import { setMaxListeners } from 'node:events';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { Agent, request } from 'undici';
import { rulesFor } from '../../src/config/limits.ts';
import { loadConfig } from '../../src/config/load.ts';
import { ProxyError } from '../../src/errors.ts';
import type { Simulator } from '../../src/simulator/simulator.ts';
import {
  daemonFor,
  directoryFor,
  freePort,
  simulatorFor,
  spawnDaemon,
  writeConfig,
} from '../support/daemon.ts';
import { memoryLedgerUnderTest } from '../support/ledgers.ts';
import { units } from '../support/quota-samples.ts';
import { WaitingRoom } from '../support/waiting-room.ts';

const MODEL = 'gemini-2.5-flash';
const LIMITS = { rpm: 9, tpm: null };
/** What the defaults make of them. */
const APART_MS = 3_000;
const STARTS_PER_MINUTE = 8;
/**
 * How much later than another a call may arrive at the upstream for the machine's sake: starts are
 * spaced when they are sent.
 */
const TRANSIT_MS_MAX = 1_000;
/** A call of an agent that runs already is not held; its round takes some time on a busy machine. */
const RUNNING_MS_MAX = 500;
/** Slow enough for the limit never to hold it: the windows here are a tenth as long. */
const RUNNING_EVERY_MS = 1_500;
const RETRY_MS = 50;
/** Longer than 20 calls take to arrive on a busy machine, shorter than a cooldown. */
const FIRST_ANSWER_MS = 2_000;
/** Marks calls that are no agent's first. */
const RUNNING = 'running';

t.jobs = 2;

t.test('named agents start apart and at most eight a minute', { buffered: true }, async (t) => {
  const simulator = await simulatorOf(t);
  const port = await freePort();
  const file = writeConfig(t, {
    upstreamUrl: simulator.url,
    limits: LIMITS,
    directory: directoryFor(t),
    port,
    rest: { cooldown: {} },
  });
  let daemon = await spawnDaemon(t, file);
  const client = clientOf(t, daemon.url);
  const agents = Array.from({ length: 10 }, (_, agent) => ({
    'x-headgate-agent': `agent-${agent}`,
  }));
  const firsts = agents.map((agent) => client.ask(agent, agent['x-headgate-agent']));
  // Whoever came first went at once, and runs from now on.
  const first = await Promise.race(firsts.map((ask, agent) => ask.then(() => agents[agent])));
  const running = client.keepAsking(first ?? {});

  // In the moment of a start, which the next daemon must know of.
  await startsReach(simulator, 4);
  await daemon.kill();
  daemon = await spawnDaemon(t, file);
  await startsReach(simulator, STARTS_PER_MINUTE);
  // The next one would come now, were it not the ninth of the minute.
  await sleep(APART_MS + 1_000);
  client.stop();
  const queuedMs = await running;
  await Promise.all(firsts);

  const starts = startsOf(simulator);
  t.comment(`starts apart by ${gaps(starts).join(', ')} ms; held ${queuedMs.join(', ')} ms`);
  t.equal(starts.length, STARTS_PER_MINUTE, 'the ninth and the tenth wait for the minute to pass');
  t.ok(
    Math.min(...gaps(starts)) >= APART_MS - TRANSIT_MS_MAX,
    'starts arrive three seconds apart, give or take their way there',
  );
  notHeld(t, queuedMs);
  t.equal(simulator.score().refusedByQuota, 0, 'the upstream refuses none');
});

t.test('agents of one MassGen process start apart', { buffered: true }, async (t) => {
  const simulator = await simulatorOf(t);
  const config = { upstreamUrl: simulator.url, limits: LIMITS, rest: { cooldown: {} } };
  const daemon = await daemonFor(t, writeConfig(t, config));
  const client = clientOf(t, daemon.url);
  const massgen = { 'user-agent': 'google-genai-sdk/1.39.1 gl-python/3.12.3' };
  // The first answer comes when the last call has surely arrived: one that found a slot free again
  // would rightly be no start.
  const firsts = Array.from({ length: 20 }, (_, call) => {
    return client.ask(massgen, `call-${call}`, FIRST_ANSWER_MS);
  });
  await Promise.race(firsts);
  // It takes the slot that has come free, whose agent has started.
  const running = client.keepAsking(massgen);
  await startsReach(simulator, 5);
  client.stop();
  const queuedMs = await running;
  await Promise.all(firsts);

  const starts = startsOf(simulator);
  t.comment(`starts apart by ${gaps(starts).join(', ')} ms; held ${queuedMs.join(', ')} ms`);
  t.ok(
    Math.min(...gaps(starts)) >= APART_MS - TRANSIT_MS_MAX,
    'starts arrive three seconds apart, give or take their way there',
  );
  notHeld(t, queuedMs);
});

for (const agents of [10, 20]) {
  t.test(`${agents} agents start in their time through a death, and hold nobody`, async (t) => {
    const under = memoryLedgerUnderTest();
    t.teardown(() => under.close());
    const config = { upstreamUrl: 'http://127.0.0.1:9', limits: LIMITS, rest: { cooldown: {} } };
    const file = writeConfig(t, config);
    const loaded = loadConfig({ file, env: {}, cwd: tmpdir(), flags: {} });
    // Without the limits themselves, which would hold agents that run already.
    const rules = { ...rulesFor(loaded, 'default', MODEL), policies: [] };
    const starts: number[] = [];
    /** The scheduler of a process, with the agents that are still to start. */
    const processOf = (waiting: readonly string[]): WaitingRoom => {
      const own = new WaitingRoom(under, () => rules);
      own.onEnd = ({ id, agent, kind, starts: isStart }) => {
        if (kind !== 'admitted') return;
        under.clock.after(5, () => {
          if (own !== room) return;
          if (isStart) {
            starts.push(under.nowMs());
            started.add(agent);
          }
          const settlement = { units: units(1), atMs: under.nowMs(), sent: true };
          own.scheduler.write(rules.partition, () => under.as(0).settle(id, settlement));
        });
      };
      for (const agent of waiting) own.enqueue({ id: `${agent}-${under.nowMs()}`, agent });
      return own;
    };
    const names = Array.from({ length: agents }, (_, agent) => `agent-${agent}`);
    const started = new Set<string>();
    let room = processOf(names);
    let heldMs = 0;
    for (let second = 0; started.size < agents; second += 1) {
      if (second > 300) throw new Error('somebody waits for ever');
      room.pass(1_000, 5);
      const again = room.ticket({ agent: 'agent-0' });
      const sinceMs = under.nowMs();
      room.scheduler.enqueue(again);
      room.settle();
      const end = room.ends.find(({ id }) => id === again.id);
      heldMs = Math.max(heldMs, (end?.atMs ?? Infinity) - sinceMs);
      if (second !== 10) continue;
      room.scheduler.stop(new ProxyError('DRAINING', 'killed'));
      under.die(0);
      room = processOf(names.filter((name) => !started.has(name)));
    }

    t.ok(Math.min(...gaps(starts)) >= APART_MS, 'starts are three seconds apart');
    const inAnyMinute = starts.map((fromMs) =>
      starts.filter((atMs) => atMs >= fromMs && atMs < fromMs + 60_000),
    );
    const most = Math.max(...inAnyMinute.map(({ length }) => length));
    t.equal(most, STARTS_PER_MINUTE, 'at most eight start in any minute');
    t.equal(heldMs, 0, 'whoever runs already is not held');
    t.equal(starts.length, agents, 'everybody starts once');
  });
}

function simulatorOf(t: Test): Promise<Simulator> {
  const row = { ...LIMITS, rpd: null };
  return simulatorFor(t, { models: {}, default: row, latency: { first_byte: [50, 150] } });
}

interface Client {
  /**
   * Asks once, again when the connection breaks; resolves with how long headgate held it. The
   * upstream takes `answerMs` to answer, or its own time.
   */
  ask(headers: Record<string, string>, tag: string, answerMs?: number): Promise<number>;
  /** Asks time and again until stopped; resolves with how long headgate held each. */
  keepAsking(headers: Record<string, string>): Promise<number[]>;
  /** Leaves, whatever is still waiting. */
  stop(): void;
}

function clientOf(t: Test, url: string): Client {
  const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 });
  t.teardown(() => dispatcher.destroy());
  const leaving = new AbortController();
  const { signal } = leaving;
  setMaxListeners(0, signal);
  const text = 'Say something. <CURRENT ANSWERS from the agents> none <END OF CURRENT ANSWERS>';
  const ask: Client['ask'] = async (headers, tag, answerMs = 0) => {
    while (!signal.aborted) {
      try {
        const answer = await request(`${url}/v1beta/models/${MODEL}:generateContent`, {
          dispatcher,
          signal,
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            'x-goog-api-key': 'key-of-all',
            'x-test-tag': tag,
            ...headers,
          },
          body: JSON.stringify({
            contents: [{ parts: [{ text: `${text} [[sleep:${answerMs}]]` }] }],
          }),
        });
        await answer.body.dump();
        if (answer.statusCode !== 200) t.fail(`answered ${answer.statusCode}`);
        return Number(answer.headers['x-headgate-queued-ms']);
      } catch {
        await sleep(RETRY_MS);
      }
    }
    return NaN;
  };
  return {
    ask,
    async keepAsking(headers) {
      const queuedMs: number[] = [];
      for (;;) {
        await sleep(RUNNING_EVERY_MS);
        const heldMs = await ask(headers, RUNNING);
        if (signal.aborted) return queuedMs;
        queuedMs.push(heldMs);
      }
    },
    stop: () => leaving.abort(),
  };
}

/** When each agent's first call arrived, in order. */
function startsOf(simulator: Simulator): number[] {
  const starts = new Map<string, number>();
  for (const { agentTag, atMs } of simulator.arrivals) {
    if (agentTag === null || agentTag === RUNNING) continue;
    if (!starts.has(agentTag)) starts.set(agentTag, atMs);
  }
  return [...starts.values()];
}

async function startsReach(simulator: Simulator, count: number): Promise<void> {
  while (startsOf(simulator).length < count) await sleep(5);
}

function gaps(times: readonly number[]): number[] {
  return times.slice(1).map((atMs, index) => Math.round(atMs - (times[index] ?? 0)));
}

/** One in ten may meet a machine that is busy with something else. */
function notHeld(t: Test, queuedMs: readonly number[]): void {
  const held = queuedMs.filter((ms) => ms >= RUNNING_MS_MAX);
  t.ok(queuedMs.length > 0 && held.length <= queuedMs.length / 10, 'whoever runs is not held');
}
