import type { NewTurn, TakenTurn } from '../../contracts.ts';
import type { Session, SessionLog, SessionWarning } from '../../session.ts';

/** A directory or a file that is added beside what is there. */
export interface TurnPiece {
  /** Absolute; exists. */
  readonly parent: string;
  /** Must not exist yet. */
  readonly name: string;
  /** By path inside the piece, with `/`; of a piece that is a file, the one under ''. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

export interface TurnPlan {
  readonly number: number;
  /** The one in the log itself first. */
  readonly pieces: readonly TurnPiece[];
  readonly warnings: readonly SessionWarning[];
}

export interface PlanOptions {
  readonly log: SessionLog;
  readonly session: Session;
  readonly turn: NewTurn;
  /** Names that were found taken so far: each time a later one is planned. */
  readonly tries: number;
  /** Ids that were never used before. */
  readonly newId: () => string;
}

/** How one format of logs takes a new turn. */
export interface TurnLayout {
  /**
   * What has to be added. A text says why the log cannot take this turn: its own reader would not
   * give back what was written, or not what was there before.
   */
  plan(options: PlanOptions): TurnPlan | string;
  /** The turn that headgate wrote under this key; null where there is none. Never throws. */
  taken(log: SessionLog, idempotencyKey: string): TakenTurn | null;
}
