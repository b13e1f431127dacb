import type { QuickClock } from './quick-clock.ts';

/** One that calls again and again, with a pause for thought in between. */
interface Habit {
  readonly name: string;
  readonly model: string;
  readonly pauseMs: number;
  /** Words of its prompts, at least and at most. */
  readonly words: readonly [number, number];
  readonly streams: boolean;
  /** Calls that it has under way at once. */
  readonly hands?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

const HABITS: readonly Habit[] = [
  {
    name: 'researcher',
    model: 'gemini-2.5-flash',
    pauseMs: 4_000,
    words: [300, 9_000],
    streams: true,
  },
  { name: 'writer', model: 'gemini-2.5-flash', pauseMs: 9_000, words: [80, 2_500], streams: true },
  {
    name: 'critic',
    model: 'gemini-2.5-flash',
    pauseMs: 12_000,
    words: [200, 4_000],
    streams: false,
  },
  { name: 'planner', model: 'gemini-2.5-pro', pauseMs: 8_000, words: [500, 16_000], streams: true },
  {
    name: 'reviewer',
    model: 'gemini-2.5-pro',
    pauseMs: 6_000,
    words: [900, 12_000],
    streams: false,
  },
  {
    name: 'nightly-import',
    model: 'gemini-2.5-flash-lite',
    hands: 3,
    pauseMs: 5_000,
    words: [40, 600],
    streams: false,
    headers: { 'x-headgate-priority': 'batch', 'x-headgate-max-wait': '40s' },
  },
];

/** The pictures are taken when so much has passed; most is asked then, so that some calls wait. */
const BUSIEST_MS = 3_600_000;

/** Sets everybody to work. They stop when told, and what they had under way is forgotten. */
export function startAgents(url: string, clock: QuickClock, random: () => number): () => void {
  const stop = new AbortController();
  const busiestMs = clock.wallMs() + BUSIEST_MS;
  for (const habit of HABITS.flatMap((habit) =>
    Array.from({ length: habit.hands ?? 1 }, () => habit),
  )) {
    work(url, habit, { clock, random, busiestMs, signal: stop.signal }).catch((error: unknown) => {
      if (!stop.signal.aborted) throw error;
    });
  }
  return () => stop.abort();
}

interface Surroundings {
  readonly clock: QuickClock;
  readonly random: () => number;
  /** By the wall. */
  readonly busiestMs: number;
  readonly signal: AbortSignal;
}

async function work(url: string, habit: Habit, surroundings: Surroundings) {
  const { clock, random, busiestMs, signal } = surroundings;
  const [least, most] = habit.words;
  const method = habit.streams ? 'streamGenerateContent?alt=sse' : 'generateContent';
  await clock.pause(random() * habit.pauseMs);
  while (!signal.aborted) {
    const text = 'word '.repeat(Math.round(least + (most - least) * random() ** 3));
    const response = await fetch(`${url}/v1beta/models/${habit.model}:${method}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-goog-api-key': 'headgate',
        'x-headgate-agent': habit.name,
        ...habit.headers,
      },
      body: JSON.stringify({ contents: [{ role: 'user', parts: [{ text }] }] }),
      signal,
    });
    await response.arrayBuffer();
    // Busy and quiet quarters of an hour, as people have them.
    const tide = 1.4 - Math.cos((clock.wallMs() - busiestMs) / 400_000);
    await clock.pause(habit.pauseMs * tide * (0.4 + random()));
  }
}
