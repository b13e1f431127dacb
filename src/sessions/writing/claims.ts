/** A claim that was not renewed for this long is of a dead process, ms. Renewals come every few seconds. */
export const CLAIM_MS = 15_000;

/**
 * Who takes the next turn of a session, among all processes on one database: one at a time. `log` is
 * the key of the log (`keyOf`), `holder` a name that nobody else has.
 */
export interface TurnClaims {
  /**
   * False while somebody else holds a live claim. A holder that was taken for dead keeps nothing: what
   * it writes is refused at `TurnIntents.decide`. Throws DATABASE_UNAVAILABLE.
   */
  acquire(log: string, holder: string): boolean;
  /** False when the claim was lost meanwhile. */
  renew(log: string, holder: string): boolean;
  /** Nothing happens where the claim is another's. */
  release(log: string, holder: string): void;
}
