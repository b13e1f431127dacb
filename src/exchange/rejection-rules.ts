import type { Rejection } from '../gemini/rejection.ts';
import { withoutSecrets } from '../gemini/secret-shapes.ts';
import type { Cooldown, LearnedLimit } from '../quota/ledger.ts';
import type { QuotaRules } from '../quota/policy.ts';
import { GOOGLE_QUOTA_ZONE, periodEndMs } from '../quota/window.ts';

/** A bare 429 is waited out 2, 4, 8, ... s, and never longer than a minute. */
const EXHAUSTED_MS_MIN = 2_000;
const EXHAUSTED_MS_MAX = 60_000;
/** Nothing says when a bill is paid; one call a minute finds out. */
const BILLING_MS = 60_000;
/** A model that is not on the project's tier is asked for again after an hour, or a reset. */
const ZERO_LIMIT_MS = 3_600_000;
/** Past a full minute or midnight on the upstream's clock, so that it has surely turned. */
const SETTLED_MS = 1_000;
/** Google's first sentence with its address, on a line or two of a card. */
const REASON_CHARS_MAX = 200;

/** Until when a 429 parks its partition. Times on the timeline, `offset` to the upstream's clock. */
export function cooldownFor(
  rejection: Rejection,
  { atMs, upstreamOffsetMs, repeats }: { atMs: number; upstreamOffsetMs: number; repeats: number },
): Cooldown {
  const { kind, retryDelayMs, message } = rejection;
  const upstreamMs = atMs + upstreamOffsetMs;
  const minuteEndMs = periodEndMs('minute', 'UTC', upstreamMs) - upstreamOffsetMs + SETTLED_MS;
  switch (kind) {
    case 'minute': {
      const untilMs = retryDelayMs === null ? minuteEndMs : atMs + retryDelayMs;
      return { kind, untilMs: Math.ceil(untilMs), reason: short(message) };
    }
    case 'day': {
      // Of a day quota the advertised delay is often only the rest of the minute.
      const midnightMs = periodEndMs('day', GOOGLE_QUOTA_ZONE, upstreamMs) - upstreamOffsetMs;
      const untilMs = Math.max(midnightMs + SETTLED_MS, atMs + (retryDelayMs ?? 0));
      return { kind, untilMs: Math.ceil(untilMs), reason: short(message) };
    }
    case 'exhausted': {
      const waitMs = Math.min(EXHAUSTED_MS_MAX, EXHAUSTED_MS_MIN * 2 ** Math.min(repeats, 10));
      const untilMs = atMs + Math.max(waitMs, retryDelayMs ?? 0);
      return { kind, untilMs: Math.ceil(untilMs), reason: short(message) };
    }
    case 'billing':
      return { kind, untilMs: atMs + BILLING_MS, reason: short(message) };
    case 'zero_limit':
      return { kind, untilMs: atMs + ZERO_LIMIT_MS, reason: short(message) };
  }
}

/** Whether waiting can help, so that the call may be sent again. */
export function canResend({ kind }: Rejection): boolean {
  return kind === 'minute' || kind === 'exhausted';
}

/** The limits that a 429 names and that are lower than the configured ones, by policy name. */
export function limitsToLearn(
  rejection: Rejection,
  rules: QuotaRules,
  atMs: number,
): ReadonlyMap<string, LearnedLimit> {
  const learned = new Map<string, LearnedLimit>();
  if (!rules.learn) return learned;
  for (const { unit, period, limit } of rejection.quotas) {
    if (limit === null || limit <= 0) continue;
    const name = period === 'day' ? 'rpd' : unit === 'requests' ? 'rpm' : 'tpm';
    // A tokens-per-day quota has no policy of its own to be learned into.
    if (period === 'day' && unit !== 'requests') continue;
    const policy = rules.policies.find((candidate) => candidate.name === name);
    if (policy === undefined) continue;
    learned.set(name, { limit, configured: policy.limit, atMs });
  }
  return learned;
}

/** It is stored and shown, and Google's messages may quote the key. */
function short(message: string): string {
  const [first = ''] = message.split('\n', 1);
  const text = withoutSecrets(first);
  if (text.length <= REASON_CHARS_MAX) return text;
  const end = text.lastIndexOf(' ', REASON_CHARS_MAX);
  return `${text.slice(0, end > 0 ? end : REASON_CHARS_MAX)}…`;
}
