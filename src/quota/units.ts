/**
 * What one exchange takes from the quota. All counts are whole numbers, never negative.
 *
 * `rejected` are requests that the upstream answered with 429: they stay in windows shorter than
 * an hour and are given back to the longer ones: Google does not say whether it counts them.
 */
export interface Units {
  readonly requests: number;
  readonly rejected: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Millionths of a US dollar. */
  readonly usdMicros: number;
}

/** What a policy may count. */
export type Unit = 'requests' | 'input_tokens' | 'total_tokens' | 'usd';

export const NO_UNITS: Units = {
  requests: 0,
  rejected: 0,
  inputTokens: 0,
  outputTokens: 0,
  usdMicros: 0,
};

/** Windows of an hour and more do not count requests that the upstream rejected. */
export const REJECTED_SPAN_MS_MAX = 3_600_000;

/** How many of `unit` are in `units`, for a window `spanMs` long. Dollars count in micro-dollars. */
export function count(units: Units, unit: Unit, spanMs: number): number {
  switch (unit) {
    case 'requests':
      return units.requests + (spanMs < REJECTED_SPAN_MS_MAX ? units.rejected : 0);
    case 'input_tokens':
      return units.inputTokens;
    case 'total_tokens':
      return units.inputTokens + units.outputTokens;
    case 'usd':
      return units.usdMicros;
  }
}

/** Componentwise sum. */
export function plus(a: Units, b: Units): Units {
  return {
    requests: a.requests + b.requests,
    rejected: a.rejected + b.rejected,
    inputTokens: a.inputTokens + b.inputTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    usdMicros: a.usdMicros + b.usdMicros,
  };
}
