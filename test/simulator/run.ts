import type { Test } from 'tap';
import { request } from 'undici';
import { makeScenario, type ScenarioInput } from '../../src/simulator/scenario.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { ManualClock } from '../support/manual-clock.ts';

export const INSTANT = { first_byte: [0, 0], per_chunk: 0 } as const;
export const HELLO = { contents: [{ parts: [{ text: 'Tell me about the sea. [[out:6]]' }] }] };
export const GENERATE = '/v1beta/models/gemini-2.5-pro:generateContent';
export const STREAM = '/v1beta/models/gemini-2.5-pro:streamGenerateContent';
export const CHAT = '/v1beta/openai/chat/completions';
export const CHAT_BODY = {
  model: 'gemini-2.5-pro',
  messages: [{ role: 'user', content: 'Hi. [[out:4]]' }],
};

/** A simulator whose time stands still until the test moves it. */
export interface Run {
  readonly simulator: Simulator;
  readonly clock: ManualClock;
  readonly post: (
    path: string,
    body: unknown,
    headers?: Record<string, string>,
  ) => Promise<{ status: number; headers: Record<string, unknown>; text: string; bytes: Buffer }>;
}

export async function start(t: Test, input: ScenarioInput = {}): Promise<Run> {
  // 20 s into a UTC minute, noon in winter: 04:00 in Los Angeles.
  const clock = new ManualClock({ wallMs: Date.UTC(2026, 0, 15, 12, 0, 20) });
  const scenario = makeScenario({ latency: INSTANT, ...input });
  const simulator = await startSimulator({ clock, random: () => 0.5, scenario });
  t.teardown(() => simulator.close());
  const post: Run['post'] = async (path, body, headers = {}) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const answer = await request(simulator.url + path, { method: 'POST', body: text, headers });
    const bytes = Buffer.from(await answer.body.arrayBuffer());
    return { status: answer.statusCode, headers: answer.headers, text: bytes.toString(), bytes };
  };
  return { simulator, clock, post };
}

/** The sockets are real, so what they bring is waited for; the clock stands still meanwhile. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}
