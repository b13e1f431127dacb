import type { AdmissionFacts } from './admission.ts';
import { windowStates } from './admission.ts';
import type { Units } from './units.ts';
import { count } from './units.ts';

/**
 * When `needed` units in all (a waiter's own and those of everyone ahead of it) will have passed,
 * in ms on the timeline; Infinity when a limit is zero. An estimate for people: units in flight are
 * taken to leave with the youngest dated ones, and what exceeds one window's limit takes as many
 * whole windows more.
 */
export function expectedAtMs(facts: AdmissionFacts, needed: Units): number {
  let expectedMs = Math.max(facts.atMs, ...facts.cooldowns.map(({ untilMs }) => untilMs));
  for (const [index, state] of windowStates(facts).entries()) {
    const policy = facts.rules.policies[index];
    if (policy === undefined || state.limit === null) continue;
    const amount = count(needed, policy.unit, state.spanMs);
    if (amount === 0) continue;
    if (state.limit === 0) return Infinity;
    const cycleMs = state.spanMs + policy.guardMs;
    const cycles = Math.floor((amount - 1) / state.limit);
    const last = amount - cycles * state.limit;
    const missing = state.used + last - state.limit;
    if (missing > 0) {
      const freeMs = facts.windowLog(policy).freeAtMs(policy.unit, missing);
      expectedMs = Math.max(
        expectedMs,
        (Number.isFinite(freeMs) ? freeMs : facts.atMs + cycleMs) + cycles * cycleMs,
      );
    } else {
      expectedMs = Math.max(expectedMs, facts.atMs + cycles * cycleMs);
    }
  }
  return expectedMs;
}
