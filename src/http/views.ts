import type { Outcome } from '../exchange/call.ts';

/**
 * The JSON of our own routes. snake_case, because it is public.
 * Instants are ISO 8601 in UTC, durations whole milliseconds.
 */

/** GET /status */
export interface StatusView {
  readonly version: string;
  readonly pid: number;
  readonly started_at: string;
  readonly uptime_ms: number;
  readonly listen: string;
  /** enforce, shadow (counts, never delays), off (--no-rate-limit). */
  readonly mode: 'enforce' | 'shadow' | 'off';
  readonly config: ConfigView;
  readonly upstream: { readonly base_url: string; readonly simulated: boolean };
  readonly database: { readonly path: string; readonly bytes: number };
  readonly totals: TotalsView;
  readonly partitions: readonly PartitionView[];
  readonly queue: readonly QueuedView[];
  /** Those with calls under way, then those whose last call ended within the hour; at most 100. */
  readonly agents: readonly AgentView[];
  readonly recent_refusals: readonly RefusalView[];
  /** The present day of Google's quotas. */
  readonly day: DayView;
  readonly truth: TruthView;
  /** Sentences that a person should see first: a failed reload, a learned limit, shadow mode. */
  readonly banners: readonly string[];
}

export interface DayView {
  /** IANA name of the zone whose midnight ends the day. */
  readonly zone: string;
  readonly started_at: string;
  readonly resets_at: string;
}

/** How well headgate keeps what it promises. */
export interface TruthView {
  /** 429s of the upstream since `started_at`; the goal is 0. */
  readonly upstream_rejections: number;
  /** Input tokens as counted upstream over those estimated; null before the first answer. */
  readonly estimate_ratio: { readonly mean: number; readonly samples: number } | null;
  /** Starts on this database in the last 24 hours, its very first start not counted. */
  readonly restarts: number;
  /** When this process started: what is counted here is counted from then. */
  readonly started_at: string;
}

export interface ConfigView {
  /** Null when the built-in defaults are in force. */
  readonly file: string | null;
  readonly profile: string;
  readonly hash: string;
  readonly loaded_at: string;
  /** Why the last reload was not taken; null when it was. */
  readonly reload_error: string | null;
}

export interface TotalsView {
  readonly exchanges: number;
  readonly answered: number;
  readonly refused: number;
  readonly cancelled: number;
  readonly failed: number;
  /** 429s of the upstream; the goal is 0. */
  readonly upstream_rejections: number;
  readonly running: number;
  readonly waiting: number;
}

export interface PartitionView {
  readonly project: string;
  readonly model: string;
  readonly windows: readonly WindowView[];
  readonly cooldowns: readonly CooldownView[];
  readonly running: number;
  readonly max_concurrent: number | null;
  readonly waiting: number;
}

export interface WindowView {
  /** rpm, tpm, rpd or the name of a free window. */
  readonly policy: string;
  /** requests, input_tokens, total_tokens, usd (whole dollars, fractions allowed). */
  readonly unit: string;
  /** Null is no limit. */
  readonly limit: number | null;
  readonly limit_source: 'configured' | 'learned' | 'override';
  /** Where the configured limit was written: file:line or profile. */
  readonly source: string;
  readonly used: number;
  /** Of `used`, held by calls in flight. */
  readonly held: number;
  readonly span_ms: number;
  /** When the oldest unit leaves the window; null when it is empty. */
  readonly next_free_at: string | null;
}

export interface CooldownView {
  /** minute, day, exhausted, billing, zero_limit, startup */
  readonly kind: string;
  readonly until: string;
  readonly remaining_ms: number;
  readonly reason: string;
}

/** GET /queue: { queue: QueuedView[] } */
export interface QueuedView {
  /** The request id; DELETE /queue/:id cancels it. */
  readonly id: string;
  readonly project: string;
  readonly model: string;
  readonly agent: string;
  readonly class: 'interactive' | 'batch';
  /** 1 is next, within its project and model. */
  readonly position: number;
  readonly tokens: number;
  /** Which try of its client this is: 1 is the first, 2 a retry. */
  readonly attempt: number;
  /** Since the first try that is remembered was received. */
  readonly waited_ms: number;
  /** Null when it cannot be known yet. */
  readonly expected_at: string | null;
  /** In words: "input tokens per minute: needs 12,400, 231,000 of 240,000 used". */
  readonly reason: string;
  readonly deadline_at: string;
}

/** Who calls, and what it has had since the daemon started. */
export interface AgentView {
  readonly agent: string;
  /** Calls out of the queue and not yet ended. */
  readonly running: number;
  readonly waiting: number;
  /** Ended calls, those refused included. */
  readonly calls: number;
  readonly refused: number;
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly usd: number;
  /** Of its last ended call; null before the first has ended. */
  readonly last_model: string | null;
  readonly last_ended_at: string | null;
}

