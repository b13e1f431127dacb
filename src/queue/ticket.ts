import type { ProxyError } from '../errors.ts';
import type { Block, ReserveOutcome } from '../quota/ledger.ts';
import type { Units } from '../quota/units.ts';

export type Admission = Extract<ReserveOutcome, { kind: 'admitted' }>;

/** A call that waits for admission. The scheduler owns the fields that are not readonly. */
export interface Ticket {
  /** Also the reservation's id; a call sent again gets a new one. */
  readonly id: string;
  readonly project: string;
  /** As the client named it; resolved to a partition anew whenever the configuration changes. */
  readonly requestedModel: string;
  readonly agent: string;
  readonly interactive: boolean;
  /** Bytes that the waiting call keeps in memory. */
  readonly heldBytes: number;
  /** Timeline ms; of a call that has come back, when its first try was received. */
  readonly sinceMs: number;
  readonly deadlineMs: number;
  /** Ahead of everyone: a call that the upstream rejected and that is sent again. */
  readonly urgent: boolean;
  /** The next hop of an interaction that is under way. Absent is false. */
  readonly isHop?: boolean;
  /** Which try of its client this is; absent is 1, the first. */
  readonly attempt?: number;
  /** Counts the input tokens at the upstream; null where that is not possible. Never rejects. */
  readonly countTokens: (() => Promise<number | null>) | null;
  readonly admitted: (admission: Admission, atMs: number) => void;
  readonly refused: (error: ProxyError) => void;

  /** Expected and highest units; the input tokens become exact once counted. */
  units: Units;
  ceiling: Units;
  exact: boolean;
  /** What was in the way at the last attempt; empty before the first. */
  blocks: readonly Block[];
}
