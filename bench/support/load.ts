import { Client } from 'undici';

/** What a round of calls took. */
export interface RoundResult {
  readonly callsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const BODY = JSON.stringify({
  contents: [{ role: 'user', parts: [{ text: 'Why is the sky blue? '.repeat(50) }] }],
  generationConfig: { temperature: 0.2, maxOutputTokens: 256 },
});

const CALL = {
  method: 'POST',
  path: '/v1beta/models/gemini-2.5-flash:generateContent',
  headers: { 'content-type': 'application/json', 'x-goog-api-key': 'headgate' },
  body: BODY,
} as const;

/**
 * Calls `origin` for `durationMs` over as many connections as `concurrency`, one call at a time on
 * each. Throws at the first answer that is not 200: a bench of errors measures nothing.
 */
export async function callFor(
  origin: string,
  { concurrency, durationMs }: { concurrency: number; durationMs: number },
): Promise<RoundResult> {
  const latenciesMs: number[] = [];
  const startMs = performance.now();
  const endMs = startMs + durationMs;

  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      const client = new Client(origin);
      for (let sentMs = performance.now(); sentMs < endMs; sentMs = performance.now()) {
        const { statusCode, body } = await client.request(CALL);
        const text = await body.text();
        if (statusCode !== 200) throw new Error(`${origin} answered ${statusCode}: ${text}`);
        latenciesMs.push(performance.now() - sentMs);
      }
      await client.close();
    }),
  );

  const tookMs = performance.now() - startMs;
  latenciesMs.sort((a, b) => a - b);
  return {
    callsPerSecond: (latenciesMs.length * 1000) / tookMs,
    p50Ms: quantile(latenciesMs, 0.5),
    p99Ms: quantile(latenciesMs, 0.99),
  };
}

/** The middle value; of an even count, the upper one of the two. */
export function median(values: readonly number[]): number {
  return quantile(
    values.toSorted((a, b) => a - b),
    0.5,
  );
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
