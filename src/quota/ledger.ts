import type { LimitSource, Partition, QuotaRules } from './policy.ts';
import type { Unit, Units } from './units.ts';

/**
 * The ledger: who holds how many units of which partition.
 *
 *              reserve               date                  settle
 *   (waiting) ─────────▶ reserved ─────────▶ dated ─────────────────▶ settled
 *                          │  in flight: held,  in the log at its        in the log at
 *                          │  never expires     ceiling, ages            its real units
 *                          └─ release ▶ gone
 *
 * Every reservation ends in exactly one settle or release; whoever finds the lease of its process
 * expired settles it at its ceiling instead. Calls about a reservation that has ended do nothing.
 *
 * All times are milliseconds on the timeline (quota/timeline.ts) unless a name says otherwise.
 */
export interface LedgerStore {
  /**
   * Runs `work` in one IMMEDIATE transaction; the methods below may only be called inside it.
   * Throws LedgerBusyError when another process holds the lock; nothing has happened then.
   */
  transact<T>(work: () => T): T;

  /** Takes the units of one exchange, or says what is in the way. Takes all or nothing. */
  reserve(request: ReserveRequest): ReserveOutcome;
  /** The upstream has counted the call, at the latest, at `atMs`: held units enter the log. */
  date(reservationId: string, atMs: number): void;
  /** The bytes of an agent's first call left at `atMs`: the next start is measured from here. */
  dateStart(reservationId: string, atMs: number): void;
  /** Replaces the ceiling by what the exchange really took. Dates it now if it is not yet dated. */
  settle(reservationId: string, settlement: Settlement): void;
  /** Adds units by an event of their own: output tokens, which are charged when the answer ends. */
  charge(partition: Partition, units: Units, atMs: number): void;
  /** Gives everything back: the call was never sent. */
  release(reservationId: string, atMs: number): void;

  /** What stands in each window, for people; expires nothing. */
  windows(rules: QuotaRules, atMs: number): PartitionState;
  /** For each amount in all, when it will have passed, as far as can be told; Infinity for never. */
  expectedAtMs(rules: QuotaRules, needed: readonly Units[], atMs: number): number[];
  /** Whether `agent` has started here and has not been silent for `idleMs`. */
  isStarted(partition: Partition, agent: string, idleMs: number, atMs: number): boolean;

  /** Nothing goes out to the partition until `untilMs`. Keeps the later of two for one kind. */
  park(partition: Partition, cooldown: Cooldown): void;
  /** Lifts cooldowns; all of them when `kind` is null. */
  unpark(partition: Partition, kind: CooldownKind | null): void;

  /** Takes over a limit that the upstream named. Returns whether it is news. Never takes 0. */
  learnLimit(partition: Partition, policy: string, limit: LearnedLimit): boolean;
  /** Sets (or with null lifts) a live limit. */
  overrideLimit(partition: Partition, policy: string, limit: number | null, atMs: number): void;
  /** Forgets learned and live limits of the partition. */
  resetLimits(partition: Partition): void;
  /** Everything that differs from the configuration, for `limits list`. */
  adjustedLimits(): readonly AdjustedLimit[];

  /** Counts the units of `from` as units of `to` from now on: two names of one model. */
  mergePartitions(from: Partition, to: Partition): void;
  partitions(): readonly Partition[];

  /** Tells other processes which call of ours waits longest per partition; null for none. */
  publishHead(partition: Partition, head: PublishedHead | null): void;
}

export interface ReserveRequest {
  readonly reservationId: string;
  readonly rules: QuotaRules;
  readonly agent: string;
  /** The expected units. */
  readonly units: Units;
  /** The most units that are believed possible; what is held until the answer tells. */
  readonly ceiling: Units;
  /** Whether the input tokens were counted by the upstream rather than estimated. */
  readonly exact: boolean;
  /** Since when the call waits; orders it against other processes' heads. */
  readonly sinceMs: number;
  readonly interactive: boolean;
  readonly atMs: number;
  /** A call of ours ahead of this one that it must not delay; null for the head itself. */
  readonly behind: HeadClaim | null;
}

/** What the head of a queue waits for. */
export interface HeadClaim {
  readonly ceiling: Units;
}

export interface PublishedHead extends HeadClaim {
  readonly sinceMs: number;
  readonly interactive: boolean;
}

export type ReserveOutcome =
  | {
      readonly kind: 'admitted';
      /** As they stand with this call in them. */
      readonly windows: readonly WindowState[];
      /** Whether it is its agent's first call. */
      readonly starts: boolean;
      /** What would have held the call, had the rules been enforced. */
      readonly ignored: readonly Block[];
    }
  | {
      readonly kind: 'blocked';
      /** Everything that is in the way, the longest wait first. Never empty. */
      readonly blocks: readonly Block[];
      /** No admission is possible earlier. Infinity: not known, something must change first. */
      readonly retryAtMs: number;
    }
  /** Exactly counted and larger than a limit: it can never pass. */
  | { readonly kind: 'too_large'; readonly state: WindowState; readonly needs: number };

export type BlockReason =
  /** A policy has no room. */
  | 'quota'
  /** The upstream parked the partition. */
  | 'cooldown'
  /** Another agent has just started. */
  | 'startup'
  /** `max_concurrent` exchanges are running. */
  | 'concurrency'
  /** It would delay a call that has waited longer, here or in another process. */
  | 'head';

export interface Block {
  readonly reason: BlockReason;
  /** The policy without room; null where none is at fault. */
  readonly state: WindowState | null;
  /** Units that the call needs of that policy. */
  readonly needs: number;
  /** When this block will be gone, if nothing else changes; Infinity when not known. */
  readonly freeAtMs: number;
  readonly cooldown: Cooldown | null;
}

/** One policy's window at one instant. Units in the policy's unit. */
export interface WindowState {
  readonly policy: string;
  readonly unit: Unit;
  readonly spanMs: number;
  /** Null is no limit. */
  readonly limit: number | null;
  readonly limitSource: LimitSource;
  /** Units in the log plus units held by calls in flight. */
  readonly used: number;
  /** Of these, held by calls that the upstream may not have counted yet. */
  readonly held: number;
  /** When the oldest unit leaves; null when the log is empty. */
  readonly nextFreeAtMs: number | null;
}

export interface PartitionState {
  readonly windows: readonly WindowState[];
  readonly cooldowns: readonly Cooldown[];
  /** Exchanges in flight. */
  readonly running: number;
  /** When the last agent started; null when none has within the last minute. */
  readonly lastStartAtMs: number | null;
  /** Starts in the last 60 s. */
  readonly starts: number;
}

export type CooldownKind = 'minute' | 'day' | 'exhausted' | 'billing' | 'zero_limit';

export interface Cooldown {
  readonly kind: CooldownKind;
  readonly untilMs: number;
  /** One sentence for people. */
  readonly reason: string;
}

export interface LearnedLimit {
  readonly limit: number;
  /** The configured limit of this moment; a change of it drops the learned one. */
  readonly configured: number | null;
  readonly atMs: number;
}

export interface AdjustedLimit {
  readonly partition: Partition;
  readonly policy: string;
  readonly learned: number | null;
  readonly learnedUnder: number | null;
  readonly learnedAtMs: number | null;
  readonly override: number | null;
  readonly overrideAtMs: number | null;
}

export interface Settlement {
  readonly units: Units;
  readonly atMs: number;
  /** Whether the agent's call reached the upstream, so that its start counts. */
  readonly sent: boolean;
}

/** The database is locked by another process; try again in a few milliseconds. */
export class LedgerBusyError extends Error {
  override readonly name = 'LedgerBusyError';
}
