import type { Outcome } from '../exchange/call.ts';
import type { ExchangeView, HistorySpan, HistoryView } from './views.ts';

/** What feeds the page: what happens as it happens, and what has happened lately. */
export interface PageControl {
  /**
   * Hands over the present status, before it returns or soon after, and from then on what happens.
   * Returns the way to stop that. Nothing is made while nobody listens.
   */
  listen(listener: FrameListener): () => void;
  /** The newest first. */
  exchanges(query: ExchangesQuery): readonly ExchangeView[];
  history(query: HistoryQuery): HistoryView;
}

export type FrameListener = (frame: LiveFrame) => void;

/** Some events as they go over the wire: made once, for everybody who listens. */
export interface LiveFrame {
  /** `status`: only the newest matters, so that whoever is slow may do without this one. */
  readonly kind: 'status' | 'exchange' | 'sample';
  readonly bytes: Buffer;
}

export interface ExchangesQuery {
  /** At least 1. */
  readonly limit: number;
  /** As counted, or as a client wrote it; null takes any. */
  readonly model: string | null;
  readonly agent: string | null;
  readonly outcome: Outcome | null;
}

export interface HistoryQuery {
  readonly span: HistorySpan;
  /** As counted; null adds all up. */
  readonly model: string | null;
  readonly project: string | null;
}
