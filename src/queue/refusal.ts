import type { ErrorReason } from '../errors.ts';
import { ProxyError } from '../errors.ts';
import type { Block, WindowState } from '../quota/ledger.ts';
import type { Partition } from '../quota/policy.ts';
import { amountWords, blockDetail, policyWords } from '../quota/words.ts';

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
/** How long to stay away when it is not known when room will come. */
const RETRY_UNKNOWN_MS = 10_000;

/**
 * The refusal of a call that cannot pass before its deadline. `block` is what holds it longest;
 * null when it never got so far as to be tried.
 */
export function refusalFor(
  partition: Partition,
  block: Block | null,
  { atMs, expectedAtMs, waitedMs }: { atMs: number; expectedAtMs: number; waitedMs: number },
): ProxyError {
  const untilMs = Number.isFinite(expectedAtMs) ? expectedAtMs : atMs + RETRY_UNKNOWN_MS;
  const retryAfterMs = Math.max(1, Math.ceil(untilMs - atMs));
  const state = block?.state ?? null;
  const upstreamSaid = block?.cooldown?.reason ?? '';
  const what = block === null ? 'other calls are ahead of it' : blockDetail(block);
  const waited = waitedMs >= 1000 ? `waited ${seconds(waitedMs)}, and ` : '';
  return new ProxyError(
    reasonOf(block),
    `headgate held back this call to ${partition.model}: it ${waited}cannot pass in the time its ` +
      `client gives it (${what}${upstreamSaid === '' ? '' : `: ${upstreamSaid}`}). Please retry in ${seconds(retryAfterMs)}.`,
    { retryAfterMs, quota: state === null ? null : violationOf(partition, state) },
  );
}

/** The refusal of a call that can never pass: it is larger than a limit, or the limit is zero. */
export function tooLargeFor(partition: Partition, state: WindowState, needs: number): ProxyError {
  const quota = violationOf(partition, state);
  if (state.limit === 0) {
    return new ProxyError(
      'QUOTA_ZERO',
      `headgate holds back every call to ${partition.model}: its limit of ${policyWords(state)} ` +
        `is 0. Raise it in rate_limits, or with: headgate limits set ${partition.model} ` +
        `${state.policy}=N`,
      { quota, where: `rate_limits.${state.policy}` },
    );
  }
  return new ProxyError(
    'CALL_LARGER_THAN_LIMIT',
    `this call to ${partition.model} needs ${amountWords(needs, state)} ` +
      `${policyWords(state)}, more than the whole limit of ` +
      `${amountWords(state.limit ?? 0, state)}; it can never pass. Make the request smaller, ` +
      `or raise the limit: headgate limits set ${partition.model} ${state.policy}=N`,
    { quota, where: 'contents' },
  );
}

function reasonOf(block: Block | null): ErrorReason {
  if (block === null) return 'WAIT_TOO_LONG';
  switch (block.reason) {
    case 'quota': {
      const spanMs = block.state?.spanMs ?? MINUTE_MS;
      if (spanMs > 12 * HOUR_MS) return 'QUOTA_DAY';
      return spanMs <= MINUTE_MS ? 'QUOTA_MINUTE' : 'QUOTA_WINDOW';
    }
    case 'cooldown':
      return block.cooldown?.kind === 'day' ? 'QUOTA_DAY' : 'COOLDOWN';
    case 'startup':
      return 'STARTUP_COOLDOWN';
    case 'concurrency':
      return 'CONCURRENCY';
    case 'head':
      return 'WAIT_TOO_LONG';
  }
}

function violationOf(partition: Partition, state: WindowState) {
  return {
    model: partition.model,
    policy: state.policy,
    unit: state.unit,
    spanMs: state.spanMs,
    limit: state.limit ?? 0,
  };
}

function seconds(ms: number): string {
  return `${(Math.ceil(ms / 100) / 10).toString()}s`;
}
