import { ERROR_CATALOGUE } from '../errors.ts';
import type { JsonSchema } from './openapi-shapes.ts';
import { PROBLEM_TYPE } from './problem.ts';

/** One of our own routes, as it was registered. */
export interface RouteDescription {
  readonly method: string;
  /** With parameters as `:name`. */
  readonly url: string;
  /** Whether it is open without a token. */
  readonly isOpen: boolean;
  readonly schema: JsonSchema;
}

/**
 * The routes as an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.1). Its schemas are JSON
 * Schema 2020-12, so those of the routes stand in it as they are; a schema whose title is one
 * capitalised word stands once, in `components`.
 */
export function openApiDocument(routes: readonly RouteDescription[], version: string): JsonSchema {
  const schemas: Record<string, unknown> = { Problem: PROBLEM };
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes.toSorted(byUrl)) {
    const path = route.url.replace(/:(\w+)/g, '{$1}');
    const operations = (paths[path] ??= {});
    operations[route.method.toLowerCase()] = hoist(operationOf(route), schemas);
  }
  return {
    openapi: '3.1.1',
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    info: {
      title: 'headgate',
      version,
      description: DESCRIPTION,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [
      {
        url: 'http://{address}',
        variables: { address: { default: '127.0.0.1:4290', description: '`listen`.' } },
      },
    ],
    security: [{}, { bearer: [] }, { token: [] }],
    tags: TAGS,
    paths,
    components: {
      schemas: Object.fromEntries(Object.entries(schemas).toSorted(([a], [b]) => (a < b ? -1 : 1))),
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'admin.token, where one is set.' },
        token: { type: 'apiKey', in: 'header', name: 'x-headgate-token' },
      },
    },
  };
}

const DESCRIPTION = `headgate's own routes. Calls on Gemini paths (\`/v1beta/...\`, \`/v1/...\`, \`/v1alpha/...\`,
\`/upload/...\`, also behind \`/agents/NAME\` and \`/sessions/NAME/record\`) are forwarded as they are;
Google's reference describes those: https://ai.google.dev/api.

Every error of the routes below is a problem document (RFC 9457). Programs should look at its
\`reason\`.`;

const TAGS = [
  { name: 'sessions', description: 'Past conversations: list, show, continue.' },
  { name: 'limits', description: 'What may pass, and when.' },
  { name: 'operation', description: 'The running daemon.' },
  { name: 'page', description: 'The page for people, and what it is made of.' },
  { name: 'probes', description: 'For supervisors and monitoring.' },
];

const PROBLEM: JsonSchema = {
  type: 'object',
  description: 'A problem document (RFC 9457). Further members depend on the reason.',
  required: ['type', 'title', 'status', 'detail', 'reason'],
  properties: {
    type: { type: 'string', examples: ['urn:headgate:error:NOT_FOUND'] },
    title: { type: 'string' },
    status: { type: 'integer', minimum: 400, maximum: 599 },
    detail: { type: 'string', description: 'What is wrong, where, and what to do.' },
    reason: { type: 'string', enum: Object.keys(ERROR_CATALOGUE) },
    where: { type: 'string', description: 'The field, header or file:line:column at fault.' },
    retry_after_ms: { type: 'number', description: 'When to come back, where that helps.' },
    routes: {
      type: 'array',
      items: { type: 'string' },
      description: 'Where no route fits: those there are.',
    },
    roots: {
      type: 'array',
      description: 'Where no session fits: what was found in each root.',
    },
    agents: { type: 'array', description: 'With AGENT_UNCLEAR: the choices.' },
    upstream: { description: "With UPSTREAM_ERROR: the API's own error." },
    text: { type: 'string', description: 'With TURN_NOT_WRITTEN: the answer that was not kept.' },
  },
};

function operationOf({ method, url, isOpen, schema }: RouteDescription): JsonSchema {
  const parameters = [
    ...parametersIn('path', schema['params']),
    ...parametersIn('query', schema['querystring']),
    ...parametersIn('header', schema['headers']),
  ];
  const { summary, description, tags, body, response } = schema;
  return {
    operationId: operationIdOf(method, url),
    summary,
    ...(description !== undefined && { description }),
    tags,
    ...(isOpen && { security: [] }),
    ...(parameters.length > 0 && { parameters }),
    ...(body !== undefined && {
      requestBody: { required: true, content: { 'application/json': { schema: body } } },
    }),
    responses: {
      ...(isSchema(response) ? response : {}),
      default: {
        description: 'What went wrong.',
        content: { [PROBLEM_TYPE]: { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    },
  };
}

function parametersIn(place: 'path' | 'query' | 'header', schema: unknown): JsonSchema[] {
  if (!isSchema(schema) || !isSchema(schema['properties'])) return [];
  const { required } = schema;
  return Object.entries(schema['properties']).map(([name, property]) => {
    const { description, examples, title: _, ...rules } = isSchema(property) ? property : {};
    return {
      name,
      in: place,
      required: place === 'path' || (Array.isArray(required) && required.includes(name)),
      ...(description !== undefined && { description }),
      schema: examples === undefined ? rules : { ...rules, examples },
    };
  });
}

/** A copy in which every named schema is a reference, and stands in `schemas`. */
function hoist(node: unknown, schemas: Record<string, unknown>): unknown {
  if (Array.isArray(node)) return node.map((item) => hoist(item, schemas));
  if (!isSchema(node)) return node;
  const copy = Object.fromEntries(
    Object.entries(node).map(([key, value]) => [key, hoist(value, schemas)]),
  );
  const { title, ...rest } = copy;
  if (typeof title !== 'string' || !/^[A-Z][A-Za-z]+$/.test(title)) return copy;
  schemas[title] = rest;
  return { $ref: `#/components/schemas/${title}` };
}

/** GET /sessions/:logDir/history is getSessionsByLogDirHistory. */
function operationIdOf(method: string, url: string): string {
  const words = url.split(/[/.]/).filter((word) => word !== '');
  const names = words.map((word) =>
    word.startsWith(':') ? `By${capital(word.slice(1))}` : capital(word),
  );
  return `${method.toLowerCase()}${names.length === 0 ? 'Root' : names.join('')}`;
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

function byUrl(a: RouteDescription, b: RouteDescription): number {
  return a.url === b.url ? (a.method < b.method ? -1 : 1) : a.url < b.url ? -1 : 1;
}

function isSchema(node: unknown): node is JsonSchema {
  return typeof node === 'object' && node !== null && !Array.isArray(node);
}
