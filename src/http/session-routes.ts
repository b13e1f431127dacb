import { Readable } from 'node:stream';

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';

import { ProxyError } from '../errors.ts';
import { readControlHeaders } from '../exchange/control-headers.ts';
import { PLACEHOLDER_KEY } from '../gemini/auth.ts';
import { headerValue } from '../gemini/headers.ts';
import { nameIn } from './gemini-routes.ts';
import { type GuardSettings, isToken } from './guard.ts';
import { answers } from './openapi-shapes.ts';
import type { OwnRoutesOptions } from './own-routes.ts';
import { asProxyError } from './problem.ts';
import type { ContinueCaller, SessionControl } from './session-control.ts';
import { createReplyWay } from './session-reply.ts';
import {
  CONTINUE_BYTES_MAX,
  ContinueBody,
  ContinueQuery,
  continueRequestOf,
  LIST_LIMIT_DEFAULT,
  ListQuery,
  ShowQuery,
} from './session-request.ts';
import {
  ContinueAnswerSchema,
  DryRunSchema,
  HistorySchema,
  SessionListSchema,
  SessionSchema,
} from './session-schemas.ts';
import { dryRunPieces, sessionList, sessionView } from './session-views.ts';

export interface SessionRoutesOptions extends OwnRoutesOptions {
  readonly control: SessionControl;
  readonly newRequestId: () => string;
}

const TAGS = ['sessions'];

const LogDir = Type.Object({
  logDir: Type.String({
    description:
      'A directory name below a session root, a URL-encoded relative path, a session id, or `latest`.',
    examples: ['log_20261122_143015_123456', 'project%2Flog_20261122_143015', 'latest'],
  }),
});

interface OneSession {
  Params: Static<typeof LogDir>;
}

interface Continue extends OneSession {
  Body: Static<typeof ContinueBody>;
  Querystring: Static<typeof ContinueQuery>;
}

/** Headers that say something about one call; looked at when the call is made. */
const ContinueHeaders = Type.Object({
  'x-headgate-agent': Type.Optional(
    Type.String({ description: 'Whose call it is for the queue; `session:<id>` unless told.' }),
  ),
  'x-headgate-priority': Type.Optional(
    Type.String({ description: 'interactive (unless told) or batch.' }),
  ),
  'x-headgate-max-wait': Type.Optional(
    Type.String({ description: 'Longest time in the queue, such as 30s.' }),
  ),
  'x-goog-api-key': Type.Optional(
    Type.String({ description: 'A Gemini key of the caller, in place of the configured one.' }),
  ),
});

/** Past conversations: listed, shown, and continued through the same queue and quota as any call. */
export function registerSessionRoutes(app: FastifyInstance, options: SessionRoutesOptions): void {
  registerReading(app, options.control);
  app.post<Continue>(
    '/sessions/:logDir/continue',
    {
      bodyLimit: CONTINUE_BYTES_MAX,
      schema: {
        summary: 'Take the next turn of a past conversation',
        description:
          'Forwards the turn through the same queue and quota as any call, writes it beside the ' +
          'others and answers. One turn at a time per session: meanwhile another gets 409. A call ' +
          "that fails writes no turn. With stream (or alt=sse) the model's events come as they " +
          'are, with the session in x-headgate-session, URL-encoded, and x-headgate-turn.',
        tags: TAGS,
        params: LogDir,
        querystring: ContinueQuery,
        headers: ContinueHeaders,
        body: ContinueBody,
        response: { 200: CONTINUED },
      },
    },
    (request, reply) => continueSession(request, reply, options),
  );
}

const CONTINUED = {
  description: "The model's answer, or with dry_run what would be sent.",
  content: {
    'application/json': { schema: Type.Union([ContinueAnswerSchema, DryRunSchema]) },
    'text/event-stream': {
      schema: Type.String({ description: 'GenerateContentResponse events of the model.' }),
    },
  },
};

