import type { Clock } from '../clock.ts';
import { codingOf } from '../gemini/content-coding.ts';
import { endToEnd, headerValue, setHeader } from '../gemini/headers.ts';
import type { Upstream } from './upstream.ts';

/**
 * Larger bodies are not sent twice just to be counted: over a slow line that takes longer than the
 * count may, and joining them to be wrapped would hold up the event loop, 100 MB for some 80 ms.
 */
export const COUNTABLE_BYTES_MAX = 1_048_576;
const TIMEOUT_MS = 2_000;
/** Answers are a few hundred bytes. */
const ANSWER_BYTES_MAX = 65_536;
/** After so many failures in a row nothing is asked for a while. */
const FAILURES_MAX = 3;
const BREAK_MS = 30_000;

/** A call whose input tokens are to be counted, with its credentials already in place. */
export interface CountableCall {
  readonly baseUrl: string;
  readonly path: string;
  readonly headers: readonly string[];
  readonly body: readonly Buffer[];
  readonly bodyBytes: number;
}

/**
 * Counts input tokens with the upstream's own countTokens, which has a quota of its own (3,000 a
 * minute, free). Answers null where that fails: the ceiling stands then. Never rejects.
 */
export interface TokenCounter {
  /**
   * A way to count this call; null where there is none: for methods without a count, for bodies over
   * COUNTABLE_BYTES_MAX, and for packed ones.
   */
  counterFor(call: CountableCall): (() => Promise<number | null>) | null;
}

export function createTokenCounter(options: { upstream: Upstream; clock: Clock }): TokenCounter {
  const { upstream, clock } = options;
  let failures = 0;
  let brokenUntilMs = 0;

  async function count(call: CountableCall, path: string, model: string): Promise<number | null> {
    if (clock.monotonicMs() < brokenUntilMs) return null;
    const body = wrapBody(call.body, model);
    if (body === null) return null;
    const tokens = await ask(upstream, clock, { ...call, path, body });
    failures = tokens === null ? failures + 1 : 0;
    if (failures >= FAILURES_MAX) {
      failures = 0;
      brokenUntilMs = clock.monotonicMs() + BREAK_MS;
    }
    return tokens;
  }

  return {
    counterFor(call) {
      const target = countTokensPath(call.path);
      if (target === null || call.bodyBytes > COUNTABLE_BYTES_MAX) return null;
      // What is wrapped around the body would have to be packed with it.
      if (codingOf(headerValue(call.headers, 'content-encoding')) !== null) return null;
      return () => count(call, target.path, target.model);
    },
  };
}

/** The same model's countTokens path; null for calls that it does not know. */
export function countTokensPath(path: string): { path: string; model: string } | null {
  const [target = '', query = ''] = path.split('?', 2);
  const match = /^(.*\/models(?:\/|%2F)([^/:%]+))(?::|%3A)(?:streamG|g)enerateContent$/i.exec(
    target,
  );
  if (match === null) return null;
  const [, prefix = '', model = ''] = match;
  const kept = query.split('&').filter((pair) => pair !== '' && !pair.startsWith('alt='));
  const search = kept.length === 0 ? '' : `?${kept.join('&')}`;
  return { path: `${prefix}:countTokens${search}`, model };
}

/**
 * `{...}` becomes `{"generateContentRequest":{"model":"models/M",...}}`: only so are tools and
 * system instruction counted.
 */
function wrapBody(body: readonly Buffer[], model: string): Buffer[] | null {
  const whole = Buffer.concat(body);
  const open = whole.indexOf('{');
  if (open === -1 || /^\s*\}/.test(whole.toString('latin1', open + 1, open + 64))) return null;
  const head = `{"generateContentRequest":{"model":${JSON.stringify(`models/${model}`)},`;
  return [Buffer.from(head), whole.subarray(open + 1), Buffer.from('}')];
}

function ask(
  upstream: Upstream,
  clock: Clock,
  call: { baseUrl: string; path: string; headers: readonly string[]; body: readonly Buffer[] },
): Promise<number | null> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    let isOk = false;
    const sent = upstream.send(
      {
        baseUrl: call.baseUrl,
        method: 'POST',
        path: call.path,
        headers: setHeader(endToEnd(call.headers, 'request'), 'accept-encoding', 'identity'),
        body: call.body,
        bodyBytes: call.body.reduce((sum, chunk) => sum + chunk.length, 0),
        headersTimeoutMs: TIMEOUT_MS,
        bodyTimeoutMs: TIMEOUT_MS,
      },
      {
        sent: () => undefined,
        head: (status) => {
          isOk = status === 200;
        },
        data: (chunk) => {
          bytes += chunk.length;
          if (bytes <= ANSWER_BYTES_MAX) chunks.push(chunk);
        },
        end: () => finish(isOk ? totalTokensOf(Buffer.concat(chunks)) : null),
        error: () => finish(null),
      },
    );
    const timer = clock.after(TIMEOUT_MS, () => {
      sent.abort();
      finish(null);
    });
    function finish(tokens: number | null): void {
      timer.cancel();
      resolve(tokens);
    }
  });
}

function totalTokensOf(answer: Buffer): number | null {
  const match = /"totalTokens"\s*:\s*(\d{1,12})/.exec(answer.toString('utf8'));
  return match?.[1] === undefined ? null : Math.max(1, Number(match[1]));
}
