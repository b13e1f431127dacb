import type { QuotaRules } from '../quota/policy.ts';
import { count } from '../quota/units.ts';
import { spanMs } from '../quota/window.ts';
import type { Ticket } from './ticket.ts';

/** Even a call that takes next to nothing has a turn, so that a thousand of them do not go first. */
const SHARE_MIN = 0.001;

/** What a turn costs an agent: the largest share, 0 to 1, that the call takes of any of its limits. */
export function costOf(ticket: Pick<Ticket, 'units'>, rules: QuotaRules): number {
  let share = SHARE_MIN;
  for (const policy of rules.policies) {
    if (policy.limit === null || policy.limit === 0) continue;
    const units = count(ticket.units, policy.unit, spanMs(policy.window));
    share = Math.max(share, Math.min(1, units / policy.limit));
  }
  return share;
}
