import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import { ProxyError } from '../errors.ts';
import { checkSource, checkToken, type GuardSettings } from './guard.ts';
import {
  asProxyError,
  PROBLEM_TYPE,
  type Problem,
  problemOf,
  retryAfterSeconds,
} from './problem.ts';

export interface OwnRoutesOptions {
  readonly guard: () => GuardSettings;
  /** Told of every fault of headgate itself (5xx that is not a state, such as DRAINING). */
  readonly onFault: (error: ProxyError) => void;
}

/**
 * Open without a token: what tells nothing but whether headgate is well, and the page, for a browser
 * cannot send a token before it has the page that asks for one.
 */
export const OPEN_PATHS: ReadonlySet<string> = new Set([
  '/',
  '/dashboard/:name',
  '/dashboard/vendor/:name',
  '/livez',
  '/readyz',
  '/healthz',
]);

/** What all of our own routes share: the guard, problem documents, answers that are not cached. */
export function prepareOwnRoutes(app: FastifyInstance, { guard, onFault }: OwnRoutesOptions): void {
  const routes: KnownRoute[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    for (const name of [method].flat()) routes.push({ method: name, url, pattern: patternOf(url) });
  });
  app.addHook('onRequest', async (request, reply) => {
    // Whose route it is, not what was asked for: an escaped path must not open a closed one.
    const isOpen = OPEN_PATHS.has(request.routeOptions.url ?? '');
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
    checkSource(request, guard());
    if (!isOpen) checkToken(request, guard());
  });
  // Like Fastify's own, but no body is no mistake where none is needed: `curl -X POST /reload` with
  // a JSON content type is common.
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    parseJson(String(body), done);
  });
  // What a route's schema says of its answers is for readers: an answer goes out as it was given.
  app.setSerializerCompiler(() => (view) => JSON.stringify(view));
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const known = fromFastify(error, request.routeOptions.bodyLimit);
    if (known.reason === 'INTERNAL' || known.where === 'storage.path') onFault(known);
    // Closing with bytes unread would reset the connection before the client has read why; kept open,
    // Node reads the rest of the body and drops it.
    if (known.reason === 'BODY_TOO_LARGE') reply.removeHeader('connection');
    sendProblem(reply, known, problemOf(known));
  });
  app.setNotFoundHandler((request, reply) => {
    const error = notFound(request, routes);
    if (error.reason === 'METHOD_NOT_ALLOWED') reply.header('allow', methodsAt(request, routes));
    sendProblem(reply, error, { ...problemOf(error), routes: routeList(routes) });
  });
}

/** One sentence about the first mistake, naming the field and what it takes. */
export function describeMistake(errors: readonly SchemaMistake[], dataVar: string): ProxyError {
  const [mistake] = errors;
  const params = mistake?.params ?? {};
  const part = dataVar === 'querystring' ? 'query' : dataVar;
  const path = (mistake?.instancePath ?? '').slice(1).replaceAll('/', '.');
  const extra = params['additionalProperty'] ?? params['missingProperty'];
  const field = [path, typeof extra === 'string' ? extra : '']
    .filter((name) => name !== '')
    .join('.');
  const where = field === '' ? part : `${part}.${field}`;
  return new ProxyError('BAD_REQUEST', `${where} ${fixOf(mistake)}.`, { where });
}

/** What Fastify's validator says about one mistake. */
export interface SchemaMistake {
  readonly keyword: string;
  readonly instancePath: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly message?: string;
  /** The rule that was broken, with what stands beside it. */
  readonly parentSchema?: Readonly<Record<string, unknown>>;
}

interface KnownRoute {
  readonly method: string;
  readonly url: string;
  readonly pattern: RegExp;
}

