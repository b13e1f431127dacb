import type {
  ExplainView,
  LimitsView,
  QueuedView,
  ReloadView,
  StatusView,
  UsageView,
} from './views.ts';

/**
 * What the routes of section "Operation" may ask of the daemon. Errors are ProxyErrors; the routes
 * render them as application/problem+json.
 */
export interface Control {
  status(): StatusView;
  limits(): readonly LimitsView[];
  /** Sets live limits by policy name; null takes it back. Unknown policy: BAD_REQUEST naming it. */
  setLimits(model: string, limits: ReadonlyMap<string, number | null>, project: string): LimitsView;
  /** Drops live and learned limits and lifts cooldowns of the model. */
  resetLimits(model: string, project: string): LimitsView;
  explain(query: ExplainQuery): ExplainView;
  queue(): readonly QueuedView[];
  /** False when nothing with this id waits. */
  cancelQueued(id: string): boolean;
  reload(): ReloadView;
  /** `since` and `until` as the caller wrote them; BAD_REQUEST names the one that is no day. */
  usage(query: UsageQuery): UsageView;
  /** Null when calls can be taken; else why not. */
  unreadyReason(): string | null;
}

export interface UsageQuery {
  readonly by: UsageView['by'];
  /** A Pacific day, YYYY-MM-DD, or so many days with today, as 7d; null for as far back as is kept. */
  readonly since: string | null;
  /** The last day, YYYY-MM-DD; null for today. */
  readonly until: string | null;
}

export interface ExplainQuery {
  readonly model: string;
  /** Input tokens of the imagined call; 0 when not told. */
  readonly tokens: number;
  readonly agent: string | null;
  readonly project: string;
}
