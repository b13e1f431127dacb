import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';

import { ProxyError } from '../errors.ts';
import type { Control } from './control.ts';

export interface AdminRoutesOptions {
  readonly control: Control;
  readonly metrics: { render(): Promise<string>; readonly contentType: string };
  readonly version: string;
}

/** The project of callers that name none; it always exists. */
const DEFAULT_PROJECT = 'default';

const ProjectQuery = Type.Object(
  { project: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })) },
  { additionalProperties: false },
);

/** Policy names are the config's, so any is let through; `control` names an unknown one. */
const LimitsBody = Type.Record(
  Type.String(),
  Type.Unsafe<number | null>({ type: ['number', 'null'], minimum: 0 }),
  { minProperties: 1, maxProperties: 64 },
);

const ExplainBody = Type.Object(
  {
    model: Type.String({ minLength: 1, maxLength: 256 }),
    tokens: Type.Optional(Type.Integer({ minimum: 0 })),
    agent: Type.Optional(Type.Unsafe<string | null>({ type: ['string', 'null'] })),
    project: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
  },
  { additionalProperties: false },
);

const UsageQuery = Type.Object(
  { by: Type.Optional(Type.Enum(['model', 'agent', 'project', 'day'])) },
  { additionalProperties: false },
);

/** Probes, metrics, and everything an operator may ask and change. */
export function registerAdminRoutes(app: FastifyInstance, options: AdminRoutesOptions): void {
  registerProbes(app, options);
  registerLimits(app, options.control);
  registerQueue(app, options.control);
  const { control } = options;
  app.get('/status', () => control.status());
  app.post('/reload', () => control.reload());
  app.get<{ Querystring: Static<typeof UsageQuery> }>(
    '/usage',
    { schema: { querystring: UsageQuery } },
    ({ query }) => control.usage(query.by ?? 'model'),
  );
}

function registerProbes(
  app: FastifyInstance,
  { control, metrics, version }: AdminRoutesOptions,
): void {
  app.get('/', (_request, reply) => reply.type('text/plain; charset=utf-8').send(welcome(version)));
  app.get('/livez', () => ({ status: 'live' }));
  for (const path of ['/readyz', '/healthz']) {
    app.get(path, (_request, reply) => {
      const reason = control.unreadyReason();
      if (reason === null) return { status: 'ready' };
      return reply.code(503).send({ status: 'unready', reason });
    });
  }
  app.get('/metrics', async (_request, reply) => {
    const text = await metrics.render();
    return reply.type(metrics.contentType).send(text);
  });
}

function registerLimits(app: FastifyInstance, control: Control): void {
  interface OneModel {
    Params: { model: string };
    Querystring: Static<typeof ProjectQuery>;
  }
  app.get('/limits', () => ({ limits: control.limits() }));
  app.patch<OneModel & { Body: Static<typeof LimitsBody> }>(
    '/limits/:model',
    { schema: { querystring: ProjectQuery, body: LimitsBody } },
    ({ params, query, body }) =>
      control.setLimits(
        params.model,
        new Map(Object.entries(body)),
        query.project ?? DEFAULT_PROJECT,
      ),
  );
  app.delete<OneModel>(
    '/limits/:model',
    { schema: { querystring: ProjectQuery } },
    ({ params, query }) => control.resetLimits(params.model, query.project ?? DEFAULT_PROJECT),
  );
  app.post<{ Body: Static<typeof ExplainBody> }>(
    '/limits/explain',
    { schema: { body: ExplainBody } },
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
  app.get('/queue', () => ({ queue: control.queue() }));
  app.delete<{ Params: { id: string } }>('/queue/:id', ({ params: { id } }) => {
    if (control.cancelQueued(id)) return { id, cancelled: true };
    throw new ProxyError(
      'NOT_FOUND',
      `No call with the id "${id.slice(0, 100)}" waits; GET /queue lists those that do.`,
      { where: 'id' },
    );
  });
}

function welcome(version: string): string {
  return `headgate ${version}

This is a local proxy for the Gemini API. Point a client's base URL here, and its calls wait for
room in the quota instead of failing with 429.

  GET  /status          windows, queue, cooldowns, recent refusals
  GET  /limits          limits in force and where they came from
  POST /limits/explain  would a call pass now, and if not, when
  GET  /queue           who waits for what
  GET  /usage           requests, tokens and dollars by model, agent, project or day
  GET  /metrics         for Prometheus
`;
}
