import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';

import { ProxyError } from '../errors.ts';
import type { Control } from './control.ts';
import { answers } from './openapi-shapes.ts';
import {
  CancelledSchema,
  ExplainSchema,
  LimitListSchema,
  LimitsSchema,
  QueueSchema,
  ReloadSchema,
  StatusSchema,
  UsageSchema,
} from './openapi-views.ts';

export interface AdminRoutesOptions {
  readonly control: Control;
}

/** The project of callers that name none; it always exists. */
const DEFAULT_PROJECT = 'default';

const ProjectQuery = Type.Object(
  {
    project: Type.Optional(
      Type.String({ minLength: 1, maxLength: 64, description: 'default unless told.' }),
    ),
  },
  { additionalProperties: false },
);

/** Policy names are the config's, so any is let through; `control` names an unknown one. */
const LimitsBody = Type.Record(
  Type.String(),
  Type.Unsafe<number | null>({ type: ['number', 'null'], minimum: 0 }),
  {
    minProperties: 1,
    maxProperties: 64,
    title: 'LimitChange',
    description:
      'New limits by the name of their policy (rpm, tpm, rpd, ...); null takes back what was set.',
  },
);

const ModelParams = Type.Object({
  model: Type.String({ description: 'URL-encoded where it has a slash.' }),
});

const QueueParams = Type.Object({ id: Type.String({ description: 'The request id.' }) });

const ExplainBody = Type.Object(
  {
    model: Type.String({ minLength: 1, maxLength: 256 }),
    tokens: Type.Optional(Type.Integer({ minimum: 0, description: 'Input tokens of the call.' })),
    agent: Type.Optional(Type.Unsafe<string | null>({ type: ['string', 'null'] })),
    project: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
  },
  { additionalProperties: false, title: 'ExplainQuestion' },
);

const UsageQuery = Type.Object(
  {
    by: Type.Optional(Type.Enum(['model', 'agent', 'project', 'day'])),
    since: Type.Optional(
      Type.String({
        maxLength: 10,
        description: 'First day in Los Angeles, YYYY-MM-DD, or so many days with today, as 7d.',
      }),
    ),
    until: Type.Optional(
      Type.String({ maxLength: 10, description: 'Last day, YYYY-MM-DD; today unless told.' }),
    ),
  },
  { additionalProperties: false },
);

/** Everything an operator may ask and change. */
export function registerAdminRoutes(app: FastifyInstance, options: AdminRoutesOptions): void {
  const { control } = options;
  registerLimits(app, control);
  registerQueue(app, control);
  const tags = ['operation'];
  app.get(
    '/status',
    {
      schema: {
        summary: 'Windows, queue, cooldowns, recent refusals',
        tags,
        response: { 200: answers('What the daemon is doing.', StatusSchema) },
      },
    },
    () => control.status(),
  );
  app.post(
    '/reload',
    {
      schema: {
        summary: 'Read the configuration anew',
        description: 'A bad one leaves the old one in force, and is answered with its mistake.',
        tags,
        response: { 200: answers('It is in force.', ReloadSchema) },
      },
    },
    () => control.reload(),
  );
  app.get<{ Querystring: Static<typeof UsageQuery> }>(
    '/usage',
    {
      schema: {
        summary: 'Requests, tokens and dollars',
        tags,
        querystring: UsageQuery,
        response: { 200: answers('One row for each key.', UsageSchema) },
      },
    },
    ({ query: { by = 'model', since = null, until = null } }) =>
      control.usage({ by, since, until }),
  );
}

interface OneModel {
  Params: Static<typeof ModelParams>;
  Querystring: Static<typeof ProjectQuery>;
}

function registerLimits(app: FastifyInstance, control: Control): void {
  const tags = ['limits'];
  app.get(
    '/limits',
    {
      schema: {
        summary: 'Limits in force, and where they came from',
        tags,
        response: { 200: answers('One entry for each project and model.', LimitListSchema) },
      },
    },
    () => ({ limits: control.limits() }),
  );
  const oneModel = { tags, params: ModelParams, querystring: ProjectQuery };
  const response = { 200: answers("The model's limits now in force.", LimitsSchema) };
  app.patch<OneModel & { Body: Static<typeof LimitsBody> }>(
    '/limits/:model',
    { schema: { summary: 'Set limits while running', ...oneModel, body: LimitsBody, response } },
    ({ params, query, body }) =>
      control.setLimits(
        params.model,
        new Map(Object.entries(body)),
        query.project ?? DEFAULT_PROJECT,
      ),
  );
  app.delete<OneModel>(
    '/limits/:model',
    {
      schema: {
        summary: 'Drop what was set or learned, and lift cooldowns',
        ...oneModel,
        response,
      },
    },
    ({ params, query }) => control.resetLimits(params.model, query.project ?? DEFAULT_PROJECT),
  );
  app.post<{ Body: Static<typeof ExplainBody> }>(
    '/limits/explain',
    {
      schema: {
        summary: 'Would a call pass now, and if not, when',
        tags,
        body: ExplainBody,
        response: { 200: answers('Nothing was sent or reserved.', ExplainSchema) },
      },
    },
    ({ body }) =>
      control.explain({
        model: body.model,
        tokens: body.tokens ?? 0,
        agent: body.agent ?? null,
        project: body.project ?? DEFAULT_PROJECT,
      }),
  );
}

function registerQueue(app: FastifyInstance, control: Control): void {
  const tags = ['operation'];
  app.get(
    '/queue',
    {
      schema: {
        summary: 'Who waits for what',
        tags,
        response: { 200: answers('In the order of admission.', QueueSchema) },
      },
    },
    () => ({ queue: control.queue() }),
  );
  app.delete<{ Params: Static<typeof QueueParams> }>(
    '/queue/:id',
    {
      schema: {
        summary: 'Cancel a waiting call',
        tags,
        params: QueueParams,
        response: { 200: answers('It waits no more.', CancelledSchema) },
      },
    },
    ({ params: { id } }) => {
      if (control.cancelQueued(id)) return { id, cancelled: true };
      throw new ProxyError(
        'NOT_FOUND',
        `No call with the id "${id.slice(0, 100)}" waits; GET /queue lists those that do.`,
        { where: 'id' },
      );
    },
  );
}
