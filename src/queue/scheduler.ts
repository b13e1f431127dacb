import type { Clock, Timer } from '../clock.ts';
import { ProxyError } from '../errors.ts';
import type { LedgerStore } from '../quota/ledger.ts';
import { LedgerBusyError } from '../quota/ledger.ts';
import type { Partition, QuotaRules } from '../quota/policy.ts';
import type { QueueLimits } from './bounds.ts';
import { fullFor } from './bounds.ts';
import type { Ending } from './round.ts';
import { admitFrom } from './round.ts';
import { countAhead } from './count-ahead.ts';
import { Lane, PLACE_KEPT_MS } from './lane.ts';
import { refusalFor } from './refusal.ts';
import type { Ticket } from './ticket.ts';
import type { WaitingState } from './waiting-state.ts';
import { waitingStates } from './waiting-state.ts';

/** Wait before another try when another process holds the database. */
const BUSY_RETRY_MS = 3;
/** After any other failure of the database. */
const FAILED_RETRY_MS = 500;
/** How long a write may be put off when nobody waits for it; a call admitted meanwhile takes it along. */
const WRITE_DELAY_MS = 5;
/** A write that has failed so often is given up; the reservation's ceiling stands. */
const WRITE_TRIES_MAX = 20;
/** How often the database is looked at for room that another process has made. */
const FOREIGN_POLL_MS = 50;
/** A wait of this length is worth a log line. */
const LONG_WAIT_MS = 2_000;

export interface SchedulerOptions {
  readonly ledger: LedgerStore;
  readonly clock: Clock;
  /** Timeline ms. */
  readonly nowMs: () => number;
  /** The rules now in force for a model as a client named it. */
  readonly rulesOf: (project: string, requestedModel: string) => QuotaRules;
  readonly bounds: () => QueueLimits;
  /** Whether other processes work on the same ledger. */
  readonly othersLive: () => boolean;
  /** Whether one of them has written to it since the last call. */
  readonly foreignChange: () => boolean;
  /** Called once for a call that has waited two seconds. */
  readonly onLongWait: (waiting: WaitingState) => void;
  readonly onError: (error: unknown) => void;
  /** Runs a function soon, once the present input has been read. Default setImmediate. */
  readonly defer?: (run: () => void) => void;
}

/**
 * Decides which call goes when. One transaction per round writes down what has ended since the
 * last one and admits what fits; between rounds one timer waits for the earliest instant at which
 * anything can change by itself.
 */
