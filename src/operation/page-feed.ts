import type { Clock } from '../clock.ts';
import type { ExchangeRecord } from '../exchange/call.ts';
import type { PageControl } from '../http/page-control.ts';
import type { StatusView } from '../http/views.ts';
import type { Partition } from '../quota/policy.ts';
import type { SampleStore } from '../store/sample-store.ts';
import { LiveFeed } from './live-feed.ts';
import { MinuteSamples } from './minute-samples.ts';
import { RecentExchanges } from './recent-exchanges.ts';

export interface PageFeedOptions {
  readonly clock: Clock;
  readonly samples: SampleStore;
  /** Runs database work soon; `flush` does it now. */
  readonly note: (write: () => void) => void;
  readonly flush: () => void;
  readonly status: () => StatusView;
  /** Differs whenever a status would tell of something new. */
  readonly mark: () => string;
}

/** What feeds the page, made from exchanges as they end. */
export interface PageFeed extends PageControl {
  add(record: ExchangeRecord): void;
  /** A 429 of the upstream. */
  addRejection(partition: Partition): void;
  /** Writes down what has been counted since the last minute. */
  writeSamples(): void;
  close(): void;
}

export function createPageFeed(options: PageFeedOptions): PageFeed {
  const recent = new RecentExchanges();
  const live = new LiveFeed(options);
  const samples = new MinuteSamples({
    ...options,
    closed: (point) => live.minuteClosed(point),
  });
  return {
    listen: (listener) => live.listen(listener),
    exchanges: (query) => recent.find(query),
    history: (query) => samples.history(query),
    add(record) {
      if (record.method === 'pass') return;
      recent.add(record);
      samples.add(record);
      live.exchangeEnded(record);
    },
    addRejection: (partition) => samples.addRejection(partition),
    writeSamples: () => samples.write(),
    close() {
      live.close();
      samples.close();
    },
  };
}
