import type { Block, WindowState } from './ledger.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** "requests per minute", "input tokens per day", "dollars per 10 s". */
export function policyWords({ unit, spanMs }: Pick<WindowState, 'unit' | 'spanMs'>): string {
  const units = {
    requests: 'requests',
    input_tokens: 'input tokens',
    total_tokens: 'tokens',
    usd: 'dollars',
  }[unit];
  return `${units} per ${spanWords(spanMs)}`;
}

/** What holds a call, in words without numbers, so that equal waits read equal. */
export function blockWords(block: Block): string {
  switch (block.reason) {
    case 'quota':
      return block.state === null ? 'quota' : policyWords(block.state);
    case 'cooldown':
      return block.cooldown === null ? 'upstream cooldown' : cooldownWords(block.cooldown.kind);
    case 'startup':
      return 'startup cooldown of another agent';
    case 'concurrency':
      return 'calls running at once';
    case 'head':
      return 'a call ahead that needs the room';
  }
}

/** The same with the numbers: "input tokens per minute: needs 12,400, 231,000 of 240,000 used". */
export function blockDetail(block: Block): string {
  const words = blockWords(block);
  const { state } = block;
  if (state === null || state.limit === null) return words;
  const [needs, used, limit] = [block.needs, state.used, state.limit].map((amount) =>
    amountWords(amount, state),
  );
  return `${words}: needs ${needs}, ${used} of ${limit} used`;
}

/** "12,400", or "$0.0125" for dollars, which are counted in millionths. */
export function amountWords(amount: number, { unit }: Pick<WindowState, 'unit'>): string {
  return unit === 'usd' ? `$${(amount / 1e6).toFixed(4)}` : amount.toLocaleString('en-US');
}

function cooldownWords(kind: string): string {
  switch (kind) {
    case 'minute':
      return 'upstream cooldown after a 429 (minute quota)';
    case 'day':
      return 'upstream cooldown after a 429 (day quota)';
    case 'billing':
      return 'upstream cooldown after a 429 (billing)';
    case 'zero_limit':
      return 'upstream cooldown after a 429 (limit 0)';
    default:
      return 'upstream cooldown after a 429';
  }
}

/** "minute", "day", "10 min": what stands behind "per". */
export function spanWords(spanMs: number): string {
  if (spanMs === MINUTE_MS) return 'minute';
  if (spanMs === HOUR_MS) return 'hour';
  if (spanMs === DAY_MS) return 'day';
  if (spanMs === 31 * DAY_MS) return 'month';
  if (spanMs % HOUR_MS === 0) return `${spanMs / HOUR_MS} h`;
  if (spanMs % MINUTE_MS === 0) return `${spanMs / MINUTE_MS} min`;
  return `${spanMs / 1000} s`;
}
