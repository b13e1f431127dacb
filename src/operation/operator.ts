import type { Clock } from '../clock.ts';
import { effectiveLimits } from '../config/limits.ts';
import type { ExchangeRecord } from '../exchange/call.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { Control } from '../http/control.ts';
import type {
  CooldownView,
  LimitsView,
  PartitionView,
  QueuedView,
  RefusalView,
  StatusView,
  WindowView,
} from '../http/views.ts';
import { Agents } from './agents.ts';
import { bannersOf } from './banners.ts';
import type { Configuration } from './configuration.ts';
import { explain, reading } from './explain.ts';
import { checkLimit, checkModel, checkProject } from './limit-change.ts';
import { liveChangeText } from './limit-words.ts';
import type { PartitionSnapshot } from '../metrics/metrics.ts';
import type { WindowState } from '../quota/ledger.ts';
import type { Partition, QuotaPolicy, QuotaRules } from '../quota/policy.ts';
import { limitInForce } from '../quota/policy.ts';
import type { Scheduler } from '../queue/scheduler.ts';
import type { WaitingState } from '../queue/waiting-state.ts';
import type { Store } from '../store/store.ts';
import { QuotaDay, Truth } from './truth.ts';
import { usageView } from './usage.ts';

/** Refusals kept for people to look at. */
const REFUSALS_KEPT = 50;
const USD_MICROS = 1_000_000;

export interface OperatorOptions {
  readonly clock: Clock;
  readonly store: Store;
  readonly scheduler: Scheduler;
  readonly configuration: Configuration;
  readonly rulesOf: (project: string, requestedModel: string) => QuotaRules;
  readonly exchange: Pick<Exchange, 'running' | 'byAgent'>;
  readonly version: string;
  /** Takes what somebody has changed, as a line of the log. */
  readonly tell: (change: string) => void;
  /** What becomes known, or changes, while the daemon runs. */
  readonly state: {
    readonly url: string;
    readonly isDraining: boolean;
    readonly isSimulated: boolean;
  };
}

/** What people may ask of the running daemon, and what they may change. */
export interface Operator extends Control {
  /** Takes note of an ended exchange, for the totals and the recent refusals. */
  note(record: ExchangeRecord): void;
  /** Takes note of a 429 of the upstream, of which its exchange may tell much later. */
  noteRejection(): void;
  /** Differs whenever `status` would tell of something new; costs nothing. */
  mark(): string;
  /** Every partition as it stands, for the metrics. */
  snapshot(): readonly PartitionSnapshot[];
}

