import t from 'tap';

import type { ExchangeRecord } from '../../src/exchange/call.ts';
import { createMetrics, type PartitionSnapshot } from '../../src/metrics/metrics.ts';
import { MODEL_LABELS_MAX } from '../../src/metrics/model-labels.ts';
import { RECORD as SAMPLE } from '../support/exchange-record.ts';

const RECORD: ExchangeRecord = {
  ...SAMPLE,
  requestedModel: 'flash',
  model: 'flash',
  estimatedTokens: 1000,
  usage: {
    inputTokens: 950,
    outputTokens: 40,
    thoughtTokens: 10,
    cachedTokens: 5,
    totalTokens: 1000,
  },
};

function withSnapshot(snapshot: readonly PartitionSnapshot[] = []) {
  return createMetrics({ version: '1.2.3', snapshot: () => snapshot });
}

/** The value on the line with exactly this name and these labels. */
async function valueOf(metrics: ReturnType<typeof createMetrics>, series: string) {
  const line = (await metrics.render()).split('\n').find((text) => text.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

function exchanges(model: string, outcome: string): string {
  return `headgate_exchanges_total{model="${model}",method="generateContent",outcome="${outcome}"}`;
}

function ofFlash(policy: string): string {
  return `{project="default",model="flash",policy="${policy}"}`;
}

t.test('every metric has its name and help, and Node its defaults', async (t) => {
  const text = await withSnapshot().render();
  for (const name of [
    'exchanges_total',
    'exchange_duration_seconds',
    'overhead_seconds',
    'queue_wait_seconds',
    'queue_depth',
    'quota_limit_units',
    'quota_used_units',
    'refusals_total',
    'upstream_rejections_total',
    'token_estimate_ratio',
    'tokens_total',
    'cost_usd_total',
    'cooldown_active',
    'config_reloads_total',
    'sessions_continued_total',
    'traces_total',
    'build_info',
  ]) {
    t.match(text, `# HELP headgate_${name} `);
  }
  t.match(text, 'nodejs_eventloop_lag_seconds');
  t.match(text, `headgate_build_info{version="1.2.3",node="${process.version}"} 1`);
});

t.test('an exchange is counted in everything it touched', async (t) => {
  const metrics = withSnapshot();
  metrics.recordRejection(RECORD, 'minute requests');
  metrics.recordExchange(RECORD);
  const expected = {
    'headgate_exchanges_total{model="flash",method="generateContent",outcome="ok"}': 1,
    headgate_exchange_duration_seconds_sum: 13.141,
    'headgate_overhead_seconds_bucket{le="0.001"}': 1,
    'headgate_overhead_seconds_bucket{le="0.0005"}': 0,
    'headgate_queue_wait_seconds_sum{model="flash"}': 12.3,
    'headgate_upstream_rejections_total{model="flash",quota="minute requests"}': 1,
    headgate_token_estimate_ratio_sum: 0.95,
    'headgate_tokens_total{model="flash",kind="input"}': 950,
    'headgate_tokens_total{model="flash",kind="output"}': 40,
    'headgate_tokens_total{model="flash",kind="thought"}': 10,
    'headgate_tokens_total{model="flash",kind="cached"}': 5,
    'headgate_cost_usd_total{model="flash"}': 0.0025,
  };
  for (const [series, value] of Object.entries(expected)) {
    t.equal(await valueOf(metrics, series), value, series);
  }
});

t.test('a refusal names its reason; reloads and continuations are counted', async (t) => {
  const metrics = withSnapshot();
  metrics.recordExchange({
    ...RECORD,
    outcome: 'refused',
    reason: 'QUEUE_FULL',
    status: 429,
    usage: null,
    upstreamFirstByteMs: null,
  });
  metrics.recordRefusal('HOST_NOT_ALLOWED');
  metrics.recordReload('failed');
  metrics.recordContinuation('massgen', 'ok');
  t.equal(await valueOf(metrics, 'headgate_refusals_total{reason="QUEUE_FULL"}'), 1);
  t.equal(await valueOf(metrics, 'headgate_refusals_total{reason="HOST_NOT_ALLOWED"}'), 1);
  t.equal(await valueOf(metrics, 'headgate_config_reloads_total{result="failed"}'), 1);
  t.equal(
    await valueOf(metrics, 'headgate_sessions_continued_total{format="massgen",outcome="ok"}'),
    1,
  );
});

t.test('a model is its own label only once the upstream has known it', async (t) => {
  const metrics = withSnapshot();
  metrics.recordExchange({ ...RECORD, model: 'typo', outcome: 'upstream_error', status: 404 });
  metrics.recordExchange({ ...RECORD, model: 'new', outcome: 'refused', status: 429 });
  t.equal(await valueOf(metrics, exchanges('other', 'upstream_error')), 1);
  t.equal(await valueOf(metrics, exchanges('other', 'refused')), 1);
  metrics.recordExchange({ ...RECORD, model: 'new', outcome: 'upstream_error', status: 400 });
  t.equal(await valueOf(metrics, exchanges('new', 'upstream_error')), 1);
  metrics.recordExchange({ ...RECORD, model: '', method: 'pass' });
  t.match(await metrics.render(), 'model="none",method="pass"');
});

t.test('at most 50 models of a project are labels', async (t) => {
  const metrics = withSnapshot();
  for (let n = 0; n < MODEL_LABELS_MAX + 7; n++) {
    metrics.recordExchange({ ...RECORD, model: `model-${n}` });
  }
  metrics.recordExchange({ ...RECORD, project: 'team-b', model: 'model-56' });
  const series = (await metrics.render()).match(/^headgate_exchanges_total\{.*$/gm) ?? [];
  t.equal(series.length, MODEL_LABELS_MAX + 2);
  t.equal(
    series.find((line) => line.includes('"other"')),
    'headgate_exchanges_total{model="other",method="generateContent",outcome="ok"} 7',
  );
});

t.test('gauges show what stands at the scrape and forget what has passed', async (t) => {
  const window = { unit: 'requests', spanMs: 60_000, limitSource: 'configured', held: 0 } as const;
  let snapshot: PartitionSnapshot[] = [
    {
      partition: { project: 'default', model: 'flash' },
      waiting: 3,
      state: {
        windows: [
          { ...window, policy: 'rpm', limit: 9, used: 4, nextFreeAtMs: 5 },
          { ...window, policy: 'rpd', limit: null, used: 40, nextFreeAtMs: 5 },
          {
            ...window,
            policy: 'spend',
            unit: 'usd',
            limit: 5_000_000,
            used: 10_000,
            nextFreeAtMs: 5,
          },
        ],
        cooldowns: [{ kind: 'minute', untilMs: 9, reason: 'told so' }],
        running: 1,
        lastStartAtMs: null,
        starts: 0,
      },
    },
  ];
  const metrics = createMetrics({ version: '1', snapshot: () => snapshot });
  metrics.learnModel('default', 'flash');
  t.equal(await valueOf(metrics, `headgate_quota_limit_units${ofFlash('rpm')}`), 9);
  t.equal(await valueOf(metrics, `headgate_quota_used_units${ofFlash('rpm')}`), 4);
  t.equal(await valueOf(metrics, `headgate_quota_limit_units${ofFlash('rpd')}`), undefined);
  t.equal(await valueOf(metrics, `headgate_quota_used_units${ofFlash('rpd')}`), 40);
  t.equal(await valueOf(metrics, `headgate_quota_limit_units${ofFlash('spend')}`), 5);
  t.equal(await valueOf(metrics, `headgate_quota_used_units${ofFlash('spend')}`), 0.01);
  t.equal(await valueOf(metrics, 'headgate_queue_depth{model="flash"}'), 3);
  t.equal(await valueOf(metrics, 'headgate_cooldown_active{model="flash",kind="minute"}'), 1);
  snapshot = [];
  t.notMatch(await metrics.render(), 'model="flash"');
});
