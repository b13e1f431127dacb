import type { Partition } from '../quota/policy.ts';
import { FairOrder } from './fair-order.ts';
import type { Ticket } from './ticket.ts';

/**
 * A refused or departed caller keeps its place this much longer than it was told to stay away:
 * clients that retry add a delay of their own.
 */
export const PLACE_KEPT_MS = 60_000;

/** Of so many turns, one is the batch class's while it waits. */
export const BATCH_TURN_EVERY = 8;

/** The waiting calls of one partition: urgent ones, then two classes in fair order. */
export class Lane {
  readonly partition: Partition;
  readonly #urgent: Ticket[] = [];
  readonly #interactive = new FairOrder();
  readonly #batch = new FairOrder();
  /** Turns since the batch class last had one. */
  #turns = 0;
  /** The head that other processes have been told of; undefined when that is not known. */
  publishedHead: string | null | undefined = null;
  /** When an attempt makes sense again, timeline ms. */
  retryAtMs = Infinity;
  /** Whether anything has changed since the last attempt. */
  dirty = false;

  constructor(partition: Partition) {
    this.partition = partition;
  }

  get size(): number {
    return this.#urgent.length + this.#interactive.size + this.#batch.size;
  }

  /** Whether nobody waits here and nobody's place is kept, so that the lane can be forgotten. */
  isOver(atMs: number): boolean {
    if (this.size > 0) return false;
    return !this.#interactive.keepsPlaces(atMs) && !this.#batch.keepsPlaces(atMs);
  }

  push(ticket: Ticket, atMs: number): void {
    if (ticket.urgent) this.#urgent.push(ticket);
    else this.#orderOf(ticket).push(ticket, atMs);
    this.dirty = true;
  }

  /** In the order of turns; the first is the head. */
  *inOrder(): Generator<Ticket> {
    yield* this.#urgent;
    for (const order of this.#classes()) yield* order.inOrder();
  }

  /** Every waiting call in the order expected for people; classes are not interleaved here. */
  forecast(costOf: (ticket: Ticket) => number): Ticket[] {
    return [...this.#urgent, ...this.#classes().flatMap((order) => order.forecast(costOf))];
  }

  /** The call has had its turn; `isBackfill` when it has passed a head that is blocked. */
  take(ticket: Ticket, cost: number, isBackfill = false): void {
    const index = this.#urgent.indexOf(ticket);
    if (index !== -1) {
      this.#urgent.splice(index, 1);
      return;
    }
    this.#orderOf(ticket).take(ticket, cost, isBackfill);
    if (!ticket.interactive) this.#turns = 0;
    else if (this.#batch.size > 0) this.#turns += 1;
  }

  remove(ticket: Ticket, keepUntilMs: number | null): boolean {
    const index = this.#urgent.indexOf(ticket);
    if (index !== -1) {
      this.#urgent.splice(index, 1);
      return true;
    }
    return this.#orderOf(ticket).remove(ticket, keepUntilMs);
  }

  /** The call had its turn and was not sent after all. An urgent one had taken none. */
  giveBack(ticket: Ticket, keepUntilMs: number): void {
    if (!ticket.urgent) this.#orderOf(ticket).giveBack(ticket, keepUntilMs);
  }

  #orderOf(ticket: Ticket): FairOrder {
    return ticket.interactive ? this.#interactive : this.#batch;
  }

  #classes(): FairOrder[] {
    return this.#turns >= BATCH_TURN_EVERY - 1
      ? [this.#batch, this.#interactive]
      : [this.#interactive, this.#batch];
  }
}
