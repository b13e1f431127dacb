import { once } from 'node:events';
import { type IncomingMessage, request as httpRequest } from 'node:http';

import t from 'tap';

import { ProxyError } from '../../src/errors.ts';
import type { FinishedTurn } from '../../src/sessions/conversations.ts';
import { continueAnswer, sessionHeaders } from '../../src/http/session-views.ts';
import { ask } from '../support/ask.ts';
import { bodyOf, deferred } from '../support/loopback.ts';
import { SAMPLE_LOG, samplePlan, startSessions } from '../support/session-control.ts';

const PATH = '/sessions/log_1/continue';

const FINISHED: FinishedTurn = {
  turn: 3,
  text: 'Trois.',
  response: { candidates: [], usageMetadata: { totalTokenCount: 7 }, further: { x: 1 } },
  where: 'in_place',
  directory: '/logs/log_1/turn_3',
  warnings: [{ file: 'turn_3', message: 'Only just.' }],
};

const STREAM_HEADERS = ['content-type', 'text/event-stream', ...sessionHeaders(SAMPLE_LOG, 3)];

/** An open request for the stream of a turn. */
function openStream(port: number, path = PATH) {
  return httpRequest({
    host: '127.0.0.1',
    port,
    path,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
  });
}

async function responseOf(request: ReturnType<typeof openStream>): Promise<IncomingMessage> {
  // What the event carries (node:http, 'response').
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return response;
}

t.test('the answer of a turn comes whole, with its headers', async (t) => {
  const plan = samplePlan();
  const { port, calls } = await startSessions(t, {
    onContinue: ({ reply }) =>
      reply.json(continueAnswer(plan, FINISHED), [
        'x-headgate-queued-ms',
        '12',
        ...sessionHeaders(SAMPLE_LOG, 3),
      ]),
  });
  const { status, json, headers } = await ask(port, `POST ${PATH}`, {
    body: { message: 'Three?' },
  });
  t.equal(status, 200);
  t.strictSame(json, {
    session: {
      log_dir: 'grüße/log_1',
      format: 'massgen',
      turn: 3,
      summary: { turns: 2, questions: ['One?', 'Two?'], last_answer: 'Two.' },
    },
    agent: 'a',
    model: 'gemini-2.5-flash',
    text: 'Trois.',
    response: FINISHED.response,
    conflicts: plan.continuation.conflicts,
    warnings: [...plan.continuation.warnings, ...FINISHED.warnings],
    usage: { totalTokenCount: 7 },
  });
  t.match(headers, {
    'content-type': 'application/json; charset=utf-8',
    'cache-control': 'no-store',
    'x-headgate-request-id': 'request-1',
    'x-headgate-queued-ms': '12',
    'x-headgate-session': 'gr%C3%BC%C3%9Fe%2Flog_1',
    'x-headgate-turn': '3',
  });
  t.match(calls, [{ name: 'log_1', caller: { requestId: 'request-1', stream: false } }]);
  t.notOk(calls[0]?.caller.signal.aborted, 'a client that has its answer has not left');
});