export function createOperator(options: OperatorOptions): Operator {
  const { clock, store, scheduler, configuration, rulesOf, state } = options;
  const config = () => configuration.current;
  const { ledger, timeline } = store;
  const startedAtMs = clock.wallMs();
  const startedMonotonicMs = clock.monotonicMs();
  const refusals: RefusalView[] = [];
  const truth = new Truth({ clock, samples: store.samples });
  const day = new QuotaDay(clock);
  const agents = new Agents(clock);
  let limitChanges = 0;
  const totals = { exchanges: 0, answered: 0, refused: 0, cancelled: 0, failed: 0, rejections: 0 };

  /** Who waits, with all that has ended written down. */
  const waitingNow = (): WaitingState[] => {
    scheduler.flush();
    return reading(ledger, () => scheduler.states());
  };
  /** Timeline ms as an instant for people. */
  const iso = (atMs: number): string =>
    new Date(clock.wallMs() + (atMs - timeline.nowMs())).toISOString();
  const isoOrNull = (atMs: number | null): string | null =>
    atMs === null || !Number.isFinite(atMs) ? null : iso(atMs);

  function partitionViews(waiting: readonly WaitingState[]): PartitionView[] {
    return ledger.partitions().map((partition) => {
      const rules = rulesOf(partition.project, partition.model);
      const state = ledger.windows({ ...rules, partition }, timeline.nowMs());
      return {
        ...partition,
        windows: state.windows.map((window, index) =>
          windowView(window, rules.policies[index], isoOrNull),
        ),
        cooldowns: [
          ...state.cooldowns.map(({ kind, untilMs, reason }) => ({ kind, untilMs, reason })),
          ...startCooldown(rules, state.lastStartAtMs, timeline.nowMs()),
        ].map(({ kind, untilMs, reason }): CooldownView => {
          const remainingMs = Math.max(0, Math.round(untilMs - timeline.nowMs()));
          return { kind, until: iso(untilMs), remaining_ms: remainingMs, reason };
        }),
        running: state.running,
        max_concurrent: rules.maxConcurrent,
        waiting: waiting.filter((one) => isSame(one.partition, partition)).length,
      };
    });
  }

  function queueViews(waiting: readonly WaitingState[]): QueuedView[] {
    return waiting.map(({ ticket, partition, position, expectedAtMs, reason }) => ({
      id: ticket.id,
      project: partition.project,
      model: partition.model,
      agent: ticket.agent,
      class: ticket.interactive ? 'interactive' : 'batch',
      position,
      tokens: ticket.units.inputTokens,
      attempt: ticket.attempt ?? 1,
      waited_ms: Math.max(0, Math.round(timeline.nowMs() - ticket.sinceMs)),
      expected_at: isoOrNull(expectedAtMs),
      reason,
      deadline_at: iso(ticket.deadlineMs),
    }));
  }

  function limitsOf(project: string, model: string): LimitsView {
    const rules = rulesOf(project, model);
    const adjusted = ledger
      .adjustedLimits()
      .filter((row) => isSame(row.partition, rules.partition));
    return {
      project,
      model,
      max_concurrent: rules.maxConcurrent,
      windows: rules.policies.map((policy) => {
        const row = adjusted.find((candidate) => candidate.policy === policy.name);
        const adjustment = {
          learned: row?.learned ?? null,
          learnedUnder: row?.learnedUnder ?? null,
          override: row?.override ?? null,
        };
        const { limit, source } = limitInForce(policy.limit, adjustment);
        return {
          policy: policy.name,
          unit: policy.unit,
          limit: shown(policy, limit),
          limit_source: source,
          configured: shown(policy, policy.limit),
          learned: shown(policy, adjustment.learned),
          override: shown(policy, adjustment.override),
          source: policy.source,
        };
      }),
    };
  }

  /** Changes limits by hand, and has whoever waits matched anew. */
  function adjusted(
    done: 'set live' | 'reset',
    project: string,
    model: string,
    change: () => void,
  ): LimitsView {
    const [before, after] = reading(ledger, () => {
      const former = limitsOf(project, model);
      change();
      return [former, limitsOf(project, model)];
    });
    limitChanges += 1;
    scheduler.rematch();
    options.tell(liveChangeText(done, before, after));
    return after;
  }

  function status(): StatusView {
    const waiting = waitingNow();
    return reading(ledger, () => ({
      version: options.version,
      pid: process.pid,
      started_at: new Date(startedAtMs).toISOString(),
      uptime_ms: Math.round(clock.monotonicMs() - startedMonotonicMs),
      listen: state.url,
      mode: config().mode,
      config: configuration.view,
      upstream: {
        base_url: configuration.settings.upstreamBaseUrl,
        simulated: state.isSimulated,
      },
      database: { path: store.path, bytes: store.bytes() },
      totals: {
        exchanges: totals.exchanges,
        answered: totals.answered,
        refused: totals.refused,
        cancelled: totals.cancelled,
        failed: totals.failed,
        upstream_rejections: totals.rejections,
        running: Math.max(0, options.exchange.running - waiting.length),
        waiting: waiting.length,
      },
      partitions: partitionViews(waiting),
      queue: queueViews(waiting),
      agents: agents.view(
        options.exchange.byAgent,
        waiting.map(({ ticket }) => ticket.agent),
      ),
      recent_refusals: refusals.toReversed(),
      day: day.view(timeline.nowMs() + timeline.upstreamOffsetMs),
      truth: truth.view(),
      banners: bannersOf({
        config: config(),
        view: configuration.view,
        ledger,
        rulesOf,
        isDraining: state.isDraining,
        nowMs: timeline.nowMs(),
      }),
    }));
  }

  return {
    status,
    note(record) {
      noteTotals(totals, record);
      if (record.method !== 'pass') {
        truth.add(record);
        agents.note(record);
      }
      if (record.reason === null || record.outcome === 'ok') return;
      refusals.push({
        at: new Date(record.startedWallMs + record.durationMs).toISOString(),
        id: record.requestId,
        project: record.project,
        model: record.model,
        agent: record.agent,
        reason: record.reason,
        message: record.message ?? '',
      });
      if (refusals.length > REFUSALS_KEPT) refusals.shift();
    },
    noteRejection() {
      totals.rejections += 1;
      truth.addRejection();
    },
    // Together with what has ended, the numbers of those running and waiting tell every step that a
    // call makes.
    mark() {
      const { hash, loaded_at: loadedAt, reload_error: reloadError } = configuration.view;
      const { exchanges, rejections } = totals;
      const { running } = options.exchange;
      const calls = [exchanges, rejections, running, scheduler.waiting, limitChanges];
      return [...calls, hash, loadedAt, reloadError, state.isDraining].join(' ');
    },
    snapshot() {
      const waiting = waitingNow();
      return reading(ledger, () =>
        ledger.partitions().map((partition) => {
          const rules = { ...rulesOf(partition.project, partition.model), partition };
          return {
            partition,
            state: ledger.windows(rules, timeline.nowMs()),
            waiting: waiting.filter((one) => isSame(one.partition, partition)).length,
          };
        }),
      );
    },
    limits() {
      return reading(ledger, () => {
        const rows = new Map<string, LimitsView>();
        const add = (project: string, model: string) =>
          rows.set(`${project}\n${model}`, limitsOf(project, model));
        for (const { project, key } of effectiveLimits(config())) add(project, key);
        for (const { project, model } of ledger.partitions()) add(project, model);
        return [...rows.values()];
      });
    },
    setLimits(model, limits, project) {
      checkProject(config(), project);
      checkModel(model);
      const rules = rulesOf(project, model);
      const checked = [...limits].map(([name, limit]) => checkLimit(rules, name, limit));
      return adjusted('set live', project, model, () => {
        for (const { policy, limit } of checked) {
          ledger.overrideLimit(rules.partition, policy, limit, timeline.nowMs());
        }
      });
    },
    resetLimits(model, project) {
      checkProject(config(), project);
      const { partition } = rulesOf(project, model);
      return adjusted('reset', project, model, () => {
        // To reset what was never called must not put it among what is shown.
        if (!ledger.partitions().some((known) => isSame(known, partition))) return;
        ledger.resetLimits(partition);
        ledger.unpark(partition, null);
      });
    },
    explain(query) {
      scheduler.flush();
      checkProject(config(), query.project);
      return explain(query, options, isoOrNull);
    },
    queue: () => queueViews(waitingNow()),
    cancelQueued: (id) => scheduler.cancel(id),
    reload: () => configuration.reload(),
    usage(query) {
      scheduler.flush();
      return usageView(query, store.learning, timeline.nowMs() + timeline.upstreamOffsetMs);
    },
    unreadyReason: () => (state.isDraining ? 'headgate is stopping' : null),
  };
}

