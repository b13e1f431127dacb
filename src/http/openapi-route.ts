import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';

import { openApiDocument, type RouteDescription } from './openapi.ts';
import { answers, type JsonSchema } from './openapi-shapes.ts';
import { OPEN_PATHS } from './own-routes.ts';

declare module 'fastify' {
  /** What the document tells of a route beside the schemas that its requests are held to. */
  interface FastifySchema {
    readonly summary?: string;
    readonly description?: string;
    readonly tags?: readonly string[];
  }
}

/**
 * Serves `GET /openapi.json` with all routes that are registered after this call. Returns the
 * document's maker, to be asked once they are.
 */
export function registerOpenApi(app: FastifyInstance, version: string): () => JsonSchema {
  const routes: RouteDescription[] = [];
  app.addHook('onRoute', ({ method, url, schema }) => {
    for (const name of [method].flat()) {
      // Fastify answers HEAD wherever there is a GET.
      if (name === 'HEAD') continue;
      // A route's schema is a plain object with more keys than Fastify's type knows.
      const plain: JsonSchema = { ...schema };
      routes.push({ method: name, url, isOpen: OPEN_PATHS.has(url), schema: plain });
    }
  });
  const document = (): JsonSchema => openApiDocument(routes, version);
  let text: string | null = null;
  app.get(
    '/openapi.json',
    {
      schema: {
        summary: 'This document',
        tags: ['operation'],
        response: { 200: answers('OpenAPI 3.1.', Type.Object({})) },
      },
    },
    (_request, reply) => {
      text ??= JSON.stringify(document());
      return reply.type('application/json; charset=utf-8').send(text);
    },
  );
  return document;
}
