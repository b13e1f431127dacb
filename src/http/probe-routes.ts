import type { FastifyInstance } from 'fastify';

import type { Control } from './control.ts';
import { answers, answersText } from './openapi-shapes.ts';
import { LiveSchema, ReadySchema, UnreadySchema } from './openapi-views.ts';

export interface ProbeRoutesOptions {
  readonly control: Control;
  readonly metrics: { render(): Promise<string>; readonly contentType: string };
}

/** What supervisors and monitoring ask for. */
export function registerProbeRoutes(
  app: FastifyInstance,
  { control, metrics }: ProbeRoutesOptions,
): void {
  const tags = ['probes'];
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