function noteTotals(
  totals: Record<'exchanges' | 'answered' | 'refused' | 'cancelled' | 'failed', number>,
  record: ExchangeRecord,
): void {
  if (record.method === 'pass') return;
  totals.exchanges += 1;
  if (record.outcome === 'refused') totals.refused += 1;
  else if (record.outcome === 'cancelled') totals.cancelled += 1;
  else if (record.outcome === 'failed') totals.failed += 1;
  else totals.answered += 1;
}

function windowView(
  state: WindowState,
  policy: QuotaPolicy | undefined,
  isoOrNull: (atMs: number | null) => string | null,
): WindowView {
  const scale = state.unit === 'usd' ? USD_MICROS : 1;
  return {
    policy: state.policy,
    unit: state.unit,
    limit: state.limit === null ? null : state.limit / scale,
    limit_source: state.limitSource,
    source: policy?.source ?? '',
    used: state.used / scale,
    held: state.held / scale,
    span_ms: state.spanMs,
    next_free_at: isoOrNull(state.nextFreeAtMs),
  };
}

function startCooldown(rules: QuotaRules, lastStartAtMs: number | null, atMs: number) {
  if (rules.start === null || lastStartAtMs === null) return [];
  const untilMs = lastStartAtMs + rules.start.cooldownMs;
  if (untilMs <= atMs) return [];
  return [{ kind: 'startup', untilMs, reason: 'an agent has just started; the next one waits' }];
}

function shown(policy: QuotaPolicy, limit: number | null): number | null {
  return limit === null || policy.unit !== 'usd' ? limit : limit / USD_MICROS;
}

function isSame(a: Partition, b: Partition): boolean {
  return a.project === b.project && a.model === b.model;
}
