import type { ProxyError } from '../../src/errors.ts';
import type { QueueLimits } from '../../src/queue/bounds.ts';
import { Scheduler } from '../../src/queue/scheduler.ts';
import type { Ticket } from '../../src/queue/ticket.ts';
import type { WaitingState } from '../../src/queue/waiting-state.ts';
import type { QuotaRules } from '../../src/quota/policy.ts';
import type { LedgerUnderTest } from './ledgers.ts';
import { units } from './quota-samples.ts';

/** How a waiter ended, and when on the timeline. */
export interface WaiterEnd {
  readonly id: string;
  readonly agent: string;
  readonly kind: 'admitted' | 'refused' | 'left';
  readonly atMs: number;
  readonly starts: boolean;
  readonly error: ProxyError | null;
}

/** A scheduler whose rounds run when the test says so, and that writes down how waiters end. */
export class WaitingRoom {
  readonly ends: WaiterEnd[] = [];
  readonly longWaits: WaitingState[] = [];
  readonly errors: unknown[] = [];
  readonly scheduler: Scheduler;
  readonly #under: LedgerUnderTest;
  #deferred: (() => void)[] = [];
  #ids = 0;
  onEnd: (end: WaiterEnd) => void = () => undefined;
  othersLive = false;
  foreignChange = false;
  bounds: QueueLimits = { depthMax: 1_000, depthPerAgentMax: 1_000, bytesMax: 1_000_000 };

  constructor(under: LedgerUnderTest, rulesOf: (project: string, model: string) => QuotaRules) {
    this.#under = under;
    this.scheduler = new Scheduler({
      ledger: under.as(0),
      clock: under.clock,
      nowMs: () => under.nowMs(),
      rulesOf,
      bounds: () => this.bounds,
      othersLive: () => this.othersLive,
      foreignChange: () => this.foreignChange,
      onLongWait: (waiting) => this.longWaits.push(waiting),
      onError: (error) => this.errors.push(error),
      defer: (run) => void this.#deferred.push(run),
    });
  }

  /** A call of one request that waits for ever, unless told otherwise. */
  ticket(more: Partial<Ticket> = {}): Ticket {
    this.#ids += 1;
    const id = more.id ?? `call-${this.#ids}`;
    const agent = more.agent ?? 'amy';
    const ceiling = more.ceiling ?? units(1);
    const end = (kind: WaiterEnd['kind'], starts: boolean, error: ProxyError | null) => {
      const end = { id, agent, kind, atMs: this.#under.nowMs(), starts, error };
      this.ends.push(end);
      this.onEnd(end);
    };
    return {
      id,
      project: 'p',
      requestedModel: 'm',
      agent,
      interactive: true,
      heldBytes: 1,
      sinceMs: this.#under.nowMs(),
      deadlineMs: Infinity,
      urgent: false,
      countTokens: null,
      admitted: ({ starts }) => end('admitted', starts, null),
      refused: (error) => end('refused', false, error),
      units: ceiling,
      ceiling,
      exact: true,
      blocks: [],
      ...more,
    };
  }

  enqueue(more: Partial<Ticket> = {}): Ticket {
    const ticket = this.ticket(more);
    this.scheduler.enqueue(ticket);
    return ticket;
  }

  leave(ticket: Ticket): boolean {
    const isOut = this.scheduler.leave(ticket);
    const { id, agent } = ticket;
    const atMs = this.#under.nowMs();
    if (isOut) this.ends.push({ id, agent, kind: 'left', atMs, starts: false, error: null });
    return isOut;
  }

  /** Runs what has been deferred, and what that defers. */
  settle(): void {
    while (this.#deferred.length > 0) {
      const due = this.#deferred;
      this.#deferred = [];
      for (const run of due) run();
    }
  }

  /** Lets time pass step by step, running rounds in between. */
  pass(ms: number, stepMs = 1): void {
    for (let passed = 0; passed < ms; passed += stepMs) {
      this.settle();
      this.#under.clock.advance(stepMs);
    }
    this.settle();
  }

  /** The ids, or agents, of the admitted in the order of their admission. */
  admitted(by: 'id' | 'agent' = 'id'): string[] {
    return this.ends.filter(({ kind }) => kind === 'admitted').map((end) => end[by]);
  }
}
