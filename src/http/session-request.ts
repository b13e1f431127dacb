import { type Static, Type } from 'typebox';

import { ProxyError } from '../errors.ts';
import type { GeminiContent } from '../sessions/session.ts';
import type { ContinueRequest } from '../sessions/contracts.ts';
import { orNull, textOrNull } from './openapi-shapes.ts';

/** Room for inline images and audio in `parts`; the API takes 20 MB of request, base64 included. */
export const CONTINUE_BYTES_MAX = 32 * 1024 * 1024;

/** Sessions of one page. */
export const LIST_LIMIT_DEFAULT = 50;

/** Levels of `parts` and `config`; the API's own JSON parser (protobuf) stops at 100. */
const DEPTH_MAX = 100;

export const ListQuery = Type.Object(
  {
    limit: Type.Optional(
      Type.String({
        pattern: '^(?:[1-9][0-9]{0,2}|1000)$',
        title: 'a whole number from 1 to 1000',
        description: `Sessions of one page, 1 to 1000; ${LIST_LIMIT_DEFAULT} unless told.`,
      }),
    ),
    cursor: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 4096,
        description: 'next_cursor of the page before.',
      }),
    ),
  },
  { additionalProperties: false },
);

export const ShowQuery = Type.Object(
  {
    full: Type.Optional(
      Type.Enum(['true', 'false'], { description: 'true does not cut questions and answers.' }),
    ),
  },
  { additionalProperties: false },
);

export const ContinueQuery = Type.Object(
  {
    alt: Type.Optional(
      Type.Enum(['sse', 'json'], { description: 'sse is the same as stream: true.' }),
    ),
  },
  { additionalProperties: false },
);

export const ContinueBody = Type.Object(
  {
    message: Type.Optional(
      textOrNull({ minLength: 1, description: 'The new message. This or parts is needed.' }),
    ),
    parts: Type.Optional(
      orNull<readonly Readonly<Record<string, unknown>>[]>('array', {
        items: { type: 'object' },
        minItems: 1,
        description: 'Gemini parts in place of a message, sent as they are.',
      }),
    ),
    agent: Type.Optional(
      textOrNull({
        minLength: 1,
        maxLength: 256,
        description: "Which agent answers; the last turn's winner unless told.",
      }),
    ),
    model: Type.Optional(
      textOrNull({ minLength: 1, maxLength: 256, description: "The agent's own unless told." }),
    ),
    config: Type.Optional(
      orNull<Readonly<Record<string, unknown>>>('object', {
        description:
          'Settings that win over config_path and over the session, such as temperature.',
      }),
    ),
    config_path: Type.Optional(
      textOrNull({
        minLength: 1,
        maxLength: 4096,
        description: 'A file of settings below a session root. Wins over the session.',
      }),
    ),
    max_turns: Type.Optional(
      orNull<number>('integer', {
        minimum: 1,
        description: 'Newest turns to send; null or nothing sends all that fit.',
      }),
    ),
    dry_run: Type.Optional(
      Type.Boolean({ description: 'Answers with the call instead of sending it. Default false.' }),
    ),
    stream: Type.Optional(
      Type.Boolean({ description: "Answers with the model's SSE as it comes. Default false." }),
    ),
    idempotency_key: Type.Optional(
      textOrNull({
        minLength: 1,
        maxLength: 200,
        description: 'The same key answers with the turn already taken.',
      }),
    ),
  },
  { additionalProperties: false, title: 'ContinueRequest' },
);

/**
 * The body of continue, which fits its schema, with everything that it leaves out. Throws
 * BAD_REQUEST where there is not exactly one question, or settings are nested too deep.
 */
export function continueRequestOf(body: Static<typeof ContinueBody>): ContinueRequest {
  const message = body.message ?? null;
  const parts = body.parts ?? null;
  if (message === null && parts === null) {
    throw mistake('body.message', 'is missing; say what to ask, here or as "parts"');
  }
  if (message !== null && parts !== null) {
    throw mistake('body.parts', 'cannot be beside "message"; put the text into a part');
  }
  if (message?.trim() === '') throw mistake('body.message', 'is blank; say what to ask');
  requireShallow('body.parts', parts);
  requireShallow('body.config', body.config);
  return {
    message,
    parts: parts satisfies GeminiContent['parts'] | null,
    agent: body.agent ?? null,
    model: body.model ?? null,
    config: body.config ?? null,
    configPath: body.config_path ?? null,
    turnsMax: body.max_turns ?? null,
    idempotencyKey: body.idempotency_key ?? null,
  };
}

function requireShallow(where: string, value: unknown): void {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > DEPTH_MAX) throw mistake(where, `is nested deeper than ${DEPTH_MAX} levels`);
    level = level.flatMap((node): unknown[] =>
      typeof node === 'object' && node !== null ? Object.values<unknown>({ ...node }) : [],
    );
  }
}

function mistake(where: string, fix: string): ProxyError {
  return new ProxyError('BAD_REQUEST', `${where} ${fix}.`, { where });
}