t.test('everything that the caller says arrives, and nothing that it does not', async (t) => {
  const { port, calls } = await startSessions(t, {
    guard: { token: 'hunter2' },
    onContinue: ({ reply }) => reply.json(continueAnswer(samplePlan(), FINISHED), []),
  });
  const authorization = 'Bearer hunter2';
  const nulls = { agent: null, model: null, config: null, config_path: null, max_turns: null };
  const bodies = [
    { message: 'x', parts: null, ...nulls, dry_run: false, stream: false, idempotency_key: null },
    {
      parts: [{ text: 'x' }, { inlineData: { data: 'AA==' } }],
      agent: 'a',
      model: 'm',
      config: { temperature: 0.2, thinking: { budget: 1 } },
      config_path: 'other.yaml',
      max_turns: 1,
      idempotency_key: 'k',
    },
  ];
  const own = {
    'x-headgate-agent': ' ann ',
    'x-goog-api-key': 'AIzaOwn',
    'x-headgate-max-wait': '30s',
  };
  await ask(port, `POST ${PATH}`, { body: bodies[0], headers: { authorization } });
  await ask(port, `POST ${PATH}/`, { body: bodies[1], headers: { authorization, ...own } });
  const none = { agent: null, model: null, config: null, configPath: null, turnsMax: null };
  t.match(calls[0], {
    request: { message: 'x', parts: null, ...none, idempotencyKey: null },
    caller: { agentName: null, apiKey: null, controlHeaders: [], stream: false },
  });
  t.match(calls[1], {
    request: {
      message: null,
      parts: bodies[1]?.parts,
      agent: 'a',
      model: 'm',
      config: { temperature: 0.2, thinking: { budget: 1 } },
      configPath: 'other.yaml',
      turnsMax: 1,
      idempotencyKey: 'k',
    },
    caller: { agentName: 'ann', apiKey: 'AIzaOwn', controlHeaders: ['x-headgate-max-wait', '30s'] },
  });
  for (const key of ['headgate', 'hunter2', ' ']) {
    const headers = { authorization, 'x-goog-api-key': key };
    await ask(port, `POST ${PATH}`, { body: { message: 'x' }, headers });
    t.equal(calls.at(-1)?.caller.apiKey, null, `${key} is no key of the caller's own`);
  }
});

t.test('bad input is told by its field, and asks nobody', async (t) => {
  const { port, asked, calls } = await startSessions(t);
  const message = 'x';
  const deep: unknown = JSON.parse(`${'{"a":'.repeat(200)}1${'}'.repeat(200)}`);
  const cases: readonly [unknown, string, RegExp][] = [
    [undefined, 'body', /object/],
    [[], 'body', /object/],
    ['{"message":', 'body', /not JSON/],
    [{}, 'body.message', /missing.*parts/],
    [{ message: null, parts: null }, 'body.message', /missing/],
    [{ message: '' }, 'body.message', /empty/],
    [{ message: ' \n' }, 'body.message', /blank/],
    [{ message: 5 }, 'body.message', /string or null/],
    [{ message, parts: [{ text: 'y' }] }, 'body.parts', /beside "message"/],
    [{ parts: [] }, 'body.parts', /empty/],
    [{ parts: {} }, 'body.parts', /array or null/],
    [{ parts: ['x'] }, 'body.parts.0', /object/],
    [{ parts: [{ deep }] }, 'body.parts', /deeper than 100/],
    [{ message, config: deep }, 'body.config', /deeper than 100/],
    [{ message, config: [] }, 'body.config', /object or null/],
    [{ message, config_path: '' }, 'body.config_path', /empty/],
    [{ message, agent: '' }, 'body.agent', /empty/],
    [{ message, model: 'm'.repeat(257) }, 'body.model', /at most 256/],
    [{ message, max_turns: 0 }, 'body.max_turns', />= 1/],
    [{ message, max_turns: 1.5 }, 'body.max_turns', /integer/],
    [{ message, stream: 'true' }, 'body.stream', /boolean/],
    [{ message, dry_run: null }, 'body.dry_run', /boolean/],
    [{ message, idempotency_key: 'k'.repeat(201) }, 'body.idempotency_key', /at most 200/],
    [{ message, max_turn: 1 }, 'body.max_turn', /spelling/],
  ];
  for (const [body, where, detail] of cases) {
    const answer = await ask(port, `POST ${PATH}`, { body });
    t.match(answer.json, { status: 400, where, detail }, JSON.stringify(body)?.slice(0, 80));
  }
  const headers = {
    'x-headgate-agent': 'a b',
    'x-headgate-priority': 'soon',
    'x-headgate-max-wait': 'long',
  };
  for (const [name, value] of Object.entries(headers)) {
    const answer = await ask(port, `POST ${PATH}`, {
      body: { message },
      headers: { [name]: value },
    });
    t.match(answer.json, { status: 400, where: name });
  }
  const query = await ask(port, `POST ${PATH}?alt=xml`, { body: { message } });
  t.match(query.json, { where: 'query.alt', detail: /sse, json/ });
  t.strictSame([asked, calls], [[], []]);
});

