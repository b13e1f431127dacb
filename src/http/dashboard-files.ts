import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';

import { ProxyError } from '../errors.ts';
import { answersText } from './openapi-shapes.ts';

export interface DashboardFilesOptions {
  readonly version: string;
  /** Where the page's files lie. Default: those of this package. */
  readonly directory?: string;
}

/** They lie in the package as they are, beside the sources and beside what was built from those. */
const DIRECTORY = fileURLToPath(new URL('../../src/dashboard/', import.meta.url));

/** A name of one folder and no other: nothing in it can lead elsewhere. */
const FILE_NAME = /^[a-z0-9]+(?:-[a-z0-9]+)*\.(css|js|svg|png)$/;

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
  png: 'image/png',
};

/** The libraries of the page: the package that brings each, and the file's place beside its entry. */
const VENDOR: Readonly<Record<string, readonly [library: string, file: string]>> = {
  'preact.js': ['htm', '../preact/standalone.module.js'],
  'uplot.js': ['uplot', 'uPlot.esm.js'],
  'uplot.css': ['uplot', 'uPlot.min.css'],
};

/**
 * The page may load what headgate serves and nothing else: no inline script or style, no other
 * host, no frame around it, no form that leads elsewhere.
 */
const PAGE_HEADERS = {
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self' data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  // Kept, and asked for again each time: an update of headgate is seen at once.
  'cache-control': 'no-cache',
};

const NameParams = Type.Object({ name: Type.String({ maxLength: 100 }) });

/** Serves the page and what it is made of. None of it holds data, so all of it is open. */
export function registerDashboardFiles(app: FastifyInstance, options: DashboardFilesOptions): void {
  const { version, directory = DIRECTORY } = options;
  const tags = ['page'];
  app.get(
    '/',
    {
      schema: {
        summary: 'The page for people',
        description: 'Whoever does not accept HTML, such as curl, is told in text what this is.',
        tags,
        response: { 200: answersText('It shows what the daemon is doing.', 'text/html') },
      },
    },
    (request, reply) => {
      reply.header('vary', 'accept');
      if (request.headers.accept?.includes('text/html') === true) {
        return sendFile(request, reply, join(directory, 'index.html'));
      }
      return reply.type('text/plain; charset=utf-8').send(welcome(version));
    },
  );
  const files = { tags, params: NameParams };
  app.get<{ Params: { name: string } }>(
    '/dashboard/:name',
    {
      schema: {
        summary: "A file of the page's own",
        ...files,
        response: { 200: answersText('A script, a style or a picture.', 'text/javascript') },
      },
    },
    (request, reply) => {
      const { name } = request.params;
      if (!FILE_NAME.test(name)) throw missing(name);
      return sendFile(request, reply, join(directory, name));
    },
  );
  app.get<{ Params: { name: string } }>(
    '/dashboard/vendor/:name',
    {
      schema: {
        summary: 'A library of the page',
        ...files,
        response: { 200: answersText('A script or a style.', 'text/javascript') },
      },
    },
    (request, reply) => {
      const { name } = request.params;
      const [library, file] = Object.hasOwn(VENDOR, name) ? (VENDOR[name] ?? []) : [];
      if (library === undefined || file === undefined) throw missing(name);
      return sendFile(request, reply, join(packageEntry(library), file));
    },
  );
}

/** The folder of a library's entry, wherever it has been installed. */
function packageEntry(library: string): string {
  return dirname(createRequire(import.meta.url).resolve(library));
}

async function sendFile(
  request: FastifyRequest,
  reply: FastifyReply,
  path: string,
): Promise<FastifyReply> {
  const bytes = await bytesOf(path);
  const tag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`;
  const type = TYPES[path.slice(path.lastIndexOf('.') + 1)] ?? 'application/octet-stream';
  reply.headers(PAGE_HEADERS).header('etag', tag).type(type);
  if (request.headers['if-none-match'] === tag) return reply.code(304).send();
  return reply.send(bytes);
}

async function bytesOf(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw missing(path.slice(path.lastIndexOf('/') + 1), cause);
  }
}

function missing(name: string, cause?: unknown): ProxyError {
  return new ProxyError(
    'NOT_FOUND',
    `The page has no file "${name.slice(0, 100)}"; reload it, or install headgate again where this stays.`,
    { where: 'path', cause },
  );
}

function welcome(version: string): string {
  return `headgate ${version}

This is a local proxy for the Gemini API. Point a client's base URL here, and its calls wait for
room in the quota instead of failing with 429. A browser shows a page here.

  GET  /status          windows, queue, cooldowns, recent refusals
  GET  /limits          limits in force and where they came from
  POST /limits/explain  would a call pass now, and if not, when
  GET  /queue           who waits for what
  GET  /exchanges       the last calls and how they ended
  GET  /history         the last hour or day, step by step
  GET  /events          all of this as it happens
  GET  /usage           requests, tokens and dollars by model, agent, project or day
  GET  /metrics         for Prometheus
  GET  /sessions        past conversations; POST /sessions/NAME/continue takes the next turn
  GET  /openapi.json    all of these, described
`;
}
