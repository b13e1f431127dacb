import type { Block, Cooldown, HeadClaim, PublishedHead, WindowState } from './ledger.ts';
import type { LimitAdjustment, QuotaPolicy, QuotaRules } from './policy.ts';
import { limitInForce } from './policy.ts';
import { spanMs } from './window.ts';
import type { Unit, Units } from './units.ts';
import { count } from './units.ts';

/** What a store knows of one policy's window, inside its transaction. */
export interface WindowLog {
  /** Dated units that are in the window now. */
  readonly logged: Units;
  /** When the oldest dated unit leaves; null when there is none. */
  readonly nextFreeAtMs: number | null;
  /** When `amount` of the dated units will have left; Infinity when there are not so many. */
  freeAtMs(unit: Unit, amount: number): number;
  /** How many of the dated units will have left by `atMs`; may say too few, never too many. */
  leftBy(unit: Unit, atMs: number): number;
}

/** What a store has read about a partition before it can decide. */
export interface AdmissionFacts {
  readonly rules: QuotaRules;
  readonly atMs: number;
  /** Held by calls in flight that are not yet dated. */
  readonly held: Units;
  readonly running: number;
  readonly windowLog: (policy: QuotaPolicy) => WindowLog;
  readonly adjustment: (policy: QuotaPolicy) => LimitAdjustment;
  readonly cooldowns: readonly Cooldown[];
  readonly starts: StartFacts;
}

export interface StartFacts {
  /** The agent has started and has not been silent for too long. */
  readonly started: boolean;
  /** Another agent's first call is admitted and its bytes have not left. */
  readonly pending: boolean;
  /** Starts of the last minute, oldest first, ms on the timeline. */
  readonly atMs: readonly number[];
}

/** Starts per minute are counted in any span of this length. */
export const START_SPAN_MS = 60_000;

/**
 * Starts are measured when their bytes leave and must be apart when they arrive: what the way to
 * the upstream may take longer for the first of two calls than for the second.
 */
export const START_TRANSIT_MS = 100;

/** Nothing adjusted: the configured limit is in force. */
export const NO_ADJUSTMENT: LimitAdjustment = { learned: null, learnedUnder: null, override: null };

/** Each policy's window as it stands, in the order of the rules. */
export function windowStates(facts: AdmissionFacts): WindowState[] {
  return facts.rules.policies.map((policy) => windowState(policy, facts));
}

/**
 * Units of a ceiling that are taken from a policy. An estimate's ceiling never asks for more than
 * the whole limit: such a call waits for an empty window and the upstream decides. Requests are
 * always exact.
 */
export function needsOf(
  policy: QuotaPolicy,
  limit: number | null,
  ceiling: Units,
  exact: boolean,
): number {
  const needs = count(ceiling, policy.unit, spanMs(policy.window));
  const counted = exact || policy.unit === 'requests';
  return counted || limit === null || limit === 0 ? needs : Math.min(needs, limit);
}

/**
 * Everything that is in the way of the call now, the longest wait first; empty when nothing is.
 * A state in `tooLarge` means that the call can never pass.
 */
export function findBlocks(
  facts: AdmissionFacts,
  call: { ceiling: Units; exact: boolean; heads: readonly HeadClaim[] },
): { blocks: Block[]; tooLarge: { state: WindowState; needs: number } | null } {
  const blocks: Block[] = [];
  for (const cooldown of facts.cooldowns) {
    blocks.push(blockOf('cooldown', { freeAtMs: cooldown.untilMs, cooldown }));
  }
  const startsAtMs = startAllowedAtMs(facts);
  if (startsAtMs > facts.atMs) blocks.push(blockOf('startup', { freeAtMs: startsAtMs }));
  const { maxConcurrent } = facts.rules;
  if (maxConcurrent !== null && facts.running >= maxConcurrent) {
    blocks.push(blockOf('concurrency', { freeAtMs: Infinity }));
  }
  for (const policy of facts.rules.policies) {
    const state = windowState(policy, facts);
    if (state.limit === null || policy.holds === false) continue;
    const needs = needsOf(policy, state.limit, call.ceiling, call.exact);
    // A limit of zero admits nothing, however small the estimate.
    if (needs > state.limit || (state.limit === 0 && policy.unit !== 'usd')) {
      return { blocks, tooLarge: { state, needs } };
    }
    const missing = state.used + needs - state.limit;
    if (missing > 0 && needs > 0) {
      const freeAtMs = facts.windowLog(policy).freeAtMs(policy.unit, missing);
      blocks.push(blockOf('quota', { state, needs, freeAtMs }));
    }
  }
  if (blocks.length === 0) {
    for (const head of call.heads) {
      const freeAtMs = delays(facts, head, call);
      if (freeAtMs !== null) blocks.push(blockOf('head', { freeAtMs }));
    }
  }
  blocks.sort((a, b) => b.freeAtMs - a.freeAtMs);
  return { blocks, tooLarge: null };
}