export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #defer: (run: () => void) => void;
  readonly #lanes = new Map<string, Lane>();
  readonly #laneOf = new Map<Ticket, Lane>();
  /** Calls whose tokens have been asked for. */
  readonly #asked = new WeakSet<Ticket>();
  readonly #toldLong = new WeakSet<Ticket>();
  /** Ledger writes of calls that have moved on; all safe to lose, for the ceiling stands. */
  #writes: PendingWrite[] = [];
  #heldBytes = 0;
  #roundDue = false;
  #timer: Timer | null = null;
  #lateRound: Timer | null = null;
  #stopped: ProxyError | null = null;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#defer = options.defer ?? ((run) => void setImmediate(run));
  }

  get waiting(): number {
    return this.#laneOf.size;
  }

  /** Takes a call in, or refuses it at once when the queue is full. */
  enqueue(ticket: Ticket): void {
    const full =
      this.#stopped ??
      fullFor(ticket, this.#laneOf.keys(), {
        depth: this.waiting,
        heldBytes: this.#heldBytes,
        bounds: this.#options.bounds(),
      });
    if (full !== null) {
      ticket.refused(full);
      return;
    }
    this.#insert(ticket);
    this.#heldBytes += ticket.heldBytes;
    this.#roundSoon();
  }

  /** Takes a call out whose client has left. False when it is not waiting any more. */
  leave(ticket: Ticket): boolean {
    return this.#remove(ticket, this.#options.nowMs() + PLACE_KEPT_MS);
  }

  /** An admitted call was not sent after all: its agent has had no turn, and keeps its place. */
  giveBack(ticket: Ticket): void {
    const lane = this.#lanes.get(keyOf(this.#rulesFor(ticket).partition));
    lane?.giveBack(ticket, this.#options.nowMs() + PLACE_KEPT_MS);
  }

  /** Refuses a waiting call by hand. */
  cancel(id: string): boolean {
    for (const ticket of this.#laneOf.keys()) {
      if (ticket.id !== id) continue;
      this.#remove(ticket, null);
      ticket.refused(new ProxyError('CANCELLED', 'this call was taken out of the queue by hand.'));
      return true;
    }
    return false;
  }

  /** Writes to the ledger in the next round, together with all others; then tries to admit. */
  write(partition: Partition, write: () => void): void {
    this.#writes.push({ write, failures: 0 });
    const lane = this.#lanes.get(keyOf(partition));
    if (lane === undefined || lane.size === 0) {
      this.#roundLater();
      return;
    }
    lane.dirty = true;
    this.#roundSoon();
  }

  /** Writes something else to the database in the next round. */
  note(write: () => void): void {
    this.#writes.push({ write, failures: 0 });
    this.#roundLater();
  }

  /** The configuration or a limit has changed: every waiting call is matched anew. */
  rematch(): void {
    const tickets = [...this.#lanes.values()].flatMap((lane) => lane.forecast(() => 1));
    for (const ticket of tickets) {
      const lane = this.#laneOf.get(ticket);
      const { partition } = this.#options.rulesOf(ticket.project, ticket.requestedModel);
      if (lane === undefined) continue;
      lane.dirty = true;
      if (keyOf(lane.partition) === keyOf(partition)) continue;
      lane.remove(ticket, null);
      this.#insert(ticket);
    }
    this.#roundSoon();
  }

  /** Refuses everyone who waits and everyone who comes. */
  stop(error: ProxyError): void {
    this.#stopped = error;
    this.#timer?.cancel();
    for (const ticket of this.#laneOf.keys()) {
      this.#remove(ticket, null);
      ticket.refused(error);
    }
  }

  /** Writes down what has ended, now. For the end of the process and for tests. */
  flush(): void {
    this.#round();
  }

  /** Who waits, in the expected order. */
  states(): WaitingState[] {
    const { ledger, nowMs } = this.#options;
    return ledger.transact(() =>
      [...this.#lanes.values()].flatMap((lane) => {
        const [first] = lane.inOrder();
        return first === undefined
          ? []
          : waitingStates(lane, this.#rulesFor(first), ledger, nowMs());
      }),
    );
  }

  #rulesFor(ticket: Ticket): QuotaRules {
    return this.#options.rulesOf(ticket.project, ticket.requestedModel);
  }

  #insert(ticket: Ticket): void {
    const { partition } = this.#rulesFor(ticket);
    const key = keyOf(partition);
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = new Lane(partition);
      this.#lanes.set(key, lane);
    }
    lane.push(ticket, this.#options.nowMs());
    this.#laneOf.set(ticket, lane);
  }

  #remove(ticket: Ticket, keepUntilMs: number | null): boolean {
    const lane = this.#laneOf.get(ticket);
    if (lane === undefined) return false;
    lane.remove(ticket, keepUntilMs);
    this.#forget(ticket, lane);
    this.#roundSoon();
    return true;
  }

  #forget(ticket: Ticket, lane: Lane): void {
    lane.dirty = true;
    this.#laneOf.delete(ticket);
    this.#heldBytes -= ticket.heldBytes;
  }

  #roundSoon(): void {
    if (this.#roundDue) return;
    this.#roundDue = true;
    this.#defer(() => {
      if (this.#roundDue) this.#round();
    });
  }

  /** Where nobody waits for what is written, the next admission's transaction may write it too. */
  #roundLater(): void {
    if (this.#roundDue || this.#lateRound !== null) return;
    this.#lateRound = this.#options.clock.after(WRITE_DELAY_MS, () => this.#round());
  }

  #round(): void {
    this.#roundDue = false;
    this.#lateRound?.cancel();
    this.#lateRound = null;
    const { ledger } = this.#options;
    const writes = this.#writes;
    const lanes = [...this.#lanes.values()].filter(({ dirty }) => dirty);
    const ended: Ending[] = [];
    try {
      if (writes.length > 0 || lanes.length > 0) {
        ledger.transact(() => {
          for (const { write } of writes) write();
          for (const lane of lanes) admitFrom(lane, this.#options, ended);
        });
      }
      this.#writes = this.#writes.slice(writes.length);
    } catch (error) {
      // Busy before anything was done: lanes and calls stand as they were.
      if (error instanceof LedgerBusyError && ended.length === 0) this.#wakeIn(BUSY_RETRY_MS);
      else this.#recover(error, lanes, ended);
      this.#refuseLate();
      return;
    }
    // All are out before any is told, so that nobody can take out again what has ended.
    for (const { ticket, lane } of ended) this.#forget(ticket, lane);
    const atMs = this.#options.nowMs();
    for (const [key, lane] of this.#lanes) if (lane.isOver(atMs)) this.#lanes.delete(key);
    for (const { tell } of ended) tell();
    for (const lane of this.#lanes.values()) {
      countAhead(lane, this.#asked, (ticket) => {
        if (this.#laneOf.get(ticket) !== lane) return;
        // Other processes must hear of the smaller need.
        lane.publishedHead = undefined;
        lane.dirty = true;
        this.#roundSoon();
      });
    }
    this.#refuseLate();
    this.#setTimer();
  }

  /**
   * A round has failed and nothing of it was written. Whoever was about to be admitted is told so;
   * the writes are tried one by one, so that one that cannot succeed does not hold up the others.
   */
  #recover(error: unknown, lanes: readonly Lane[], ended: readonly Ending[]): void {
    const { ledger, onError } = this.#options;
    onError(error);
    for (const lane of lanes) {
      lane.publishedHead = undefined;
      lane.dirty = true;
    }
    const message = 'headgate could not write its database; its log says why. Please retry in 1s.';
    const failed = new ProxyError('DATABASE_UNAVAILABLE', message, {
      retryAfterMs: FAILED_RETRY_MS,
      cause: error,
    });
    for (const { ticket, lane } of ended) this.#forget(ticket, lane);
    for (const { ticket } of ended) ticket.refused(failed);
    this.#writes = this.#writes.filter((pending) => {
      try {
        ledger.transact(pending.write);
        return false;
      } catch {
        pending.failures += 1;
        return pending.failures < WRITE_TRIES_MAX;
      }
    });
    this.#wakeIn(FAILED_RETRY_MS);
  }

  #refuseLate(): void {
    const atMs = this.#options.nowMs();
    const late = [...this.#laneOf.keys()].filter(({ deadlineMs }) => deadlineMs <= atMs);
    if (late.length === 0) return;
    const expected = this.#statesByTicket();
    for (const ticket of late) {
      const error = refusalFor(this.#rulesFor(ticket).partition, ticket.blocks[0] ?? null, {
        atMs,
        expectedAtMs: expected.get(ticket)?.expectedAtMs ?? Infinity,
        waitedMs: atMs - ticket.sinceMs,
      });
      const keepUntilMs = atMs + (error.retryAfterMs ?? 0) + PLACE_KEPT_MS;
      if (this.#remove(ticket, keepUntilMs)) ticket.refused(error);
    }
  }

  /** Empty while another process holds the database: what it decorates matters more. */
  #statesByTicket(): Map<Ticket, WaitingState> {
    try {
      return new Map(this.states().map((state) => [state.ticket, state]));
    } catch (error) {
      if (!(error instanceof LedgerBusyError)) this.#options.onError(error);
      return new Map();
    }
  }

  #setTimer(): void {
    const atMs = this.#options.nowMs();
    let wakeAtMs = Infinity;
    for (const lane of this.#lanes.values()) wakeAtMs = Math.min(wakeAtMs, lane.retryAtMs);
    for (const ticket of this.#laneOf.keys()) {
      wakeAtMs = Math.min(wakeAtMs, ticket.deadlineMs);
      if (this.#toldLong.has(ticket)) continue;
      const tellAtMs = ticket.sinceMs + LONG_WAIT_MS;
      // It is overdue when the database could not be asked, or when it has come back.
      wakeAtMs = Math.min(wakeAtMs, tellAtMs > atMs ? tellAtMs : atMs + FAILED_RETRY_MS);
    }
    if (this.waiting > 0 && this.#options.othersLive()) {
      wakeAtMs = Math.min(wakeAtMs, atMs + FOREIGN_POLL_MS);
    }
    this.#timer?.cancel();
    this.#timer = null;
    if (Number.isFinite(wakeAtMs)) this.#wakeIn(Math.max(1, wakeAtMs - atMs));
  }

  #wakeIn(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.after(delayMs, () => this.#wake());
  }

  #wake(): void {
    const atMs = this.#options.nowMs();
    const foreign = this.#options.foreignChange();
    for (const lane of this.#lanes.values()) {
      if (foreign || lane.retryAtMs <= atMs) lane.dirty = true;
    }
    this.#tellLongWaits(atMs);
    this.#round();
  }

  #tellLongWaits(atMs: number): void {
    const long = [...this.#laneOf.keys()].filter(
      (ticket) => !this.#toldLong.has(ticket) && ticket.sinceMs + LONG_WAIT_MS <= atMs,
    );
    if (long.length === 0) return;
    const states = this.#statesByTicket();
    for (const ticket of long) {
      const state = states.get(ticket);
      if (state === undefined) continue;
      this.#toldLong.add(ticket);
      this.#options.onLongWait(state);
    }
  }
}

interface PendingWrite {
  readonly write: () => void;
  failures: number;
}

function keyOf({ project, model }: Partition): string {
  return `${project}\n${model}`;
}
