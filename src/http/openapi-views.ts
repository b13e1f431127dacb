import { Type } from 'typebox';

import {
  instant,
  instantOrNull,
  milliseconds,
  orNull,
  textOrNull,
  viewSchema,
} from './openapi-shapes.ts';
import type {
  AgentView,
  ConfigView,
  CooldownView,
  DayView,
  ExplainView,
  LimitsView,
  LimitView,
  PartitionView,
  QueuedView,
  RefusalView,
  ReloadView,
  StatusView,
  TotalsView,
  TruthView,
  UsageView,
  WindowView,
} from './views.ts';

const count = () => Type.Integer({ minimum: 0 });
const units = () => Type.Number({ minimum: 0 });
const unitsOrNull = (description?: string) =>
  orNull<number>('number', { minimum: 0, ...(description !== undefined && { description }) });

const LimitSource = Type.Enum(['configured', 'learned', 'override']);
const Unit = Type.String({ examples: ['requests', 'input_tokens', 'total_tokens', 'usd'] });

const Config = viewSchema<ConfigView>()(
  Type.Object({
    file: textOrNull({ description: 'Null when the built-in defaults are in force.' }),
    profile: Type.String(),
    hash: Type.String(),
    loaded_at: instant(),
    reload_error: textOrNull({ description: 'Why the last reload was not taken.' }),
  }),
);

const Totals = viewSchema<TotalsView>()(
  Type.Object({
    exchanges: count(),
    answered: count(),
    refused: count(),
    cancelled: count(),
    failed: count(),
    upstream_rejections: Type.Integer({
      minimum: 0,
      description: '429s of the upstream; the goal is 0.',
    }),
    running: count(),
    waiting: count(),
  }),
);

const Window = viewSchema<WindowView>()(
  Type.Object(
    {
      policy: Type.String({ examples: ['rpm', 'tpm', 'rpd'] }),
      unit: Unit,
      limit: unitsOrNull('Null is no limit.'),
      limit_source: LimitSource,
      source: Type.String({ description: 'Where it was written: file:line, or the profile.' }),
      used: units(),
      held: Type.Number({ minimum: 0, description: 'Of `used`, by calls in flight.' }),
      span_ms: milliseconds(),
      next_free_at: instantOrNull({ description: 'When the oldest unit leaves the window.' }),
    },
    { title: 'Window' },
  ),
);

const Cooldown = viewSchema<CooldownView>()(
  Type.Object(
    {
      kind: Type.String({
        examples: ['minute', 'day', 'exhausted', 'billing', 'zero_limit', 'startup'],
      }),
      until: instant(),
      remaining_ms: milliseconds(),
      reason: Type.String(),
    },
    { title: 'Cooldown' },
  ),
);

const Partition = viewSchema<PartitionView>()(
  Type.Object(
    {
      project: Type.String(),
      model: Type.String(),
      windows: Type.Array(Window),
      cooldowns: Type.Array(Cooldown),
      running: count(),
      max_concurrent: unitsOrNull(),
      waiting: count(),
    },
    { title: 'Partition' },
  ),
);

const Queued = viewSchema<QueuedView>()(
  Type.Object(
    {
      id: Type.String({ description: 'The request id.' }),
      project: Type.String(),
      model: Type.String(),
      agent: Type.String(),
      class: Type.Enum(['interactive', 'batch']),
      position: Type.Integer({
        minimum: 1,
        description: '1 is next, within its project and model.',
      }),
      tokens: units(),
      attempt: Type.Integer({
        minimum: 1,
        description: 'Which try of its client this is; 1 is the first.',
      }),
      waited_ms: milliseconds(),
      expected_at: instantOrNull(),
      reason: Type.String({ description: 'What it waits for, in words.' }),
      deadline_at: instant(),
    },
    { title: 'QueuedCall' },
  ),
);

const Agent = viewSchema<AgentView>()(
  Type.Object(
    {
      agent: Type.String(),
      running: count(),
      waiting: count(),
      calls: Type.Integer({
        minimum: 0,
        description: 'Ended since the daemon started, those refused included.',
      }),
      refused: count(),
      input_tokens: count(),
      output_tokens: count(),
      usd: units(),
      last_model: textOrNull({ description: 'Of its last ended call.' }),
      last_ended_at: instantOrNull(),
    },
    { title: 'Agent' },
  ),
);

const Refusal = viewSchema<RefusalView>()(
  Type.Object(
    {
      at: instant(),
      id: Type.String(),
      project: Type.String(),
      model: Type.String(),
      agent: Type.String(),
      reason: Type.String(),
      message: Type.String(),
    },
    { title: 'Refusal' },
  ),
);

