import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import t from 'tap';
import {
  call,
  GENERATE,
  generate,
  idle,
  limits,
  MODEL,
  saying,
  startGate,
  statusOf,
  until,
  waiting,
} from '../support/gate.ts';
import { ManualClock } from '../support/manual-clock.ts';

const BODY = saying('Tell me about the sea. [[think:5]]');

/** A daemon that has met everything that metrics tell of, and its exposition text. */
async function mixedRun(t: Parameters<typeof startGate>[0]) {
  const clock = new ManualClock();
  const gate = await startGate(t, {
    clock,
    config: { rate_limits: limits({ rpm: 2, tpm: 100_000, rpd: 100 }) },
    scenario: {
      faults: [
        { match: { model: 'gemini-2.5-pro', nth: [1] }, answer: '429-billing' },
        { match: { model: 'gemini-3.8-flash', nth: [1] }, answer: '503' },
      ],
      unknown_models: ['made-up-*'],
    },
  });
  for (let calls = 0; calls < 2; calls += 1) await call(gate, GENERATE, { body: BODY });
  await call(gate, generate('gemini-2.5-pro'), { body: BODY });
  await call(gate, generate('gemini-2.5-pro'), { body: BODY });
  await call(gate, generate('gemini-3.8-flash'), { body: BODY });
  for (let calls = 0; calls < 60; calls += 1) {
    await call(gate, generate(`made-up-${calls}`), { body: BODY });
  }
  await call(gate, `/v1beta/models/${MODEL}`);
  await call(gate, GENERATE, { body: '{' });
  await call(gate, GENERATE, { body: BODY, headers: { host: 'evil.example' } });
  await call(gate, '/reload', { method: 'POST' });
  const held = call(gate, GENERATE, { body: BODY });
  await waiting(gate, 1);
  await until(() => gate.simulator.arrivals.length >= 65);
  const { text: exposition, headers } = await call(gate, '/metrics');
  return { gate, clock, held, exposition, headers };
}

t.test('every metric is there after a mixed run, and labels stay bounded', async (t) => {
  const { gate, clock, held, exposition, headers } = await mixedRun(t);
  t.match(headers['content-type'], /^text\/plain; version=0\.0\.4/);
  const samples = [
    `headgate_exchanges_total{model="${MODEL}",method="generateContent",outcome="ok"} 2`,
    'headgate_exchanges_total{model="gemini-3.8-flash",method="generateContent",outcome="upstream_error"} 1',
    'headgate_exchanges_total{model="gemini-2.5-pro",method="generateContent",outcome="upstream_rejected"} 1',
    'headgate_exchanges_total{model="gemini-2.5-pro",method="generateContent",outcome="refused"} 1',
    'headgate_exchanges_total{model="other",method="generateContent",outcome="upstream_error"} 60',
    'headgate_exchanges_total{model="none",method="pass",outcome="ok"} 1',
    'headgate_exchange_duration_seconds_count 67',
    'headgate_overhead_seconds_count 67',
    `headgate_queue_wait_seconds_count{model="${MODEL}"} 3`,
    `headgate_queue_depth{model="${MODEL}"} 1`,
    `headgate_quota_limit_units{project="default",model="${MODEL}",policy="rpm"} 2`,
    `headgate_quota_used_units{project="default",model="${MODEL}",policy="rpm"} 2`,
    'headgate_refusals_total{reason="COOLDOWN"} 1',
    'headgate_refusals_total{reason="BAD_JSON"} 1',
    'headgate_refusals_total{reason="HOST_NOT_ALLOWED"} 1',
    'headgate_upstream_rejections_total{model="gemini-2.5-pro",quota="billing"} 1',
    'headgate_token_estimate_ratio_count 2',
    `headgate_tokens_total{model="${MODEL}",kind="input"}`,
    `headgate_tokens_total{model="${MODEL}",kind="output"}`,
    `headgate_tokens_total{model="${MODEL}",kind="thought"} 10`,
    `headgate_cost_usd_total{model="${MODEL}"}`,
    'headgate_cooldown_active{model="gemini-2.5-pro",kind="billing"} 1',
    'headgate_config_reloads_total{result="unchanged"} 1',
    'headgate_config_info{mode="enforce",profile="none"} 1',
    'headgate_build_info{version="',
    'process_cpu_seconds_total',
    'nodejs_eventloop_lag_seconds',
  ];
  for (const sample of samples) t.ok(exposition.includes(sample), sample);
  for (const name of ['headgate_sessions_continued_total', 'headgate_exchanges_total']) {
    t.match(exposition, `# TYPE ${name} counter`);
  }
  t.notMatch(exposition, /made-up/, 'invented names are no labels');
  clock.advance(62_000);
  t.equal((await held).status, 200);
  await idle(gate);
  t.equal((await statusOf(gate)).totals.upstream_rejections, 1);
});

const skipPromtool =
  spawnSync('promtool', ['--version']).error === undefined ? false : 'promtool is not on PATH';

t.test('promtool finds nothing wrong with the metrics', { skip: skipPromtool }, async (t) => {
  const { gate, exposition } = await mixedRun(t);
  const tool = spawn('promtool', ['check', 'metrics'], { stdio: ['pipe', 'ignore', 'pipe'] });
  const complaints = text(tool.stderr);
  tool.stdin.end(exposition);
  const [code] = await once(tool, 'close');
  t.equal(code, 0, await complaints);
  await gate.stop();
});
