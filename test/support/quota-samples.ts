import type { ReserveRequest } from '../../src/quota/ledger.ts';
import type { QuotaPolicy, QuotaRules } from '../../src/quota/policy.ts';
import type { Units } from '../../src/quota/units.ts';
import { NO_UNITS } from '../../src/quota/units.ts';

/** Requests and, when told, input tokens. */
export function units(requests: number, inputTokens = 0, more: Partial<Units> = {}): Units {
  return { ...NO_UNITS, requests, inputTokens, ...more };
}

/** A policy on requests of the last ten milliseconds, without a guard, unless told otherwise. */
export function policy(limit: number | null, more: Partial<QuotaPolicy> = {}): QuotaPolicy {
  return {
    name: 'rpm',
    unit: 'requests',
    limit,
    window: { kind: 'sliding', spanMs: 10 },
    guardMs: 0,
    source: 'test',
    ...more,
  };
}

export function rulesWith(
  policies: readonly QuotaPolicy[],
  more: Partial<QuotaRules> = {},
): QuotaRules {
  return {
    partition: { project: 'p', model: 'm' },
    policies,
    maxConcurrent: null,
    start: null,
    enforce: true,
    learn: true,
    ...more,
  };
}

/** A call of one request, alone in line, that expects half the tokens that it holds. */
export function request(
  reservationId: string,
  rules: QuotaRules,
  atMs: number,
  more: Partial<ReserveRequest> = {},
): ReserveRequest {
  const ceiling = more.ceiling ?? units(1);
  return {
    reservationId,
    rules,
    agent: 'amy',
    units: { ...ceiling, inputTokens: Math.floor(ceiling.inputTokens / 2) },
    ceiling,
    exact: true,
    sinceMs: atMs,
    interactive: true,
    atMs,
    behind: null,
    ...more,
  };
}