const Day = viewSchema<DayView>()(
  Type.Object({
    zone: Type.String({ description: "Whose midnight ends Google's quota day." }),
    started_at: instant(),
    resets_at: instant(),
  }),
);

const EstimateRatio = Type.Unsafe<TruthView['estimate_ratio']>({
  type: ['object', 'null'],
  description: 'Input tokens as the upstream counted them over those estimated.',
  required: ['mean', 'samples'],
  properties: { mean: units(), samples: count() },
});

const Truth = viewSchema<TruthView>()(
  Type.Object({
    upstream_rejections: Type.Integer({
      minimum: 0,
      description: '429s of the upstream since `started_at`; the goal is 0.',
    }),
    estimate_ratio: EstimateRatio,
    restarts: Type.Integer({
      minimum: 0,
      description: 'Starts on this database in the last 24 hours, its very first not counted.',
    }),
    started_at: instant(),
  }),
);

export const StatusSchema = viewSchema<StatusView>()(
  Type.Object(
    {
      version: Type.String(),
      pid: count(),
      started_at: instant(),
      uptime_ms: milliseconds(),
      listen: Type.String(),
      mode: Type.Enum(['enforce', 'shadow', 'off']),
      config: Config,
      upstream: Type.Object({ base_url: Type.String(), simulated: Type.Boolean() }),
      database: Type.Object({ path: Type.String(), bytes: count() }),
      totals: Totals,
      partitions: Type.Array(Partition),
      queue: Type.Array(Queued),
      agents: Type.Array(Agent, {
        description: 'Those with calls under way, then those of the last hour; at most 100.',
      }),
      recent_refusals: Type.Array(Refusal),
      day: Day,
      truth: Truth,
      banners: Type.Array(Type.String(), { description: 'What a person should see first.' }),
    },
    { title: 'Status' },
  ),
);

const Limit = viewSchema<LimitView>()(
  Type.Object(
    {
      policy: Type.String(),
      unit: Unit,
      limit: unitsOrNull('In force. Null is no limit.'),
      limit_source: LimitSource,
      configured: unitsOrNull(),
      learned: unitsOrNull("From an upstream's 429."),
      override: unitsOrNull('Set while running.'),
      source: Type.String({ description: 'Where it was written: file:line, or the profile.' }),
    },
    { title: 'Limit' },
  ),
);

export const LimitsSchema = viewSchema<LimitsView>()(
  Type.Object(
    {
      project: Type.String(),
      model: Type.String(),
      windows: Type.Array(Limit),
      max_concurrent: unitsOrNull(),
    },
    { title: 'ModelLimits' },
  ),
);

export const LimitListSchema = Type.Object({ limits: Type.Array(LimitsSchema) });
export const QueueSchema = Type.Object({ queue: Type.Array(Queued) });
export const CancelledSchema = Type.Object({ id: Type.String(), cancelled: Type.Literal(true) });

export const ExplainSchema = viewSchema<ExplainView>()(
  Type.Object(
    {
      project: Type.String(),
      model: Type.String(),
      admit: Type.Boolean({ description: 'Whether it would pass now.' }),
      wait_ms: unitsOrNull('Null when it would never pass, or the time is not known.'),
      limited_by: Type.Array(
        Type.Object({
          policy: Type.String(),
          used: units(),
          limit: unitsOrNull(),
          free_at: instantOrNull(),
          message: Type.String(),
        }),
      ),
    },
    { title: 'Explanation' },
  ),
);

export const ReloadSchema = viewSchema<ReloadView>()(
  Type.Object(
    {
      result: Type.Enum(['applied', 'unchanged']),
      file: textOrNull(),
      hash: Type.String(),
      restart_needed: Type.Array(Type.String(), {
        description: 'Settings that take effect only at the next start.',
      }),
    },
    { title: 'Reload' },
  ),
);

const usageSums = () => ({
  requests: count(),
  input_tokens: count(),
  output_tokens: count(),
  usd: units(),
});
const day = (description: string) =>
  ({ format: 'date', description, examples: ['2026-11-30'] }) as const;

export const UsageSchema = viewSchema<UsageView>()(
  Type.Object(
    {
      by: Type.Enum(['model', 'agent', 'project', 'day']),
      since: textOrNull(day('First day; null for as far back as is kept.')),
      until: Type.String(day('Last day.')),
      zone: Type.String({ description: 'Whose midnight ends a day.' }),
      rows: Type.Array(Type.Object({ key: Type.String(), ...usageSums() })),
      total: Type.Object(usageSums()),
    },
    { title: 'Usage' },
  ),
);

export const LiveSchema = Type.Object({ status: Type.Literal('live') });
export const ReadySchema = Type.Object({ status: Type.Literal('ready') });
export const UnreadySchema = Type.Object({
  status: Type.Literal('unready'),
  reason: Type.String(),
});
