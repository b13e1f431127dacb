import type { AdmissionFacts } from './admission.ts';
import { windowStates } from './admission.ts';
import type { WindowState } from './ledger.ts';
import type { QuotaPolicy } from './policy.ts';
import type { Units } from './units.ts';
import { count } from './units.ts';

/**
 * When so many units in all (a waiter's own and those of everyone ahead of it) will have passed, in
 * ms on the timeline, for each of `needed`; Infinity when a limit is zero. An estimate for people:
 * units in flight are taken to leave one window from now, and what exceeds one window's limit takes
 * as many whole windows more.
 */
export function expectedAtMs(facts: AdmissionFacts, needed: readonly Units[]): number[] {
  const states = windowStates(facts);
  const parkedMs = Math.max(facts.atMs, ...facts.cooldowns.map(({ untilMs }) => untilMs));
  return needed.map((units) =>
    states.reduce((latestMs, state, index) => {
      const policy = facts.rules.policies[index];
      return policy === undefined
        ? latestMs
        : Math.max(latestMs, passedAtMs(facts, policy, state, units));
    }, parkedMs),
  );
}

function passedAtMs(
  facts: AdmissionFacts,
  policy: QuotaPolicy,
  state: WindowState,
  units: Units,
): number {
  const amount = count(units, policy.unit, state.spanMs);
  if (state.limit === null || policy.holds === false || amount === 0) return facts.atMs;
  if (state.limit === 0) return Infinity;
  const cycleMs = state.spanMs + policy.guardMs;
  const cycles = Math.floor((amount - 1) / state.limit);
  const missing = state.used + (amount - cycles * state.limit) - state.limit;
  if (missing <= 0) return facts.atMs + cycles * cycleMs;
  const freeMs = facts.windowLog(policy).freeAtMs(policy.unit, missing);
  return (Number.isFinite(freeMs) ? freeMs : facts.atMs + cycleMs) + cycles * cycleMs;
}
