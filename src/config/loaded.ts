import type { Unit } from '../quota/units.ts';
import type { TimeWindow } from '../quota/window.ts';

/**
 * A configuration as the daemon uses it: durations in ms, sizes in bytes, paths absolute, every
 * default filled in. Never changed; a reload makes another one.
 */
export interface LoadedConfig {
  /** Absolute path of the file that won; null for the built-in defaults. */
  readonly file: string | null;
  /** 12 hex digits over everything in force but secrets and the places where it was written. */
  readonly hash: string;
  /** enable_rate_limit and mode in one: off counts and forwards at once, shadow also says so. */
  readonly mode: 'enforce' | 'shadow' | 'off';
  readonly profile: string;
  /** Sentences for people: legal, but perhaps not meant. */
  readonly warnings: readonly string[];
  /** Keys and tokens, for whoever must keep them out of what it writes. */
  readonly secrets: readonly string[];
  /** Absolute paths of every file that this configuration was read from, or would be if it existed. */
  readonly watchedFiles: readonly string[];
  readonly listen: ListenAddress;
  /** PEM, read when the configuration was; null for plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | null;
  /** Whether a simulated Gemini stands in for the upstream. */
  readonly simulate: boolean;
  readonly upstream: {
    /** Without a trailing slash. */
    readonly baseUrl: string;
    readonly apiKey: string | null;
  };
  readonly rateLimits: RateLimits;
  readonly projects: ReadonlyMap<string, ProjectConfig>;
  /** Null when the startup cooldown is switched off. */
  readonly cooldown: CooldownConfig | null;
  /** Field for field what the exchange asks for. */
  readonly queue: {
    readonly depthMax: number;
    readonly depthPerAgentMax: number;
    readonly bytesMax: number;
    readonly waitMsMax: number;
    readonly drainMs: number;
  };
  readonly sessions: {
    readonly roots: readonly string[];
    readonly write: 'in_place' | 'beside';
    readonly record: 'off' | 'tagged' | 'all';
    readonly recordDir: string;
  };
  readonly storage: { readonly path: string };
  readonly prices: ReadonlyMap<string, PriceEntry>;
  readonly admin: {
    readonly token: string | null;
    readonly allowedHosts: readonly string[];
    readonly allowedOrigins: readonly string[];
  };
  readonly retention: { readonly eventsMs: number; readonly rollupsMs: number };
  /** Null without a collector. */
  readonly tracing: TracingConfig | null;
  readonly log: {
    readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
    readonly format: 'auto' | 'json' | 'pretty';
  };
}

/** Where spans go. */
export interface TracingConfig {
  /** The whole URL that they are posted to. */
  readonly url: string;
  /** May hold the collector's key. */
  readonly headers: Readonly<Record<string, string>>;
  /** In [0, 1]; holds for calls whose client has no trace. */
  readonly sampleRatio: number;
  readonly serviceName: string;
}

export interface ListenAddress {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
  /** Whether only this machine can reach it. */
  readonly isLoopback: boolean;
}

export interface RateLimits {
  /** Most important first: rate_limits.gemini, rate_limits.file, the profile. */
  readonly tables: readonly LimitTable[];
  readonly tpmCounts: 'input' | 'total';
  readonly day: 'sliding' | 'pacific';
  readonly minute: 'sliding' | 'utc';
  readonly minuteSpanMs: number;
  readonly windowGuardMs: number;
  readonly tokenMargin: number;
  readonly learn: boolean;
  /** A name and the name it stands for, which may stand for another. Free of cycles. */
  readonly aliases: ReadonlyMap<string, string>;
}

/** The rows of one source, by model key, in the order written. */
export type LimitTable = ReadonlyMap<string, LimitRow>;

/** What one row names; what it does not name is taken from a less important source. */
export interface LimitRow {
  readonly rpm?: Sourced<number | null>;
  readonly tpm?: Sourced<number | null>;
  readonly rpd?: Sourced<number | null>;
  readonly windows?: Sourced<readonly FreeWindow[]>;
  readonly maxConcurrent?: Sourced<number | null>;
}

export interface Sourced<T> {
  readonly value: T;
  /** For people: `config.yaml:14`, `profile free`. */
  readonly source: string;
}

/** A window beyond rpm, tpm and rpd. */
export interface FreeWindow {
  readonly name: string;
  readonly unit: Unit;
  /** In units; micro-dollars for usd. */
  readonly limit: number;
  readonly window: TimeWindow;
  /** False only warns. */
  readonly holds: boolean;
  readonly source: string;
}

export interface ProjectConfig {
  readonly keys: readonly string[];
  /** Rows of this project alone. */
  readonly table: LimitTable;
}

export interface CooldownConfig {
  /** Milliseconds by model key. */
  readonly startup: ReadonlyMap<string, number>;
  /** By model key; null is no cap. */
  readonly startsPerMinute: ReadonlyMap<string, number | 'auto' | null>;
  readonly startupIdleMs: number;
}

/** Prices in US dollars per million tokens, which is micro-dollars per token. */
export interface PriceRates {
  /** Of the kind of token that the model is for. */
  readonly input: number;
  readonly output: number;
  readonly cached: number;
  /** Kinds with prices of their own. */
  readonly kinds: ReadonlyMap<
    'text' | 'audio' | 'image' | 'video',
    { readonly input: number; readonly output: number; readonly cached: number }
  >;
}

export interface PriceEntry extends PriceRates {
  /** Prices of a call with more than 200,000 input tokens; null where they are the same. */
  readonly over200k: PriceRates | null;
  /** ms since 1970 UTC from which `next` holds; null when no change is known. */
  readonly untilMs: number | null;
  readonly next: PriceEntry | null;
}
