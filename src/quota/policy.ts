import type { Unit } from './units.ts';
import type { TimeWindow } from './window.ts';

/** Whose quota an exchange takes: one model of one project. `model` is the resolved model. */
export interface Partition {
  readonly project: string;
  readonly model: string;
}

/** A named limit: so many units over a time window. */
export interface QuotaPolicy {
  /** Unique within a partition: rpm, tpm, rpd, or the name of a free window. */
  readonly name: string;
  readonly unit: Unit;
  /** Configured limit in units (micro-dollars for usd). Zero admits nothing, null is no limit. */
  readonly limit: number | null;
  readonly window: TimeWindow;
  /** False counts and holds no call: a budget that only warns. Absent is true. */
  readonly holds?: boolean;
  /** Milliseconds that a unit stays longer in its window than the window's length. */
  readonly guardMs: number;
  /** Where the limit was written, for people: "config/headgate.yaml:14", "profile massgen". */
  readonly source: string;
}

/** Spacing of agents' first calls. */
export interface StartRule {
  /** Milliseconds between one agent's first call and the next agent's. */
  readonly cooldownMs: number;
  /** Most starts in any 60 s; null for no cap. */
  readonly perMinute: number | null;
  /** An agent silent for this many milliseconds starts again. */
  readonly idleMs: number;
}

/** Everything that holds for one partition, matched anew at every admission. */
export interface QuotaRules {
  readonly partition: Partition;
  readonly policies: readonly QuotaPolicy[];
  /** Most exchanges in flight at once; null for no cap. */
  readonly maxConcurrent: number | null;
  /** Null where the startup cooldown is switched off. */
  readonly start: StartRule | null;
  /** False counts and never holds: shadow mode, or the rate limit switched off. */
  readonly enforce: boolean;
  /** Whether a limit named by an upstream 429 is taken over. */
  readonly learn: boolean;
}

/** Where the limit in force came from. */
export type LimitSource = 'configured' | 'learned' | 'override';

/** What a running headgate knows about a limit beyond its configuration. */
export interface LimitAdjustment {
  /** Named by an upstream 429, and the configured limit of that moment. */
  readonly learned: number | null;
  readonly learnedUnder: number | null;
  /** Set live by a person. */
  readonly override: number | null;
}

/**
 * The limit in force: a live override, else the smaller of configured and learned. A learned limit
 * counts only while the configured one is what it was when it was learned. Null is no limit.
 */
export function limitInForce(
  configured: number | null,
  { learned, learnedUnder, override }: LimitAdjustment,
): { limit: number | null; source: LimitSource } {
  if (override !== null) return { limit: override, source: 'override' };
  if (learned !== null && learnedUnder === configured && learned < (configured ?? Infinity)) {
    return { limit: learned, source: 'learned' };
  }
  return { limit: configured, source: 'configured' };
}
