import { readFileSync } from 'node:fs';

import t from 'tap';
import { type TSchema, Type } from 'typebox';
import { Value } from 'typebox/value';

import { generatedDocument } from '../../src/http/openapi-generate.ts';
import { viewSchema } from '../../src/http/openapi-shapes.ts';
import type { SessionControl } from '../../src/http/session-control.ts';
import {
  ContinueAnswerSchema,
  DryRunSchema,
  SessionListSchema,
  SessionSchema,
} from '../../src/http/session-schemas.ts';
import {
  dryRunAnswer,
  repeatedAnswer,
  sessionList,
  sessionView,
} from '../../src/http/session-views.ts';
import type { StatusView } from '../../src/http/views.ts';
import { ask } from '../support/ask.ts';
import { startOwnServer } from '../support/own-server.ts';
import { SAMPLE_LOG, samplePlan } from '../support/session-control.ts';
import { sampleSession } from '../support/session-samples.ts';

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly security?: readonly unknown[];
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: unknown;
  readonly responses: Readonly<Record<string, { readonly content: Record<string, unknown> }>>;
}

interface Document {
  readonly openapi: string;
  readonly info: { readonly version: string };
  readonly tags: readonly { readonly name: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
}

// None of them is called.
// oxlint-disable-next-line typescript/no-unsafe-type-assertion
const SESSIONS = {} as SessionControl;

async function served(port: number): Promise<Document> {
  const { status, headers, text } = await ask(port, 'GET /openapi.json');
  if (status !== 200) throw new Error(text);
  if (headers['content-type']?.startsWith('application/json') !== true) throw new Error('type');
  // What the tests below find out.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return JSON.parse(text) as Document;
}

/** Each operation as `GET /path`, with what is said of it. */
function operationsOf({ paths }: Document): [string, Operation][] {
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]): [string, Operation] => [
      `${method.toUpperCase()} ${path}`,
      operation,
    ]),
  );
}

t.test('the checked-in document is up to date', async (t) => {
  const { path, content } = await generatedDocument();
  const file = new URL(`../../${path}`, import.meta.url);
  t.equal(readFileSync(file, 'utf8'), content, `${path}: run npm run generate`);
});

t.test('every route that there is stands in the document, and no other', async (t) => {
  const { port } = await startOwnServer(t, {
    sessions: SESSIONS,
    routes: [(app) => app.get('/late/:one', { schema: { summary: 'Late' } }, () => ({}))],
  });
  const document = await served(port);
  t.match(document, { openapi: /^3\.1\./, info: { version: '1.2.3' } });
  const { routes } = (await ask(port, 'GET /nothing')).json;
  const known = Array.isArray(routes) ? routes.map(String) : [];
  t.ok(known.includes('POST /sessions/:logDir/continue') && known.includes('GET /late/:one'));
  t.strictSame(
    operationsOf(document)
      .map(([line]) => line.replace(/\{(\w+)\}/g, ':$1'))
      .toSorted(),
    known.toSorted(),
  );
});

t.test('every operation says what it does, takes and answers', async (t) => {
  const { port } = await startOwnServer(t, { sessions: SESSIONS });
  const document = await served(port);
  const tags = new Set(document.tags.map(({ name }) => name));
  const ids = new Set<string>();
  for (const [line, operation] of operationsOf(document)) {
    t.match(operation.summary, /^[A-Z].+[^.]$/, line);
    t.equal(operation.tags.filter((tag) => tags.has(tag)).length, 1, line);
    const inPath = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
    const named = [...line.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    t.strictSame(
      inPath.map(({ name }) => name),
      named,
      line,
    );
    t.match(operation.responses, { 200: { content: {} } }, line);
    t.ok(operation.responses['default']?.content['application/problem+json'], line);
    ids.add(operation.operationId);
  }
  t.equal(ids.size, operationsOf(document).length, 'ids are unique');
  t.strictSame(document.paths['/livez']?.['get']?.security, [], 'open without a token');
  t.equal(document.paths['/status']?.['get']?.security, undefined);
  const { continue: next } = { continue: document.paths['/sessions/{logDir}/continue']?.['post'] };
  t.match(next, {
    requestBody: {
      content: { 'application/json': { schema: { $ref: '#/components/schemas/ContinueRequest' } } },
    },
    responses: { 200: { content: { 'text/event-stream': {} } } },
  });
  t.strictSame(
    next?.parameters?.map((parameter) => `${parameter.in} ${parameter.name}`),
    [
      'path logDir',
      'query alt',
      'header x-headgate-agent',
      'header x-headgate-priority',
      'header x-headgate-max-wait',
      'header x-goog-api-key',
    ],
  );
});

t.test('every reference leads to a schema, and every schema is used', async (t) => {
  const { port } = await startOwnServer(t, { sessions: SESSIONS });
  const document = await served(port);
  const text = JSON.stringify(document);
  const used = new Set(
    [...text.matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, n = '']) => n),
  );
  t.strictSame([...used].toSorted(), Object.keys(document.components.schemas).toSorted());
  for (const name of ['Session', 'ContinueAnswer', 'Status', 'Problem', 'ModelLimits']) {
    t.ok(used.has(name), name);
  }
});

t.test('an answer goes out as it was given, whatever its schema says', async (t) => {
  const view: unknown = { version: '1.2.3', undocumented: { further: [1] } };
  const { port } = await startOwnServer(t, {
    // Only whether it comes through matters here.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    control: { status: () => view as StatusView },
  });
  t.strictSame((await ask(port, 'GET /status')).json, view);
});

t.test('what the views make fits what the document says of it', async (t) => {
  const session = sampleSession({ warnings: [{ file: 'turn_1/x', message: 'Left out.' }] });
  const summary = {
    log: SAMPLE_LOG,
    sessionId: 's',
    turns: 1,
    agents: ['a'],
    models: [],
    firstQuestion: null,
    updatedAtMs: Number.NaN,
    warnings: 0,
  };
  const plan = samplePlan();
  const cases: readonly [string, TSchema, unknown][] = [
    ['list', SessionListSchema, sessionList({ sessions: [summary], nextCursor: null })],
    ['session', SessionSchema, sessionView(SAMPLE_LOG, session, true)],
    ['dry run', DryRunSchema, dryRunAnswer(plan)],
    [
      'answer',
      ContinueAnswerSchema,
      repeatedAnswer({
        kind: 'repeated',
        log: SAMPLE_LOG,
        summary: plan.summary,
        turn: 3,
        agent: 'a',
        model: 'm',
        text: 'Trois.',
        response: {},
      }),
    ],
  ];
  for (const [name, schema, view] of cases) {
    const sent: unknown = JSON.parse(JSON.stringify(view));
    t.strictSame([...Value.Errors(schema, sent)], [], name);
    const less = Object.fromEntries(Object.entries(Object(sent)).slice(1));
    t.notOk(Value.Check(schema, less), `${name} without its first field`);
  }
});

t.test('a schema that does not fit its view does not compile', async (t) => {
  interface View {
    readonly a: string | null;
    readonly list: readonly number[];
  }
  const list = Type.Array(Type.Number());
  const a = Type.Union([Type.String(), Type.Null()]);
  t.ok(viewSchema<View>()(Type.Object({ a, list })));
  // @ts-expect-error a field is missing
  t.ok(viewSchema<View>()(Type.Object({ a })));
  // @ts-expect-error a field is of another type
  t.ok(viewSchema<View>()(Type.Object({ a: Type.Number(), list })));
  // @ts-expect-error a field is in no view
  t.ok(viewSchema<View>()(Type.Object({ a, list, b: a })));
});
