import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { JSON_TYPE } from './answer.ts';
import type { ArrivalLog, OpenArrival } from './arrival.ts';
import { bodyOf } from './body.ts';
import { serveCall } from './call.ts';
import {
  badRequest,
  errorBody,
  type ErrorShape,
  type GoogleError,
  GOOGLE_ERRORS,
} from './google-error.ts';
import type { Intake } from './intake.ts';
import { isOwnPage, serveOwnPage } from './own-page.ts';
import { Reply } from './reply.ts';
import { notFound } from './resource-answer.ts';
import { hasToken } from './resources.ts';
import { errorShapeOf, isOpenai, type Route, routeOf, type Target, targetOf } from './route.ts';
import type { Score } from './score.ts';
import type { World } from './world.ts';

/** A running simulator, as its requests see it. */
export interface Host {
  /** Without a trailing slash; known once it listens. */
  url: string;
  readonly world: World;
  readonly log: ArrivalLog;
  readonly score: () => Score;
  readonly reset: () => void;
}

/** Gemini's own limit of a request with inline data. */
const BODY_BYTES_MAX = 104_857_600;
/** What is kept of an upload: enough for the JSON that begins one. */
const UPLOAD_BYTES_KEPT = 65_536;

/** Takes a request from its headers to the end of its answer. */
export async function receive(
  host: Host,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method = 'GET', url = '/' } = request;
  const target = targetOf(url);
  if (target !== null && isOwnPage(target)) return serveOwnPage(host, request, response, target);
  const { world } = host;
  const route = target === null ? null : routeOf(method, target);
  const arrival = host.log.open(world.now(), route?.method ?? `${method} ${target?.path ?? url}`);
  const reply = new Reply(request, response, {
    arrival,
    clock: world.clock,
    clockOffsetMs: world.scenario.clock_offset_ms,
    gzip: world.scenario.gzip,
  });
  const key = target === null ? null : keyOf(request, target, route);
  arrival.apiKeyHash = key === null ? null : hashOf(key);
  arrival.agentTag = headerOf(request, 'x-test-tag') ?? null;
  const upload = target !== null && target.path.startsWith('/upload/') ? target : null;
  const { uploads } = world.resources;
  const intake = upload === null ? null : uploads.intakeFor(upload, request.headers);
  const kept = intake === null ? BODY_BYTES_MAX + 1 : UPLOAD_BYTES_KEPT;
  const body = await bodyOf(request, kept, (chunk) => {
    arrival.bytes += chunk.length;
    intake?.add(chunk);
  });
  if (body === null) {
    // The client left before it had sent everything.
    if (upload !== null && intake !== null) uploads.broken(upload, request.headers, intake);
    return;
  }

  const isOpen = target !== null && (uploads.isAddress(target) || hasToken(target));
  const error = requestError(world, { key, isOpen, body });
  if (target === null) {
    sendError(reply, 'object', badRequest('Malformed URL.'));
  } else if (method === 'OPTIONS') {
    reply.send(200, preflight(request));
  } else if (error !== null) {
    sendError(reply, route === null ? shapeOf(target) : errorShapeOf(route), error);
  } else if (route === null) {
    serveResource(host, { request, target, body, intake, arrival, reply });
  } else {
    await serveCall(world, route, { arrival, reply, body });
  }
}

function serveResource(
  { world, url }: Host,
  exchange: {
    readonly request: IncomingMessage;
    readonly target: Target;
    readonly body: Buffer;
    readonly intake: Intake | null;
    readonly arrival: OpenArrival;
    readonly reply: Reply;
  },
): void {
  const { request, target, body, intake, arrival, reply } = exchange;
  const { method = 'GET', headers } = request;
  const { bytes, wallMs } = arrival;
  const answer = /^\/(?:upload\/|download\/)?v1\w*\//.test(target.path)
    ? world.resources.answer(
        { method, target, headers, body, bytes, intake, wallMs },
        world.scenario,
        url,
      )
    : notFound();
  reply.send(answer.status, answer);
}

/** Of a path that has no quota. */
function shapeOf({ path }: Target): ErrorShape {
  if (/^\/v1\w*\/openai\//.test(path)) return 'array';
  return /^\/v1\w*\/interactions\//.test(path) ? 'interaction' : 'object';
}

function sendError(reply: Reply, shape: ErrorShape, error: GoogleError): void {
  reply.send(error.code, { contentType: JSON_TYPE, pieces: [errorBody(error, shape)] });
}

function requestError(
  { scenario }: World,
  {
    key,
    isOpen,
    body,
  }: { readonly key: string | null; readonly isOpen: boolean; readonly body: Buffer },
): GoogleError | null {
  if (body.length > BODY_BYTES_MAX) {
    return badRequest(`Request payload size exceeds the limit: ${BODY_BYTES_MAX} bytes.`);
  }
  if (scenario.keys === undefined) return null;
  if (key === null) return isOpen ? null : GOOGLE_ERRORS.keyMissing;
  return scenario.keys.includes(key) ? null : GOOGLE_ERRORS.keyInvalid;
}

function keyOf(
  request: IncomingMessage,
  { path, query }: Target,
  route: Route | null,
): string | null {
  const bearer = /^(?:Bearer|Token) +(.+)$/i.exec(headerOf(request, 'authorization') ?? '')?.[1];
  if (route === null ? shapeOf({ path, query }) === 'array' : isOpenai(route)) {
    return bearer ?? null;
  }
  return (
    headerOf(request, 'x-goog-api-key') ?? query.get('key') ?? bearer ?? query.get('access_token')
  );
}

function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function preflight(request: IncomingMessage): {
  contentType: string;
  pieces: string[];
  headers: Record<string, string>;
} {
  const wanted = headerOf(request, 'access-control-request-headers');
  return {
    contentType: 'text/plain; charset=utf-8',
    pieces: [],
    headers: {
      'access-control-allow-origin': headerOf(request, 'origin') ?? '*',
      'access-control-allow-methods': 'DELETE,GET,HEAD,OPTIONS,PATCH,POST,PUT',
      ...(wanted === undefined ? {} : { 'access-control-allow-headers': wanted }),
      'access-control-max-age': '3600',
    },
  };
}

const hashes = new Map<string, string>();
const HASHES_MAX = 1000;

/** Keys are few and calls are many. */
function hashOf(key: string): string {
  const known = hashes.get(key);
  if (known !== undefined) return known;
  if (hashes.size >= HASHES_MAX) hashes.clear();
  const hash = createHash('sha256').update(key).digest('hex').slice(0, 12);
  hashes.set(key, hash);
  return hash;
}