export interface RefusalView {
  readonly at: string;
  readonly id: string;
  readonly project: string;
  readonly model: string;
  readonly agent: string;
  readonly reason: string;
  readonly message: string;
}

/** GET /limits: { limits: LimitsView[] }; PATCH and DELETE /limits/:model answer one LimitsView. */
export interface LimitsView {
  readonly project: string;
  /** A model seen or adjusted, or the key of a configured row. */
  readonly model: string;
  readonly windows: readonly LimitView[];
  readonly max_concurrent: number | null;
}

export interface LimitView {
  readonly policy: string;
  readonly unit: string;
  readonly limit: number | null;
  readonly limit_source: 'configured' | 'learned' | 'override';
  readonly configured: number | null;
  readonly learned: number | null;
  readonly override: number | null;
  readonly source: string;
}

/** POST /limits/explain */
export interface ExplainView {
  readonly project: string;
  readonly model: string;
  readonly admit: boolean;
  /** 0 when it would pass now; null when it would never pass or the time is not known. */
  readonly wait_ms: number | null;
  readonly limited_by: readonly {
    readonly policy: string;
    readonly used: number;
    readonly limit: number | null;
    readonly free_at: string | null;
    /** The same in a sentence. */
    readonly message: string;
  }[];
}

/** POST /reload: 200, or 422 as problem+json with the error's place. */
export interface ReloadView {
  readonly result: 'applied' | 'unchanged';
  readonly file: string | null;
  readonly hash: string;
  /** Settings that take effect only at the next start, such as `listen`. */
  readonly restart_needed: readonly string[];
}

/** GET /usage: sums over whole days of Google's quota zone. */
export interface UsageView {
  readonly by: 'model' | 'agent' | 'project' | 'day';
  /** First day, YYYY-MM-DD; null for as far back as is kept. */
  readonly since: string | null;
  /** Last day, YYYY-MM-DD. */
  readonly until: string;
  /** IANA name of the zone whose midnight ends a day. */
  readonly zone: string;
  /** The most requests first, and days the newest first; at most 1,000. */
  readonly rows: readonly UsageRowView[];
  /** Of all calls of these days, also those of rows beyond the 1,000. */
  readonly total: UsageSumView;
}

export interface UsageSumView {
  readonly requests: number;
  readonly input_tokens: number;
  readonly output_tokens: number;
  /** At the prices of the day of each call; 0 for a model without a price. */
  readonly usd: number;
}

export interface UsageRowView extends UsageSumView {
  readonly key: string;
}

/** GET /exchanges: { exchanges: ExchangeView[] }. Nothing of what was asked or answered is in it. */
export interface ExchangeView {
  /** When it ended. */
  readonly at: string;
  readonly id: string;
  readonly project: string;
  readonly model: string;
  /** As the client wrote it. */
  readonly requested_model: string;
  readonly method: string;
  readonly agent: string;
  readonly outcome: Outcome;
  /** Of a refusal or failure; null otherwise. */
  readonly reason: string | null;
  /** What the client was told with it. */
  readonly message: string | null;
  /** Status sent to the client; 0 when none was. */
  readonly status: number;
  readonly queued_ms: number;
  /** In words; null when it did not wait. */
  readonly wait_reason: string | null;
  readonly first_byte_ms: number | null;
  readonly upstream_ms: number;
  readonly duration_ms: number;
  /** Duration outside queue and upstream; fractions allowed. */
  readonly overhead_ms: number;
  readonly estimated_tokens: number;
  /** Null where the answer told nothing. */
  readonly input_tokens: number | null;
  readonly output_tokens: number | null;
  readonly usd: number;
  /** 429s that it met and waited out. */
  readonly resends: number;
}

/** GET /history */
export interface HistoryView {
  readonly span: HistorySpan;
  readonly step_ms: number;
  /** Oldest first, without gaps; the last step is the present one, which is not yet whole. */
  readonly points: readonly SamplePoint[];
}

/** 60 steps of a minute, or 96 of a quarter of an hour. */
export type HistorySpan = 'hour' | 'day';

/** The counted exchanges that ended within one step. */
export interface SamplePoint {
  /** When the step began. */
  readonly at: string;
  readonly requests: number;
  readonly input_tokens: number;
  readonly output_tokens: number;
  /** Of `requests`, those that had to wait. */
  readonly waited: number;
  readonly wait_ms_max: number;
  /** Of those that had to wait; 0 without any. */
  readonly wait_ms_mean: number;
  /** Of `requests`, those that headgate refused. */
  readonly refusals: number;
  /** 429s of the upstream, those waited out included. */
  readonly upstream_rejections: number;
  readonly usd: number;
}

/** Event `sample` of GET /events. */
export interface SampleView {
  readonly span: 'hour';
  readonly point: SamplePoint;
}