t.test(
  'inline images have room, and more than that is told to a client that sends on',
  async (t) => {
    const { port, calls } = await startSessions(t, {
      onContinue: ({ reply }) => reply.json(continueAnswer(samplePlan(), FINISHED), []),
    });
    const parts = (bytes: number) => [{ inlineData: { data: 'A'.repeat(bytes) } }];
    const fits = await ask(port, `POST ${PATH}`, { body: { parts: parts(31 * 1024 * 1024) } });
    t.equal(fits.status, 200);
    const request = openStream(port);
    request.end(JSON.stringify({ parts: parts(33 * 1024 * 1024) }));
    const [response] = await Promise.all([responseOf(request), once(request, 'finish')]);
    const problem: unknown = JSON.parse((await bodyOf(response)).toString());
    t.match(problem, { status: 413, reason: 'BODY_TOO_LARGE', detail: /32 MiB/ });
    t.equal(calls.length, 1);
  },
);

t.test('a dry run answers with the call that would be sent, and sends none', async (t) => {
  const plan = samplePlan();
  const { port, calls } = await startSessions(t, { plan: () => Promise.resolve(plan) });
  const answer = await ask(port, `POST ${PATH}`, { body: { message: 'x', dry_run: true } });
  const { agent, model, conflicts, warnings } = plan.continuation;
  t.strictSame(answer.json, {
    session: { log_dir: 'grüße/log_1', format: 'massgen', turn: 3, summary: plan.summary },
    agent,
    model,
    request: {
      path: '/v1beta/models/gemini-2.5-flash:generateContent',
      body: { contents: [{ role: 'user', parts: [{ text: 'Drei? ü' }] }] },
    },
    tokens_estimated: 40,
    conflicts,
    warnings,
  });
  t.equal(answer.headers['content-length'], String(Buffer.byteLength(answer.text)));
  t.match(answer.headers['content-type'], 'application/json');
  const streamed = await ask(port, `POST ${PATH}?alt=sse`, {
    body: { message: 'x', dry_run: true },
  });
  t.match(streamed.json, { request: { path: /:streamGenerateContent\?alt=sse$/ } });
  t.equal(calls.length, 0);
});

t.test('a stream is seen as it comes, and ends when the turn is kept', async (t) => {
  for (const [path, body] of [
    [`${PATH}?alt=sse`, { message: 'x' }],
    [PATH, { message: 'x', stream: true }],
  ] as const) {
    const gates = [deferred(), deferred(), deferred()] as const;
    const { port, calls } = await startSessions(t, {
      async onContinue({ reply, caller }) {
        t.ok(caller.stream);
        await gates[0].promise;
        reply.head(STREAM_HEADERS);
        await gates[1].promise;
        reply.write(new TextEncoder().encode('data: {"one":1}\r\n\r\n'));
        await gates[2].promise;
        reply.end();
      },
    });
    const request = openStream(port, path);
    request.end(JSON.stringify(body));
    gates[0].resolve();
    const response = await responseOf(request);
    t.match(response.headers, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-headgate-request-id': 'request-1',
      'x-headgate-session': 'gr%C3%BC%C3%9Fe%2Flog_1',
      'x-headgate-turn': '3',
    });
    let text = '';
    response.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    const chunk = once(response, 'data');
    gates[1].resolve();
    await chunk;
    t.equal(text, 'data: {"one":1}\r\n\r\n');
    t.notOk(response.complete);
    const end = once(response, 'end');
    gates[2].resolve();
    await end;
    t.ok(response.complete);
    t.notOk(calls[0]?.caller.signal.aborted);
  }
});