/** Which published heads of other processes a call must not delay: older, and not of a lower class. */
export function headsAhead(
  published: readonly PublishedHead[],
  call: { sinceMs: number; interactive: boolean },
): PublishedHead[] {
  return published.filter(
    (head) => head.sinceMs < call.sinceMs && (head.interactive || !call.interactive),
  );
}

/** When an agent that has not started may start, by spacing and by starts per minute. */
function startAllowedAtMs({ rules, atMs, starts }: AdmissionFacts): number {
  if (rules.start === null || starts.started) return atMs;
  if (starts.pending) return Infinity;
  const { cooldownMs, perMinute } = rules.start;
  let allowedAtMs = atMs;
  const last = starts.atMs.at(-1);
  if (last !== undefined && cooldownMs > 0) {
    allowedAtMs = Math.max(allowedAtMs, last + cooldownMs + START_TRANSIT_MS);
  }
  if (perMinute !== null && starts.atMs.length >= perMinute) {
    const blocking = starts.atMs.at(-Math.max(1, perMinute)) ?? atMs;
    allowedAtMs = Math.max(allowedAtMs, blocking + START_SPAN_MS + START_TRANSIT_MS);
  }
  return allowedAtMs;
}

/**
 * Whether admitting the call now would delay `head`: null when not, else when that ends. At the
 * head's earliest time every policy must have room for both, and units in flight (the call's own
 * included) are taken never to expire.
 */
function delays(
  facts: AdmissionFacts,
  head: HeadClaim,
  call: { ceiling: Units; exact: boolean },
): number | null {
  const { maxConcurrent } = facts.rules;
  if (maxConcurrent !== null && facts.running + 2 > maxConcurrent) return Infinity;
  const limited = facts.rules.policies.map((policy) => {
    const state = windowState(policy, facts);
    const headNeeds = needsOf(policy, state.limit, head.ceiling, false);
    const takes = state.limit !== null && policy.holds !== false && headNeeds > 0;
    const missing = takes ? state.used + headNeeds - state.limit : 0;
    const log = facts.windowLog(policy);
    const freeAtMs = missing > 0 ? log.freeAtMs(policy.unit, missing) : facts.atMs;
    return { policy, state, headNeeds, log, freeAtMs };
  });
  const headAtMs = Math.max(facts.atMs, ...limited.map(({ freeAtMs }) => freeAtMs));
  for (const { policy, state, headNeeds, log } of limited) {
    if (state.limit === null || policy.holds === false || headNeeds === 0) continue;
    const needs = needsOf(policy, state.limit, call.ceiling, call.exact);
    if (needs === 0) continue;
    const left = log.leftBy(policy.unit, headAtMs);
    if (state.used - left + needs + headNeeds > state.limit) return headAtMs;
  }
  return null;
}

function windowState(policy: QuotaPolicy, facts: AdmissionFacts): WindowState {
  const log = facts.windowLog(policy);
  const lengthMs = spanMs(policy.window);
  const held = count(facts.held, policy.unit, lengthMs);
  const { limit, source } = limitInForce(policy.limit, facts.adjustment(policy));
  return {
    policy: policy.name,
    unit: policy.unit,
    spanMs: lengthMs,
    limit,
    limitSource: source,
    used: count(log.logged, policy.unit, lengthMs) + held,
    held,
    nextFreeAtMs: log.nextFreeAtMs,
  };
}

function blockOf(
  reason: Block['reason'],
  rest: Partial<Omit<Block, 'reason'>> & { freeAtMs: number },
): Block {
  return { reason, state: null, needs: 0, cooldown: null, ...rest };
}
