/** One directory or file on its way from its temporary to its final name, in the same directory. */
export interface TurnMove {
  /** Absolute; holds everything once the intent is decided, and is gone once it is moved. */
  readonly from: string;
  /** Absolute; an empty directory or file of that name is the claim of it. */
  readonly to: string;
}

/**
 * A turn on its way to the disk. What its writer has left when it died is put right by the next one:
 *
 *   prepared ──▶ decided ──▶ (removed)      everything is written: the moves are finished
 *      │            │
 *      └──▶ undone ◀┘ ─────▶ (removed)      what was written is removed, nothing was ever seen of it
 *
 * `decided` goes to `undone` only as long as nothing has been moved.
 */
export interface TurnIntent {
  readonly id: string;
  /** Key of the log. */
  readonly log: string;
  readonly state: 'prepared' | 'decided' | 'undone';
  readonly moves: readonly TurnMove[];
}

/** All methods throw DATABASE_UNAVAILABLE where the database cannot be used. */
export interface TurnIntents {
  /** Whether anything of this log is on its way, of a writer that is at it or of one that died. */
  has(log: string): boolean;
  /** Oldest first. */
  of(log: string): readonly TurnIntent[];
  /** Adds an intent as prepared; it is on the disk when this returns. */
  prepare(intent: Pick<TurnIntent, 'id' | 'log' | 'moves'>): void;
  /**
   * From here on the turn is taken; on the disk when this returns. False when the intent is not
   * prepared any more: somebody took its writer for dead and undoes it.
   */
  decide(id: string): boolean;
  undo(id: string): void;
  remove(id: string): void;
}