function fixOf(mistake: SchemaMistake | undefined): string {
  if (mistake === undefined) return 'is not valid';
  switch (mistake.keyword) {
    case 'additionalProperties':
      return 'is not known here; remove it or check its spelling';
    case 'required':
      return 'is missing';
    case 'type': {
      const type = mistake.params['type'];
      return `must be ${[type].flat().join(' or ')}`;
    }
    case 'enum': {
      const allowed = mistake.params['allowedValues'];
      return `must be one of ${[allowed].flat().join(', ')}`;
    }
    case 'pattern': {
      // A pattern says nothing to people; its title says what it takes.
      const title = mistake.parentSchema?.['title'];
      return typeof title === 'string' ? `must be ${title}` : (mistake.message ?? 'is not valid');
    }
    case 'minLength':
    case 'minItems':
      return mistake.params['limit'] === 1 ? 'must not be empty' : (mistake.message ?? '');
    case 'maxLength':
      return `must have at most ${String(mistake.params['limit'])} characters`;
    default:
      return mistake.message ?? 'is not valid';
  }
}

function parseJson(text: string, done: (error: Error | null, body?: unknown) => void): void {
  if (text.trim() === '') return done(null, undefined);
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : '';
    return done(
      new ProxyError('BAD_JSON', `The body is not JSON: ${why}.`, { where: 'body', cause }),
    );
  }
  done(null, body);
}

/** Fastify's own errors carry a status below 500 where the request is at fault. */
function fromFastify(error: FastifyError, bodyBytesMax: number): ProxyError {
  const known = asProxyError(error);
  if (known.reason !== 'INTERNAL') return known;
  const { statusCode = 500 } = error;
  if (statusCode === 413) {
    return new ProxyError(
      'BODY_TOO_LARGE',
      `The body is larger than ${bodyBytesMax / 1024 / 1024} MiB, the most that is taken here.`,
      { where: 'body', cause: error },
    );
  }
  if (statusCode === 415) {
    return new ProxyError(
      'BAD_REQUEST',
      'The body must be JSON; send it with "content-type: application/json".',
      { where: 'content-type', cause: error },
    );
  }
  if (statusCode < 500) return new ProxyError('BAD_REQUEST', `${error.message}.`, { cause: error });
  return known;
}

function sendProblem(reply: FastifyReply, error: ProxyError, problem: Problem): void {
  const seconds = retryAfterSeconds(error);
  if (seconds !== null) reply.header('retry-after', String(seconds));
  if (error.retryAfterMs !== null) {
    reply.header('retry-after-ms', String(Math.max(0, Math.ceil(error.retryAfterMs))));
  }
  // What the upstream said is no refusal of ours.
  if (error.reason !== 'UPSTREAM_ERROR') reply.header('x-headgate-refused', error.reason);
  if (error.httpStatus === 401) reply.header('www-authenticate', 'Bearer');
  // As a string, or Fastify would set a content type of its own.
  void reply.code(error.httpStatus).type(PROBLEM_TYPE).send(JSON.stringify(problem));
}

function notFound(request: FastifyRequest, routes: readonly KnownRoute[]): ProxyError {
  const path = pathOf(request).slice(0, 200);
  const methods = methodsAt(request, routes);
  if (methods !== '') {
    return new ProxyError(
      'METHOD_NOT_ALLOWED',
      `${path} takes ${methods}, not ${request.method}.`,
      {
        where: 'method',
      },
    );
  }
  return new ProxyError(
    'NOT_FOUND',
    `Nothing is at ${path}. Gemini paths begin with /v1beta/, /v1/ or /v1alpha/; headgate's own routes are listed in "routes".`,
    { where: 'path' },
  );
}

function methodsAt(request: FastifyRequest, routes: readonly KnownRoute[]): string {
  const path = pathOf(request);
  return routes
    .filter(({ pattern }) => pattern.test(path))
    .map(({ method }) => method)
    .join(', ');
}

function pathOf(request: FastifyRequest): string {
  return request.url.split('?', 1)[0] ?? '/';
}

function routeList(routes: readonly KnownRoute[]): string[] {
  return routes
    .filter(({ method }) => method !== 'HEAD')
    .map(({ method, url }) => `${method} ${url}`)
    .sort();
}

/** `/limits/:model` as a regular expression. */
function patternOf(url: string): RegExp {
  const source = url.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/:\w+/g, '[^/]+');
  return new RegExp(`^${source}/?$`);
}
