import { Agent } from 'undici';
import type { Clock } from '../clock.ts';
import { pause } from './context.ts';
import { CALLS_AT_ONCE, type PlannedAgent, type PlannedCall, TIME_DIVISOR } from './demo-plan.ts';

/** What became of a fleet's calls so far, by model. */
export interface FleetTallies {
  /** Calls that an agent has begun. */
  readonly begun: number;
  readonly answered: number;
  /** Calls that ended without an answer. */
  readonly givenUp: number;
}

export interface FleetRun {
  /** A live view. */
  tallies(model: string): FleetTallies;
  /** Resolves when every call has ended. */
  readonly ended: Promise<void>;
}

/** An SDK's usual patience: two more tries, a second and then two later. */
const RETRY_DELAYS_MS = [1_000 / TIME_DIVISOR, 2_000 / TIME_DIVISOR];

/**
 * Runs the agents against a Gemini. They know nothing of quotas: they ask, and on a 429 they try
 * again as SDKs do, then give the call up.
 */
export function runFleet(clock: Clock, baseUrl: string, agents: readonly PlannedAgent[]): FleetRun {
  const tallies = new Map<string, { begun: number; answered: number; givenUp: number }>();
  const tallyOf = (model: string) => {
    const tally = tallies.get(model) ?? { begun: 0, answered: 0, givenUp: 0 };
    tallies.set(model, tally);
    return tally;
  };
  const connections = new Agent({ headersTimeout: 0, bodyTimeout: 0 });

  async function runCall(call: PlannedCall): Promise<void> {
    const tally = tallyOf(call.model);
    tally.begun += 1;
    for (const delayMs of [...RETRY_DELAYS_MS, null]) {
      const status = await ask(connections, baseUrl, call);
      if (status === 200) {
        tally.answered += 1;
        return;
      }
      if (status !== 429 || delayMs === null) break;
      await pause(clock, delayMs);
    }
    tally.givenUp += 1;
  }

  async function runAgent({ calls }: PlannedAgent): Promise<void> {
    const left = calls.values();
    // Each worker takes the next call when its former one has ended.
    const worker = async (): Promise<void> => {
      for (const call of left) await runCall(call);
    };
    await Promise.all(Array.from({ length: CALLS_AT_ONCE }, worker));
  }

  const ended = Promise.all(agents.map(runAgent)).then(() => connections.close());
  return { tallies: (model) => ({ ...tallyOf(model) }), ended };
}

/** The status of the answer, once all of it has come; 0 when none came. */
async function ask(connections: Agent, baseUrl: string, call: PlannedCall): Promise<number> {
  try {
    const { statusCode, body } = await connections.request({
      origin: baseUrl,
      path: `/v1beta/models/${call.model}:generateContent`,
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-goog-api-key': 'headgate',
        'x-headgate-agent': call.agent,
      },
      body: JSON.stringify({ contents: [{ role: 'user', parts: [{ text: call.text }] }] }),
    });
    await body.text();
    return statusCode;
  } catch {
    return 0;
  }
}
