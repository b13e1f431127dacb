import type { Usage } from '../gemini/answer-json.ts';
import type { QuotaRules } from '../quota/policy.ts';
import type { Units } from '../quota/units.ts';
import { NO_UNITS } from '../quota/units.ts';
import type { Admission, Ticket } from '../queue/ticket.ts';
import type { ExchangeContext } from './exchange.ts';

/**
 * What one admitted session holds: a request and a place among those that run at once, until it
 * ends in exactly one settle or release. Its turns are charged by events of their own.
 */
export class LiveReservation {
  readonly rules: QuotaRules;
  readonly #context: ExchangeContext;
  readonly #ticket: Ticket;
  readonly #starts: boolean;
  #isDated = false;
  #isClosed = false;

  constructor(
    context: ExchangeContext,
    parts: {
      readonly ticket: Ticket;
      readonly rules: QuotaRules;
      readonly admission: Pick<Admission, 'starts'>;
    },
  ) {
    this.#context = context;
    this.#ticket = parts.ticket;
    this.rules = parts.rules;
    this.#starts = parts.admission.starts;
  }

  /** The setup has left. */
  sent(): void {
    if (!this.#starts || this.#isClosed) return;
    const atMs = this.#context.timeline.nowMs();
    this.#write(() => this.#context.ledger.dateStart(this.#ticket.id, atMs));
  }

  /** The upstream has answered, so it has counted the session; only the place is held from now on. */
  counted(): void {
    if (this.#isDated || this.#isClosed) return;
    this.#isDated = true;
    const atMs = this.#context.timeline.nowMs();
    this.#write(() => this.#context.ledger.date(this.#ticket.id, atMs));
  }

  /** Adds the tokens of one turn, also when they are told after the client has left. */
  charge(usage: Usage, usdMicros: number): void {
    const { inputTokens, outputTokens } = usage;
    const units: Units = { ...NO_UNITS, inputTokens, outputTokens, usdMicros };
    const atMs = this.#context.timeline.nowMs();
    this.#write(() => this.#context.ledger.charge(this.rules.partition, units, atMs));
  }

  settle(units: Units): void {
    const atMs = this.#context.timeline.nowMs();
    this.#close(() => this.#context.ledger.settle(this.#ticket.id, { units, atMs, sent: true }));
  }

  /** Nothing was sent. */
  release(): void {
    const atMs = this.#context.timeline.nowMs();
    this.#close(() => this.#context.ledger.release(this.#ticket.id, atMs));
  }

  #close(write: () => void): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#write(write);
  }

  #write(write: () => void): void {
    this.#context.scheduler.write(this.rules.partition, write);
  }
}
