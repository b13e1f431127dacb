import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';

import { type EventStreamOptions, registerEventStream } from './event-stream.ts';
import { answers } from './openapi-shapes.ts';
import { ExchangeListSchema, HistorySchema, OUTCOMES } from './page-schemas.ts';

/** Exchanges kept for people to look at; the answer never has more. */
export const EXCHANGES_KEPT = 200;

const NAME_CHARS_MAX = 256;
const name = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: NAME_CHARS_MAX, description }));

const ExchangesQuery = Type.Object(
  {
    // A number in a query is text: numbers are told from words by the pattern.
    limit: Type.Optional(
      Type.String({
        pattern: '^([1-9]|[1-9][0-9]|1[0-9][0-9]|200)$',
        title: `a whole number from 1 to ${EXCHANGES_KEPT}`,
        description: `From 1 to ${EXCHANGES_KEPT}, which is the default.`,
      }),
    ),
    model: name('As it is counted, or as a client wrote it.'),
    agent: name('Whose exchanges.'),
    outcome: Type.Optional(Type.Enum([...OUTCOMES])),
  },
  { additionalProperties: false },
);

const HistoryQuery = Type.Object(
  {
    span: Type.Optional(
      Type.Enum(['hour', 'day'], {
        description: '60 steps of a minute (the default), or 96 of a quarter of an hour.',
      }),
    ),
    model: name('As it is counted. Default: all.'),
    project: name('Default: all.'),
  },
  { additionalProperties: false },
);

/** What the page shows beside what an operator asks. */
export function registerPageRoutes(app: FastifyInstance, options: EventStreamOptions): void {
  const { page } = options;
  const tags = ['operation'];
  registerEventStream(app, options);
  app.get<{ Querystring: Static<typeof ExchangesQuery> }>(
    '/exchanges',
    {
      schema: {
        summary: 'The last counted exchanges',
        description: 'They are kept in memory, so a restart begins anew.',
        tags,
        querystring: ExchangesQuery,
        response: { 200: answers('The newest first.', ExchangeListSchema) },
      },
    },
    ({ query: { limit, model = null, agent = null, outcome = null } }) => {
      const most = limit === undefined ? EXCHANGES_KEPT : Number(limit);
      return { exchanges: page.exchanges({ limit: most, model, agent, outcome }) };
    },
  );
  app.get<{ Querystring: Static<typeof HistoryQuery> }>(
    '/history',
    {
      schema: {
        summary: 'The last hour or day, step by step',
        description: 'Counted exchanges by when they ended.',
        tags,
        querystring: HistoryQuery,
        response: { 200: answers('The oldest step first, without gaps.', HistorySchema) },
      },
    },
    ({ query: { span = 'hour', model = null, project = null } }) =>
      page.history({ span, model, project }),
  );
}
