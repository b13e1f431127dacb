import type { IncomingHttpHeaders } from 'node:http';
import { JSON_TYPE, whole } from './answer.ts';
import { errorBody, type ErrorShape, type GoogleError, GOOGLE_ERRORS } from './google-error.ts';
import type { Intake } from './intake.ts';
import type { Target } from './route.ts';

/** A request for something that has no quota. */
export interface ResourceRequest {
  readonly method: string;
  readonly target: Target;
  readonly headers: IncomingHttpHeaders;
  /** The body, or its beginning where `bytes` is more. */
  readonly body: Buffer;
  readonly bytes: number;
  /** What an upload's body has been weighed as; null for every other request. */
  readonly intake?: Intake | null;
  readonly wallMs: number;
}

export interface ResourceAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly pieces: readonly string[];
}

/** Most resources of one kind that are remembered; the oldest go first. */
export const REMEMBERED_MAX = 1000;

export function ok(value: unknown): ResourceAnswer {
  return { status: 200, ...whole(value) };
}

export function empty(headers: Readonly<Record<string, string>>): ResourceAnswer {
  return { status: 200, contentType: 'text/plain; charset=utf-8', headers, pieces: [] };
}

export function notFound(shape: ErrorShape = 'object'): ResourceAnswer {
  return failure(GOOGLE_ERRORS.notFound, shape);
}

export function failure(error: GoogleError, shape: ErrorShape = 'object'): ResourceAnswer {
  return { status: error.code, contentType: JSON_TYPE, pieces: [errorBody(error, shape)] };
}

/** The object in a body; an empty one where there is none. */
export function objectIn(body: Buffer): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    return {};
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return {};
  return Object.fromEntries(Object.entries(value));
}

/** One page of `all` under the name `key`, as `pageSize` and `pageToken` ask for it. */
export function pageOf(
  key: string,
  all: readonly unknown[],
  query: URLSearchParams,
): ResourceAnswer {
  const from = Math.max(0, Number(query.get('pageToken') ?? 0) || 0);
  const size = Math.max(1, Number(query.get('pageSize') ?? PAGE_SIZE) || PAGE_SIZE);
  const more = from + size < all.length ? { nextPageToken: String(from + size) } : {};
  return ok({ [key]: all.slice(from, from + size), ...more });
}

/** Puts a value into a map of which only the latest are remembered. */
export function keep<T>(map: Map<string, T>, key: string, value: T): void {
  map.set(key, value);
  const oldest = map.size > REMEMBERED_MAX ? map.keys().next().value : undefined;
  if (oldest !== undefined) map.delete(oldest);
}

const PAGE_SIZE = 50;