t.test('a slow reader of a stream holds its writer up, and loses nothing', async (t) => {
  const bytes = 24 * 1024 * 1024;
  let hadToWait = false;
  const { port } = await startSessions(t, {
    async onContinue({ reply }) {
      reply.head(STREAM_HEADERS);
      let drained = (): void => undefined;
      reply.onDrain(() => drained());
      const chunk = new Uint8Array(1024 * 1024).fill(65);
      for (let sent = 0; sent < bytes; sent += chunk.length) {
        if (reply.write(chunk)) continue;
        hadToWait = true;
        await new Promise<void>((resolve) => {
          drained = resolve;
        });
      }
      reply.end();
    },
  });
  const request = openStream(port);
  request.end('{"message":"x"}');
  const response = await responseOf(request);
  t.equal((await bodyOf(response)).length, bytes);
  t.ok(hadToWait);
});

t.test('a client that leaves is known at once', async (t) => {
  for (const isStreaming of [false, true]) {
    const left = deferred();
    const begun = deferred();
    const { port, faults } = await startSessions(t, {
      async onContinue({ reply, caller }) {
        caller.signal.addEventListener('abort', () => left.resolve());
        if (isStreaming) reply.head(STREAM_HEADERS);
        begun.resolve();
        await left.promise;
        throw new ProxyError('CANCELLED', 'The client left.');
      },
    });
    const request = openStream(port);
    request.on('error', () => undefined);
    request.end('{"message":"x"}');
    await begun.promise;
    request.destroy();
    await left.promise;
    t.strictSame(faults, [], 'which is no fault');
  }
});

t.test(
  'a refusal before the answer has its status, and one within it cuts the stream',
  async (t) => {
    const refusals = [
      new ProxyError('CONFLICT', 'A turn of this session is being taken.'),
      new ProxyError('WAIT_TOO_LONG', 'Too long.', { retryAfterMs: 1500 }),
      new ProxyError('UPSTREAM_ERROR', 'The API answered 400.', {
        httpStatus: 400,
        details: { upstream: { error: { code: 400 } } },
      }),
      new ProxyError('TURN_NOT_WRITTEN', 'The disk is full.', { details: { text: 'Trois.' } }),
    ];
    for (const error of refusals) {
      const { port } = await startSessions(t, { onContinue: () => Promise.reject(error) });
      const { json, headers } = await ask(port, `POST ${PATH}`, { body: { message: 'x' } });
      t.match(json, { status: error.httpStatus, reason: error.reason, ...error.details });
      t.match(headers['content-type'], 'application/problem+json');
      t.equal(headers['x-headgate-request-id'], 'request-1');
      const isOurs = error.reason !== 'UPSTREAM_ERROR';
      t.equal(headers['x-headgate-refused'], isOurs ? error.reason : undefined);
      t.equal(headers['retry-after-ms'], error.retryAfterMs === null ? undefined : '1500');
      t.equal(headers['retry-after'], error.retryAfterMs === null ? undefined : '2');
    }
    const { port, faults } = await startSessions(t, {
      onContinue({ reply }) {
        reply.head(STREAM_HEADERS);
        reply.write(Buffer.from('data: 1\r\n\r\n'));
        throw new Error('secret detail');
      },
    });
    const request = openStream(port);
    request.end('{"message":"x"}');
    const response = await responseOf(request);
    let text = '';
    response.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    await t.rejects(once(response, 'end'), { code: 'ECONNRESET' });
    t.equal(text, 'data: 1\r\n\r\n', 'what had come is there, and nothing else');
    t.match(faults, [{ reason: 'INTERNAL', cause: { message: 'secret detail' } }]);
  },
);

t.test('a connection is cut before its answer, and a forgotten answer is a fault', async (t) => {
  const cut = await startSessions(t, { onContinue: ({ reply }) => reply.destroy() });
  await t.rejects(ask(cut.port, `POST ${PATH}`, { body: { message: 'x' } }), {
    code: 'ECONNRESET',
  });
  t.strictSame(cut.faults, []);
  const { port, faults } = await startSessions(t, { onContinue: () => undefined });
  const { status } = await ask(port, `POST ${PATH}`, { body: { message: 'x' } });
  t.equal(status, 500);
  t.equal(faults.length, 1);
});
