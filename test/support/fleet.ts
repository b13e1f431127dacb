import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, type Dispatcher } from 'undici';
import { systemClock } from '../../src/clock.ts';

export type PromptKind = 'latin' | 'cyrillic' | 'chinese' | 'code';

export interface FleetOptions {
  /** Without a trailing slash; may carry a prefix such as `/agents/NAME`. */
  readonly baseUrl: string;
  /** Clients that run at once; each makes its calls one after another. */
  readonly agents: number;
  /** Calls of each agent. Default 1. */
  readonly callsPerAgent?: number;
  /** Instead of `callsPerAgent`: calls shared out between the agents as they come free. */
  readonly totalCalls?: number;
  /** Several take turns. Default gemini-2.5-flash. */
  readonly model?: string | readonly string[];
  /** Text of call `index`, counted over the whole fleet. Default: a short sentence. */
  readonly promptFor?: (index: number) => string;
  /** Default: no key. */
  readonly key?: string;
  /** Of every call, or made for each. */
  readonly headers?:
    | Readonly<Record<string, string>>
    | ((call: { readonly agent: number; readonly index: number }) => Record<string, string>);
  /** streamGenerateContent with alt=sse instead of generateContent. */
  readonly stream?: boolean;
  /** Whether a connection that breaks before an answer is tried again. Default false. */
  readonly retryOnReset?: boolean;
  /** All agents begin in one moment, or this many ms after each other. Default burst. */
  readonly concurrency?: 'burst' | { readonly staggerMs: number };
  /** Told of every call as it ends, for progress. */
  readonly onCall?: (call: FleetCall) => void;
}

export interface FleetCall {
  readonly agent: number;
  readonly index: number;
  readonly model: string;
  /** 0 when no answer came. */
  readonly status: number;
  /** Bytes of the answer's body. */
  readonly bytes: number;
  /** From the first try to the last byte. */
  readonly ms: number;
  readonly retries: number;
  /** Header `x-headgate-refused`, or the error's status, or why no answer came; null when answered. */
  readonly refusedReason: string | null;
  /** The whole body of an answer that is not 200, for a look at what went wrong; else empty. */
  readonly errorBody: string;
}

/** Half a minute: a daemon that was killed is back by then, on a busy machine too. */
const RETRIES_MAX = 600;

/** Runs agents against a Gemini, without any timeout, and tells what became of every call. */
export async function runFleet(options: FleetOptions): Promise<FleetCall[]> {
  const { agents, callsPerAgent = 1, totalCalls = agents * callsPerAgent } = options;
  // One connection for each agent: a pool that is smaller would be a queue of its own.
  const dispatcher = new Agent({
    connections: agents,
    headersTimeout: 0,
    bodyTimeout: 0,
    connectTimeout: 0,
    keepAliveTimeout: 60_000,
    pipelining: 1,
  });
  const calls: FleetCall[] = [];
  let next = 0;
  const runAgent = async (agent: number): Promise<void> => {
    const { concurrency = 'burst' } = options;
    if (concurrency !== 'burst') await sleep(agent * concurrency.staggerMs);
    for (let own = 0; ; own += 1) {
      if (options.totalCalls === undefined ? own >= callsPerAgent : next >= totalCalls) return;
      const index = next;
      next += 1;
      const call = await runCall(options, dispatcher, agent, index);
      calls.push(call);
      options.onCall?.(call);
    }
  };
  try {
    await Promise.all(Array.from({ length: agents }, (_, agent) => runAgent(agent)));
  } finally {
    await dispatcher.close();
  }
  return calls.sort((a, b) => a.index - b.index);
}

