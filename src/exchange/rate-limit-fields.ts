import type { WindowState } from '../quota/ledger.ts';
import type { ClassifiedCall } from './classified-call.ts';
import type { ExchangeContext } from './exchange.ts';

/**
 * RateLimit-Policy and RateLimit (IETF draft-ietf-httpapi-ratelimit-headers-10, structured fields):
 * quota `q` and window `w` in seconds; remaining units `r` and seconds `t` until some come back.
 * Flat, ready to be added to an answer; empty when nothing is limited.
 */
export function rateLimitFields(windows: readonly WindowState[], atMs: number): string[] {
  const policies: string[] = [];
  const limits: string[] = [];
  for (const { policy, unit, limit, used, spanMs, nextFreeAtMs } of windows) {
    // Structured fields have no money; a budget is told by /status.
    if (limit === null || unit === 'usd') continue;
    const waitMs = nextFreeAtMs === null ? spanMs : Math.max(0, nextFreeAtMs - atMs);
    policies.push(`"${policy}";q=${limit};w=${Math.ceil(spanMs / 1000)}`);
    limits.push(`"${policy}";r=${Math.max(0, limit - used)};t=${Math.ceil(waitMs / 1000)}`);
  }
  if (policies.length === 0) return [];
  return ['ratelimit-policy', policies.join(', '), 'ratelimit', limits.join(', ')];
}

/** The same fields of a call that is refused; empty where it was not even understood. Never throws. */
export function rateLimitFieldsNow(
  { ledger, rulesOf, timeline }: ExchangeContext,
  known: ClassifiedCall | null,
): string[] {
  if (known === null) return [];
  try {
    const atMs = timeline.nowMs();
    const rules = rulesOf(known.project, known.requestedModel);
    return rateLimitFields(ledger.transact(() => ledger.windows(rules, atMs)).windows, atMs);
  } catch {
    // The refusal matters more than what decorates it; a busy database says nothing here.
    return [];
  }
}

/** Flat headers that every counted answer carries: which call it was, and how long it waited. */
export function callFields(requestId: string, queuedMs: number): string[] {
  const waited = String(Math.round(queuedMs));
  return ['x-headgate-request-id', requestId, 'x-headgate-queued-ms', waited];
}