function registerReading(app: FastifyInstance, control: SessionControl): void {
  app.get<{ Querystring: Static<typeof ListQuery> }>(
    '/sessions',
    {
      schema: {
        summary: 'List past conversations, newest first',
        tags: TAGS,
        querystring: ListQuery,
        response: { 200: answers('One page.', SessionListSchema) },
      },
    },
    async ({ query: { limit, cursor } }) => {
      const page = { limit: Number(limit ?? LIST_LIMIT_DEFAULT), cursor: cursor ?? null };
      return sessionList(await control.list(page));
    },
  );
  app.get<OneSession & { Querystring: Static<typeof ShowQuery> }>(
    '/sessions/:logDir',
    {
      schema: {
        summary: 'Show a past conversation, turn by turn',
        tags: TAGS,
        params: LogDir,
        querystring: ShowQuery,
        response: { 200: answers('What is in its log.', SessionSchema) },
      },
    },
    async ({ params, query }) => {
      const { log, session } = await control.show(params.logDir);
      return sessionView(log, session, query.full === 'true');
    },
  );
  app.get<OneSession>(
    '/sessions/:logDir/history',
    {
      schema: {
        summary: 'The contents that a next turn would send',
        tags: TAGS,
        params: LogDir,
        response: { 200: answers('Gemini contents.', HistorySchema) },
      },
    },
    async ({ params }) => {
      const { contents, warnings } = await control.history(params.logDir);
      return { contents, warnings };
    },
  );
}

async function continueSession(
  request: FastifyRequest<Continue>,
  fastify: FastifyReply,
  options: SessionRoutesOptions,
): Promise<FastifyReply> {
  const { params, query, body } = request;
  const requestId = options.newRequestId();
  fastify.header('x-headgate-request-id', requestId);
  const asked = continueRequestOf(body);
  const caller = callerOf(request, options.guard());
  const stream = query.alt === 'sse' || body.stream === true;
  if (body.dry_run === true) {
    const planned = await options.control.plan(params.logDir, asked);
    return sendPieces(fastify, dryRunPieces(planned, stream));
  }
  const { reply, signal, isUsed } = createReplyWay(fastify);
  try {
    await options.control.continue(
      params.logDir,
      asked,
      { ...caller, requestId, stream, signal },
      reply,
    );
  } catch (error) {
    if (!isUsed()) throw error;
    // Too late for a status. The missing end tells the client.
    reply.destroy();
    const known = asProxyError(error);
    if (known.reason === 'INTERNAL') options.onFault(known);
  }
  if (!isUsed()) throw new ProxyError('INTERNAL', 'The turn has ended without an answer.');
  return fastify;
}

/** Throws BAD_REQUEST that names the header. */
function callerOf(
  { raw }: FastifyRequest<Continue>,
  guard: GuardSettings,
): Pick<ContinueCaller, 'agentName' | 'apiKey' | 'controlHeaders'> {
  const { rawHeaders } = raw;
  readControlHeaders(rawHeaders);
  const key = headerValue(rawHeaders, 'x-goog-api-key')?.trim() ?? '';
  // The placeholder and our own token stand where clients that need some key were given one.
  const isOwn = key !== '' && key !== PLACEHOLDER_KEY && !isToken(key, guard);
  return {
    agentName: nameIn(rawHeaders, 'x-headgate-agent'),
    apiKey: isOwn ? key : null,
    controlHeaders: ['x-headgate-priority', 'x-headgate-max-wait'].flatMap((name) => {
      const value = headerValue(rawHeaders, name);
      return value === null ? [] : [name, value];
    }),
  };
}

function sendPieces(fastify: FastifyReply, pieces: readonly Uint8Array[]): FastifyReply {
  const bytes = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  return fastify
    .type('application/json; charset=utf-8')
    .header('content-length', bytes)
    .send(Readable.from(pieces));
}