async function runCall(
  options: FleetOptions,
  dispatcher: Dispatcher,
  agent: number,
  index: number,
): Promise<FleetCall> {
  const { baseUrl, model = 'gemini-2.5-flash', headers = {}, stream = false } = options;
  const models = typeof model === 'string' ? [model] : model;
  const chosen = models[index % models.length] ?? '';
  const text = options.promptFor?.(index) ?? `Call ${index}: say something about the number.`;
  const method = stream ? 'streamGenerateContent?alt=sse' : 'generateContent';
  const url = new URL(`${baseUrl}/v1beta/models/${chosen}:${method}`);
  const request = {
    origin: url.origin,
    path: url.pathname + url.search,
    method: 'POST' as const,
    headers: {
      'content-type': 'application/json',
      ...(options.key === undefined ? {} : { 'x-goog-api-key': options.key }),
      ...(typeof headers === 'function' ? headers({ agent, index }) : headers),
    },
    body: JSON.stringify({ contents: [{ role: 'user', parts: [{ text }] }] }),
  };
  const startMs = systemClock.monotonicMs();
  const ended = (
    retries: number,
    rest: Pick<FleetCall, 'status' | 'bytes' | 'refusedReason' | 'errorBody'>,
  ): FleetCall => {
    return {
      agent,
      index,
      model: chosen,
      ms: systemClock.monotonicMs() - startMs,
      retries,
      ...rest,
    };
  };
  for (let retries = 0; ; retries += 1) {
    try {
      const answer = await dispatcher.request(request);
      const body = Buffer.from(await answer.body.arrayBuffer());
      const status = answer.statusCode;
      const refused = answer.headers['x-headgate-refused'];
      const errorBody = status === 200 ? '' : body.toString('utf8');
      const refusedReason =
        status === 200 ? null : String(refused ?? '') || statusIn(errorBody, status);
      return ended(retries, { status, bytes: body.length, refusedReason, errorBody });
    } catch (error) {
      if (options.retryOnReset === true && retries < RETRIES_MAX) {
        await sleep(50);
        continue;
      }
      const refusedReason = error instanceof Error ? codeOf(error) : String(error);
      return ended(retries, { status: 0, bytes: 0, refusedReason, errorBody: '' });
    }
  }
}

function statusIn(body: string, status: number): string {
  return /"status":\s*"(\w+)"/.exec(body)?.[1] ?? `HTTP ${status}`;
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}

/** Text of about so many tokens in one script; the same for the same seed. */
export function makePrompt(kind: PromptKind, approxTokens: number, seed: number): string {
  let state = (seed * 2_654_435_761 + 12_345) >>> 0;
  const pick = (words: readonly string[]): string => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return words[(state >>> 8) % words.length] ?? '';
  };
  const { words, charsPerToken, joint } = PROMPTS[kind];
  const wanted = Math.max(1, Math.round(approxTokens * charsPerToken));
  const pieces: string[] = [];
  for (let length = 0; length < wanted; length += (pieces.at(-1)?.length ?? 0) + joint.length) {
    pieces.push(pick(words));
  }
  return pieces.join(joint);
}

const PROMPTS: Record<
  PromptKind,
  { readonly words: readonly string[]; readonly charsPerToken: number; readonly joint: string }
> = {
  latin: {
    words:
      'the sea was calm and we sailed past every island before morning because nobody remembered which harbour would still accept travellers after midnight'.split(
        ' ',
      ),
    charsPerToken: 4,
    joint: ' ',
  },
  cyrillic: {
    words:
      'море было спокойным и мы прошли мимо острова до рассвета потому что никто не помнил гавань'.split(
        ' ',
      ),
    charsPerToken: 2.5,
    joint: ' ',
  },
  chinese: {
    words: [
      '大海',
      '平静',
      '我们',
      '在',
      '黎明',
      '之前',
      '经过',
      '岛屿',
      '没有',
      '人',
      '记得',
      '港口',
    ],
    charsPerToken: 1.3,
    joint: '',
  },
  code: {
    words: [
      'const total = items.reduce((sum, item) => sum + item.units, 0);',
      'if (window[head] === undefined) return null;',
      'export function msUntilFits(events, { limit, units }) {',
      '  for (let at = 0; at < events.length; at += 1) {',
      '}',
      'throw new RangeError(`limit ${limit} is below zero`);',
    ],
    charsPerToken: 3,
    joint: '\n',
  },
};
