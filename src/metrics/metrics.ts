import { collectDefaultMetrics, type Counter, type Histogram, Registry } from 'prom-client';

import type { ExchangeRecord } from '../exchange/call.ts';
import type { PartitionState } from '../quota/ledger.ts';
import type { Partition } from '../quota/policy.ts';
import { type Catalogue, createCatalogue } from './catalogue.ts';
import { ModelLabels } from './model-labels.ts';

/** What stands at the moment of a scrape. */
export interface PartitionSnapshot {
  readonly partition: Partition;
  readonly state: PartitionState;
  readonly waiting: number;
}

export interface Metrics {
  /** Counts one ended exchange. On the path of every call: a few microseconds. */
  recordExchange(record: ExchangeRecord): void;
  /** Counts one refusal that never became an exchange (guard, body too large). */
  recordRefusal(reason: string): void;
  /** Counts a 429 of the upstream. Only models that it knows are refused by quota. */
  recordRejection(partition: Partition, quota: string): void;
  recordReload(result: 'applied' | 'unchanged' | 'failed'): void;
  /** Tells by which configuration calls are held, from now on. */
  showConfig(config: { readonly mode: string; readonly profile: string }): void;
  recordContinuation(format: string, outcome: string): void;
  /** Counts calls that were traced, by what became of their spans. */
  recordTraces(result: 'sent' | 'dropped', calls: number): void;
  /** Gives a model its own label before it is seen, such as those of the stored usage. */
  learnModel(project: string, model: string): void;
  /** The exposition text. */
  render(): Promise<string>;
  /** Media type of `render`. */
  readonly contentType: string;
}

export interface MetricsOptions {
  readonly version: string;
  /** Asked once per scrape. */
  readonly snapshot: () => readonly PartitionSnapshot[];
}

/** All metrics of one daemon, in a registry of its own. */
export function createMetrics({ version, snapshot }: MetricsOptions): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED) registry.removeSingleMetric(name);
  const catalogue = createCatalogue(registry);
  catalogue.buildInfo.set({ version, node: process.version }, 1);
  const labels = new ModelLabels();
  const recorder = createRecorder(catalogue, labels);
  return {
    recordExchange: (record) => recorder(record),
    recordRefusal: (reason) => catalogue.refusals.inc({ reason }),
    recordRejection({ project, model }, quota) {
      labels.learn(project, model);
      catalogue.upstreamRejections.inc({ model: labels.of(project, model), quota });
    },
    recordReload: (result) => catalogue.configReloads.inc({ result }),
    showConfig({ mode, profile }) {
      catalogue.configInfo.reset();
      catalogue.configInfo.set({ mode, profile }, 1);
    },
    recordContinuation: (format, outcome) => catalogue.sessionsContinued.inc({ format, outcome }),
    recordTraces: (result, calls) => catalogue.traces.inc({ result }, calls),
    learnModel: (project, model) => labels.learn(project, model),
    render() {
      setGauges(catalogue, labels, snapshot());
      return registry.metrics();
    },
    contentType: registry.contentType,
  };
}

/**
 * Gauges of prom-client's that are named like counters, which `promtool check metrics` does not let
 * pass. Each is the sum of the gauge of the same name without `_total`, which stays.
 */
const MISNAMED = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

/** A million of these is a dollar. */
const USD_MICROS = 1_000_000;

function createRecorder(
  catalogue: Catalogue,
  labels: ModelLabels,
): (record: ExchangeRecord) => void {
  const exchanges = children(catalogue.exchanges);
  const waits = children(catalogue.queueWait);
  const tokens = children(catalogue.tokens);
  const costs = children(catalogue.cost);
  return (record) => {
    if (isKnownUpstream(record)) labels.learn(record.project, record.model);
    const model = labels.of(record.project, record.model);
    exchanges(model, record.method, record.outcome).inc();
    catalogue.duration.observe(record.durationMs / 1000);
    catalogue.overhead.observe(Math.max(0, record.overheadMs) / 1000);
    if (record.method !== 'pass') waits(model).observe(record.queuedMs / 1000);
    if (record.outcome === 'refused' && record.reason !== null) {
      catalogue.refusals.inc({ reason: record.reason });
    }
    if (record.usdMicros > 0) costs(model).inc(record.usdMicros / USD_MICROS);
    const { usage } = record;
    if (usage === null) return;
    tokens(model, 'input').inc(usage.inputTokens);
    tokens(model, 'output').inc(usage.outputTokens);
    if (usage.thoughtTokens > 0) tokens(model, 'thought').inc(usage.thoughtTokens);
    if (usage.cachedTokens > 0) tokens(model, 'cached').inc(usage.cachedTokens);
    if (record.estimatedTokens > 0) {
      catalogue.estimateRatio.observe(usage.inputTokens / record.estimatedTokens);
    }
  };
}

/** Whether this exchange shows that the upstream has such a model. */
function isKnownUpstream(record: ExchangeRecord): boolean {
  const answered = record.outcome === 'ok' || record.outcome === 'upstream_error';
  return answered && record.upstreamFirstByteMs !== null && record.status !== 404;
}

/** Gauges are set at the scrape, so that nothing needs to keep them up to date in between. */
function setGauges(
  catalogue: Catalogue,
  labels: ModelLabels,
  snapshot: readonly PartitionSnapshot[],
): void {
  const { queueDepth, quotaLimit, quotaUsed, cooldownActive } = catalogue;
  for (const gauge of [queueDepth, quotaLimit, quotaUsed, cooldownActive]) gauge.reset();
  for (const { partition, state, waiting } of snapshot) {
    const { project } = partition;
    const model = labels.of(project, partition.model);
    if (waiting > 0) queueDepth.inc({ model }, waiting);
    for (const { kind } of state.cooldowns) cooldownActive.set({ model, kind }, 1);
    // Limits of different models cannot be added up, so those without a label are left out.
    if (!labels.has(project, partition.model)) continue;
    for (const { policy, unit, limit, used } of state.windows) {
      const scale = unit === 'usd' ? USD_MICROS : 1;
      if (limit !== null) quotaLimit.set({ project, model, policy }, limit / scale);
      quotaUsed.set({ project, model, policy }, used / scale);
    }
  }
}

/**
 * The labelled children of a metric, made once each. Label sets are small and closed, so the
 * cache is bounded by them.
 */
function children<L extends string>(metric: Counter<L>): (...values: string[]) => Counter.Internal;
function children<L extends string>(
  metric: Histogram<L>,
): (...values: string[]) => Histogram.Internal<L>;
function children(metric: {
  labels(...values: string[]): unknown;
}): (...values: string[]) => unknown {
  const made = new Map<string, unknown>();
  return (...values) => {
    const key = values.length === 1 ? (values[0] ?? '') : values.join(' ');
    let child = made.get(key);
    if (child === undefined) made.set(key, (child = metric.labels(...values)));
    return child;
  };
}
