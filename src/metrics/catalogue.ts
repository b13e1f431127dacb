import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** Seconds: model calls take from a few milliseconds (refusals) to half an hour (waits included). */
const DURATION_BUCKETS = [
  0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200, 1800,
];
/** Seconds: headgate's own share is well under a millisecond unless a body is large. */
const OVERHEAD_BUCKETS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1,
];
/** Seconds: from not at all to `queue.max_wait`; a minute is one slot of a minute quota. */
const WAIT_BUCKETS = [
  0.001, 0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 45, 60, 90, 120, 300, 600, 1200, 1800,
];
/** Actual over estimate: 1 is exact, above it the estimate was too low. */
const RATIO_BUCKETS = [0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 1, 1.05, 1.1, 1.25, 1.5, 2, 4];

/** Every metric of headgate, registered with `registry`. Node's defaults come on top of these. */
export function createCatalogue(registry: Registry) {
  const registers = [registry];
  return {
    ...ofExchanges(registers),
    ...ofQuota(registers),
    ...ofTokens(registers),
    ...ofDaemon(registers),
  };
}

export type Catalogue = ReturnType<typeof createCatalogue>;

function ofExchanges(registers: Registry[]) {
  return {
    exchanges: new Counter({
      name: 'headgate_exchanges_total',
      help: 'Client calls by how they ended.',
      labelNames: ['model', 'method', 'outcome'],
      registers,
    }),
    duration: new Histogram({
      name: 'headgate_exchange_duration_seconds',
      help: 'From receipt of a call to the end of its answer, waiting included.',
      buckets: DURATION_BUCKETS,
      registers,
    }),
    overhead: new Histogram({
      name: 'headgate_overhead_seconds',
      help: 'Time of a call in headgate outside queue and upstream.',
      buckets: OVERHEAD_BUCKETS,
      registers,
    }),
    queueWait: new Histogram({
      name: 'headgate_queue_wait_seconds',
      help: 'How long counted calls waited for the quota.',
      labelNames: ['model'],
      buckets: WAIT_BUCKETS,
      registers,
    }),
    queueDepth: new Gauge({
      name: 'headgate_queue_depth',
      help: 'Calls waiting now.',
      labelNames: ['model'],
      registers,
    }),
  };
}

function ofQuota(registers: Registry[]) {
  return {
    quotaLimit: new Gauge({
      name: 'headgate_quota_limit_units',
      help: 'Limit in force, in the units of the policy (dollars for usd). Absent without a limit.',
      labelNames: ['project', 'model', 'policy'],
      registers,
    }),
    quotaUsed: new Gauge({
      name: 'headgate_quota_used_units',
      help: 'Units in the window now, those of calls in flight included.',
      labelNames: ['project', 'model', 'policy'],
      registers,
    }),
    cooldownActive: new Gauge({
      name: 'headgate_cooldown_active',
      help: '1 while nothing may be sent to a model, by why. Absent otherwise.',
      labelNames: ['model', 'kind'],
      registers,
    }),
    refusals: new Counter({
      name: 'headgate_refusals_total',
      help: 'Calls that headgate itself refused, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    upstreamRejections: new Counter({
      name: 'headgate_upstream_rejections_total',
      help: '429s of the upstream, resends included, by the quota they named. The target is 0.',
      labelNames: ['model', 'quota'],
      registers,
    }),
  };
}

function ofTokens(registers: Registry[]) {
  return {
    estimateRatio: new Histogram({
      name: 'headgate_token_estimate_ratio',
      help: 'Input tokens as counted by the upstream over the estimate made before sending.',
      buckets: RATIO_BUCKETS,
      registers,
    }),
    tokens: new Counter({
      name: 'headgate_tokens_total',
      help: 'Tokens as the upstream reported them: input, output, thought, cached (part of input).',
      labelNames: ['model', 'kind'],
      registers,
    }),
    cost: new Counter({
      name: 'headgate_cost_usd_total',
      help: 'US dollars at the configured prices.',
      labelNames: ['model'],
      registers,
    }),
  };
}

function ofDaemon(registers: Registry[]) {
  return {
    configReloads: new Counter({
      name: 'headgate_config_reloads_total',
      help: 'Times the config was read again, by result.',
      labelNames: ['result'],
      registers,
    }),
    configInfo: new Gauge({
      name: 'headgate_config_info',
      help: 'Always 1; the labels tell the mode (enforce, shadow, off) and the profile in force.',
      labelNames: ['mode', 'profile'],
      registers,
    }),
    sessionsContinued: new Counter({
      name: 'headgate_sessions_continued_total',
      help: 'Turns taken on past conversations.',
      labelNames: ['format', 'outcome'],
      registers,
    }),
    traces: new Counter({
      name: 'headgate_traces_total',
      help: 'Calls whose spans the OTLP endpoint took (sent), or did not take (dropped).',
      labelNames: ['result'],
      registers,
    }),
    buildInfo: new Gauge({
      name: 'headgate_build_info',
      help: 'Always 1; the labels tell what is running.',
      labelNames: ['version', 'node'],
      registers,
    }),
  };
}
