import type { Clock, Timer } from '../clock.ts';
import { ProxyError } from '../errors.ts';
import type { BodyFacts } from '../gemini/body-scan.ts';
import type { Endpoint } from '../gemini/route.ts';
import type { Calibration } from '../quota/calibration.ts';
import type { Cooldown, LearnedLimit, LedgerStore } from '../quota/ledger.ts';
import type { Partition, QuotaRules } from '../quota/policy.ts';
import type { Scheduler } from '../queue/scheduler.ts';
import type { AgentNames } from './agent-names.ts';
import { createAgentNames } from './agent-names.ts';
import { BusyAgents } from './busy-agents.ts';
import type { ExchangeMarks, ExchangeRecord, InboundCall, ReplySink } from './call.ts';
import { CountedExchange } from './counted-exchange.ts';
import { createKnownResources } from './known-resources.ts';
import type { KnownResources } from './known-resources.ts';
import type { LiveCall } from './live-exchange.ts';
import { LiveExchange } from './live-exchange.ts';
import type { LiveUpstream, LiveWire } from './live-wire.ts';
import { PassedExchange } from './passed-exchange.ts';
import type { ExchangeRecording, UnkeptExchange } from './recording-sink.ts';
import { ReturningCalls } from './returning-calls.ts';
import type { Settings } from './settings.ts';
import type { TokenCounter } from './token-counter.ts';
import { createTokenCounter } from './token-counter.ts';
import type { Upstream } from './upstream.ts';

/** Calls in flight are looked at this often, to be dated. */
const SWEEP_MS = 250;

/** What exchanges tell besides their record. */
export interface ExchangeEvents {
  /** Once per exchange, when it has ended. */
  readonly record: (record: ExchangeRecord, marks: ExchangeMarks) => void;
  /** The upstream has just answered 429; `quota` is what it named. Its call may wait and go again. */
  readonly rejected: (partition: Partition, quota: string) => void;
  readonly parked: (partition: Partition, cooldown: Cooldown) => void;
  readonly learned: (partition: Partition, policy: string, limit: LearnedLimit) => void;
  readonly aliased: (alias: string, model: string) => void;
  /** Shadow mode: a call went out that the rules would have held. */
  readonly shadowed: (call: {
    model: string;
    agent: string;
    reason: string;
    waitMs: number;
  }) => void;
  /** An exchange was to be recorded and was not. */
  readonly unkept?: (exchange: UnkeptExchange) => void;
}

export interface ExchangeOptions {
  readonly clock: Clock;
  readonly timeline: { nowMs(): number; readonly upstreamOffsetMs: number };
  readonly ledger: LedgerStore;
  readonly scheduler: Scheduler;
  readonly upstream: Upstream;
  /** The way of Live sessions; without it they are refused. */
  readonly live?: LiveUpstream;
  readonly settings: () => Settings;
  readonly calibration: Calibration;
  /** The model that a name stands for: configured and learned aliases. */
  readonly resolveModel: (requestedModel: string) => string;
  readonly rulesOf: (project: string, requestedModel: string) => QuotaRules;
  /** Keeps an alias that the upstream has told of. */
  readonly learnAlias: (alias: string, model: string) => void;
  readonly observeDate: (observed: {
    dateMs: number;
    sentAtMs: number;
    receivedAtMs: number;
  }) => void;
  readonly events: ExchangeEvents;
  /** Keeps exchanges as sessions; null or absent keeps none. */
  readonly recording?: ExchangeRecording | null;
}

/** What the exchanges of one daemon share. */
export interface ExchangeContext extends ExchangeOptions {
  readonly names: AgentNames;
  readonly busy: BusyAgents;
  readonly tokenCounter: TokenCounter;
  /** The files and caches that have passed; any other may fill a whole window. */
  readonly resources: KnownResources;
  /** Calls that may come back before they have been sent. */
  readonly returning: ReturningCalls;
  /** Bare 429s in a row and how long the last one parks, per partition; a success clears them. */
  readonly repeats: Map<string, { readonly times: number; readonly untilMs: number }>;
  /** Exchanges whose bytes may have left and that are not dated. */
  readonly undated: Set<{ dateIfDue(): void }>;
  readonly running: Set<RunningExchange>;
}

export interface RunningExchange {
  /** Ends it now: the daemon stops. */
  cut(error: ProxyError): void;
}

/**
 * One call's life, from receipt to settlement: classify, match, queue, admit, dispatch, relay,
 * settle. Nothing else knows the order of these stops, and there is no other way to the upstream.
 */
export class Exchange {
  readonly #context: ExchangeContext;
  readonly #sweep: () => void;
  #sweepTimer: Timer | null = null;

  constructor(options: ExchangeOptions) {
    this.#context = {
      ...options,
      names: createAgentNames(),
      busy: new BusyAgents(),
      tokenCounter: createTokenCounter(options),
      resources: createKnownResources(),
      returning: new ReturningCalls(),
      repeats: new Map(),
      undated: new Set(),
      running: new Set(),
    };
    this.#sweep = () => {
      for (const exchange of this.#context.undated) exchange.dateIfDue();
      this.#sweepTimer = options.clock.after(SWEEP_MS, this.#sweep);
    };
    this.#sweep();
  }

  /** Exchanges between receipt and end, waiting ones included. */
  get running(): number {
    return this.#context.running.size;
  }

  /** Of those that are counted, how many each agent has. */
  get byAgent(): ReadonlyMap<string, number> {
    return this.#context.busy.calls;
  }

  /** A counted call. Answers through the sink; never throws. */
  take(call: InboundCall, facts: BodyFacts, endpoint: Endpoint, sink: ReplySink): void {
    const exchange = new CountedExchange(this.#context, { call, facts, endpoint, sink });
    exchange.begin();
  }

  /** A call that takes no quota: straight through. */
  pass(
    call: Omit<InboundCall, 'body' | 'bodyBytes'>,
    body: NodeJS.ReadableStream | null,
    sink: ReplySink,
  ): void {
    new PassedExchange(this.#context, { call, body, sink }).begin();
  }

  /** A Live session whose handshake is answered. It ends by a close of the client's wire. */
  converse(call: LiveCall, client: LiveWire): void {
    new LiveExchange(this.#context, { call, client }).begin();
  }

  /** Cuts what still runs, after the time to end by itself is over. */
  cutAll(): void {
    const error = new ProxyError('DRAINING', 'headgate is stopping.', { retryAfterMs: 1_000 });
    for (const exchange of this.#context.running) exchange.cut(error);
  }

  close(): void {
    this.#sweepTimer?.cancel();
  }
}
