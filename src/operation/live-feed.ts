import type { Clock, Timer } from '../clock.ts';
import type { ExchangeRecord } from '../exchange/call.ts';
import { eventFrame } from '../http/event-frame.ts';
import type { FrameListener, LiveFrame } from '../http/page-control.ts';
import type { SamplePoint, SampleView, StatusView } from '../http/views.ts';
import { exchangeView } from './recent-exchanges.ts';

/** At most two statuses are made in a second, for all listeners together. */
export const STATUS_MS_MIN = 500;
/** Windows empty by themselves, so a status is told anew even when nothing has happened. */
export const STATUS_MS_MAX = 5_000;
/** Exchanges that end within this time go out together: at a thousand a second, one write for 50. */
const GATHER_MS = 50;

export interface LiveFeedOptions {
  readonly clock: Clock;
  readonly status: () => StatusView;
  /** Differs whenever a status would tell of something new. Asked often, so it must cost nothing. */
  readonly mark: () => string;
}

/**
 * Tells those who listen what happens. Everything is made once, for all of them, and nothing while
 * there is nobody.
 */
export class LiveFeed {
  readonly #options: LiveFeedOptions;
  readonly #listeners = new Set<FrameListener>();
  #ended: ExchangeRecord[] = [];
  #status: { readonly frame: LiveFrame; readonly madeAtMs: number; readonly mark: string } | null =
    null;
  #lookTimer: Timer | null = null;
  #gatherTimer: Timer | null = null;

  constructor(options: LiveFeedOptions) {
    this.#options = options;
  }

  listen(listener: FrameListener): () => void {
    // What was gathered before belongs to those who were there.
    this.#sendEnded();
    const { clock } = this.#options;
    const ageMs = this.#status === null ? Infinity : clock.monotonicMs() - this.#status.madeAtMs;
    if (ageMs >= STATUS_MS_MIN) this.#tellStatus();
    this.#listeners.add(listener);
    if (this.#status !== null) listener(this.#status.frame);
    if (this.#lookTimer === null) this.#lookLater();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.close();
    };
  }

  exchangeEnded(record: ExchangeRecord): void {
    if (this.#listeners.size === 0) return;
    this.#ended.push(record);
    this.#gatherTimer ??= this.#options.clock.after(GATHER_MS, () => this.#sendEnded());
  }

  minuteClosed(point: SamplePoint): void {
    if (this.#listeners.size === 0) return;
    const sample: SampleView = { span: 'hour', point };
    this.#send(eventFrame('sample', [sample]));
  }

  close(): void {
    this.#lookTimer?.cancel();
    this.#gatherTimer?.cancel();
    this.#lookTimer = null;
    this.#gatherTimer = null;
    this.#ended = [];
  }

  #sendEnded(): void {
    this.#gatherTimer?.cancel();
    this.#gatherTimer = null;
    if (this.#ended.length === 0) return;
    const views = this.#ended.map(exchangeView);
    this.#ended = [];
    this.#send(eventFrame('exchange', views));
  }

  #look(): void {
    const { clock, mark } = this.#options;
    const known = this.#status;
    const isOld = known === null || clock.monotonicMs() - known.madeAtMs >= STATUS_MS_MAX;
    if (isOld || known.mark !== mark()) this.#tellStatus();
    this.#lookLater();
  }

  #lookLater(): void {
    this.#lookTimer?.cancel();
    this.#lookTimer = this.#options.clock.after(STATUS_MS_MIN, () => this.#look());
  }

  /** Makes a new one, and puts off the next look, so that two are never made close together. */
  #tellStatus(): void {
    const { clock, mark, status } = this.#options;
    // Before the status: what changes while it is made is told by the next one.
    const before = mark();
    let view: StatusView;
    try {
      view = status();
    } catch {
      // Another process holds the database just now. The next look asks again, for the mark is old.
      return;
    }
    this.#status = {
      frame: eventFrame('status', [view]),
      madeAtMs: clock.monotonicMs(),
      mark: before,
    };
    if (this.#lookTimer !== null) this.#lookLater();
    this.#send(this.#status.frame);
  }

  #send(frame: LiveFrame): void {
    for (const listener of this.#listeners) listener(frame);
  }
}
