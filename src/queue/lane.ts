import type { Partition } from '../quota/policy.ts';
import { FairOrder } from './fair-order.ts';
import type { Ticket } from './ticket.ts';

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
  /** The head that other processes have been told of. */
  publishedHead: string | null = null;
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

  take(ticket: Ticket, cost: number): void {
    const index = this.#urgent.indexOf(ticket);
    if (index !== -1) {
      this.#urgent.splice(index, 1);
      return;
    }
    this.#orderOf(ticket).take(ticket, cost);
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

  skip(ticket: Ticket): void {
    this.#orderOf(ticket).skip(ticket.agent);
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
