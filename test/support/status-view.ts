import type {
  AgentView,
  PartitionView,
  QueuedView,
  StatusView,
  WindowView,
} from '../../src/http/views.ts';

/** When the view was taken. */
export const SEEN_MS = Date.UTC(2026, 10, 23, 20, 0, 0);

/** The state of a busy daemon: three models, as many waiting calls and agents as asked for. */
export function busyStatus(
  counts: { readonly waiting?: number; readonly agents?: number } = {},
): StatusView {
  const { waiting = 5, agents = 6 } = counts;
  return {
    version: '1.2.3',
    pid: 1,
    started_at: new Date(SEEN_MS - 3_600_000).toISOString(),
    uptime_ms: 3_600_000,
    listen: 'http://127.0.0.1:4290',
    mode: 'enforce',
    config: {
      file: '/etc/headgate/config.yaml',
      profile: 'tier-1',
      hash: 'abc',
      loaded_at: new Date(SEEN_MS).toISOString(),
      reload_error: null,
    },
    upstream: { base_url: 'https://generativelanguage.googleapis.com', simulated: false },
    database: { path: '/tmp/headgate.db', bytes: 1 },
    totals: {
      exchanges: 1_234,
      answered: 1_200,
      refused: 30,
      cancelled: 1,
      failed: 0,
      upstream_rejections: 0,
      running: 2,
      waiting,
    },
    partitions: [
      partition('gemini-2.5-flash', { running: 2, waiting }),
      partition('gemini-2.5-flash-lite', {
        cooldowns: [
          {
            kind: 'minute',
            until: later(33_000),
            remaining_ms: 33_000,
            reason: 'You exceeded your current quota.',
          },
        ],
      }),
      partition('gemini-2.5-pro', {}),
    ],
    queue: Array.from({ length: waiting }, (_, at) => queued(at)),
    agents: Array.from({ length: agents }, (_, at) => agentView(at, waiting)),
    recent_refusals: [
      {
        at: new Date(SEEN_MS - 60_000).toISOString(),
        id: 'r1',
        project: 'default',
        model: 'gemini-2.5-pro',
        agent: 'agent-3',
        reason: 'QUOTA_DAY',
        message: 'headgate held back this call to gemini-2.5-pro: the day is used up.',
      },
    ],
    day: {
      zone: 'America/Los_Angeles',
      started_at: new Date(Date.UTC(2026, 10, 23, 8)).toISOString(),
      resets_at: new Date(Date.UTC(2026, 10, 24, 8)).toISOString(),
    },
    truth: {
      upstream_rejections: 0,
      estimate_ratio: null,
      restarts: 0,
      started_at: new Date(SEEN_MS - 3_600_000).toISOString(),
    },
    banners: [],
  };
}

function partition(model: string, over: Partial<PartitionView>): PartitionView {
  return {
    project: 'default',
    model,
    windows: [
      policy('rpm', { used: 10, held: 2, limit: 10, next_free_at: later(12_300) }),
      policy('tpm', { unit: 'input_tokens', used: 116_987, held: 12_000, limit: 250_000 }),
      policy('rpd', { used: 1_240, limit: 1_500, limit_source: 'learned' }),
    ],
    cooldowns: [],
    running: 0,
    max_concurrent: null,
    waiting: 0,
    ...over,
  };
}

function policy(name: string, over: Partial<WindowView>): WindowView {
  return {
    policy: name,
    unit: 'requests',
    limit: null,
    limit_source: 'configured',
    source: 'profile tier-1',
    used: 0,
    held: 0,
    span_ms: 60_000,
    next_free_at: null,
    ...over,
  };
}

function queued(at: number): QueuedView {
  return {
    id: `w${at}`,
    project: 'default',
    model: 'gemini-2.5-flash',
    agent: `agent-${at % 3}`,
    class: 'interactive',
    position: at + 1,
    tokens: 12_400,
    attempt: 1,
    waited_ms: 1_500,
    expected_at: at === 4 ? null : later(12_300 + at * 1_000),
    reason: 'requests per minute: needs 1, 10 of 10 used',
    deadline_at: later(600_000),
  };
}

function agentView(at: number, waiting: number): AgentView {
  return {
    agent: `agent-${at}`,
    running: at < 2 ? 1 : 0,
    waiting: Array.from({ length: waiting }, (_, call) => call % 3).filter((who) => who === at)
      .length,
    calls: 200,
    refused: at === 3 ? 30 : 0,
    input_tokens: 1_000_000,
    output_tokens: 200_000,
    usd: 0.0125,
    last_model: 'gemini-2.5-flash',
    last_ended_at: new Date(SEEN_MS - 5_000).toISOString(),
  };
}

function later(ms: number): string {
  return new Date(SEEN_MS + ms).toISOString();
}
