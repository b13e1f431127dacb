import type { FastifyInstance } from 'fastify';

import type { Control } from './control.ts';
import { answers, answersText } from './openapi-shapes.ts';
import { LiveSchema, ReadySchema, UnreadySchema } from './openapi-views.ts';

export interface ProbeRoutesOptions {
  readonly control: Control;
  readonly metrics: { render(): Promise<string>; readonly contentType: string };
  readonly version: string;
}

/** What supervisors, monitoring and people who wonder what listens here ask for. */
export function registerProbeRoutes(
  app: FastifyInstance,
  { control, metrics, version }: ProbeRoutesOptions,
): void {
  const tags = ['probes'];
  app.get(
    '/',
    {
      schema: {
        summary: 'What this is',
        tags,
        response: { 200: answersText('For people.', 'text/plain') },
      },
    },
    (_request, reply) => reply.type('text/plain; charset=utf-8').send(welcome(version)),
  );
  const live = answers('It does.', LiveSchema);
  app.get(
    '/livez',
    { schema: { summary: 'Whether the process answers', tags, response: { 200: live } } },
    () => ({ status: 'live' }),
  );
  const response = {
    200: answers('They can.', ReadySchema),
    503: answers('They cannot.', UnreadySchema),
  };
  for (const path of ['/readyz', '/healthz']) {
    app.get(
      path,
      { schema: { summary: 'Whether calls can be taken', tags, response } },
      (_request, reply) => {
        const reason = control.unreadyReason();
        if (reason === null) return { status: 'ready' };
        return reply.code(503).send({ status: 'unready', reason });
      },
    );
  }
  app.get(
    '/metrics',
    {
      schema: {
        summary: 'For Prometheus',
        tags,
        response: { 200: answersText("In Prometheus' text format.", 'text/plain') },
      },
    },
    async (_request, reply) => {
      const text = await metrics.render();
      return reply.type(metrics.contentType).send(text);
    },
  );
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
  GET  /sessions        past conversations; POST /sessions/NAME/continue takes the next turn
  GET  /openapi.json    all of these, described
`;
}
