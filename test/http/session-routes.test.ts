import t from 'tap';

import { ProxyError } from '../../src/errors.ts';
import type { SessionPage } from '../../src/sessions/conversations.ts';
import { ask } from '../support/ask.ts';
import { SAMPLE_LOG, startSessions } from '../support/session-control.ts';
import { sampleAgent, sampleSession, sampleTurn } from '../support/session-samples.ts';

const PAGE: SessionPage = {
  sessions: [
    {
      log: SAMPLE_LOG,
      sessionId: null,
      turns: 2,
      agents: ['a'],
      models: ['gemini-2.5-flash'],
      firstQuestion: 'One?',
      updatedAtMs: 1_700_000_000_000,
      warnings: 1,
    },
  ],
  nextCursor: 'c2',
};

t.test('a page of sessions is listed as asked', async (t) => {
  const pages: unknown[] = [];
  const { port } = await startSessions(t, {
    list(page) {
      pages.push(page);
      return Promise.resolve(PAGE);
    },
  });
  const answer = await ask(port, 'GET /sessions');
  t.strictSame(answer.json, {
    sessions: [
      {
        log_dir: 'grüße/log_1',
        format: 'massgen',
        root: '/logs',
        session_id: null,
        turns: 2,
        agents: ['a'],
        models: ['gemini-2.5-flash'],
        first_question: 'One?',
        updated_at: '2023-11-14T22:13:20.000Z',
        warnings: 1,
      },
    ],
    next_cursor: 'c2',
  });
  t.match(answer.headers, { 'content-type': /^application\/json/, 'cache-control': 'no-store' });
  await ask(port, 'GET /sessions/?limit=1000&cursor=a%2Fb');
  t.strictSame(pages, [
    { limit: 50, cursor: null },
    { limit: 1000, cursor: 'a/b' },
  ]);
  for (const limit of ['0', '1001', '-1', '1.5', 'ten', '', '%31%30%30%31']) {
    const { status, json } = await ask(port, `GET /sessions?limit=${limit}`);
    t.equal(status, 400, limit);
    t.match(json, { where: 'query.limit', detail: /a whole number from 1 to 1000/ });
  }
  t.match((await ask(port, 'GET /sessions?page=2')).json, { where: 'query.page' });
  t.match((await ask(port, 'GET /sessions?cursor=')).json, { where: 'query.cursor' });
  t.equal(pages.length, 2, 'no mistake gets as far as the archive');
});

t.test(
  'a session is shown turn by turn, its texts cut unless the whole is asked for',
  async (t) => {
    const long = `${'x'.repeat(1999)}😀${'y'.repeat(100)}`;
    const warnings = [{ file: 'turn_2/answer.txt', message: 'Not UTF-8.' }];
    const session = sampleSession({
      turns: [sampleTurn(1, { question: long, answer: long }), sampleTurn(2)],
      agents: [
        sampleAgent('a', { systemMessage: 'Be brief.', backend: { api_key: 'AIzaSecret' } }),
      ],
      warnings,
    });
    const { port } = await startSessions(t, {
      show: () => Promise.resolve({ log: SAMPLE_LOG, foundBy: 'by its name', session }),
    });
    const cut = await ask(port, 'GET /sessions/log_1');
    t.strictSame(cut.json, {
      log_dir: 'grüße/log_1',
      format: 'massgen',
      session_id: session.sessionId,
      next_turn: session.nextTurn,
      agents: [{ id: 'a', type: 'gemini', model: 'gemini-2.5-flash', system_message: 'Be brief.' }],
      config: { a: { type: 'gemini', model: 'gemini-2.5-flash', api_key: '[redacted]' } },
      turns: [
        {
          number: 1,
          question: 'x'.repeat(1999),
          question_cut: true,
          answer: 'x'.repeat(1999),
          answer_cut: true,
          answered: true,
          winner: 'a',
          warnings: [],
        },
        {
          number: 2,
          question: 'Question 2?',
          answer: 'Answer 2.',
          answered: true,
          winner: 'a',
          warnings,
        },
      ],
      warnings,
    });
    const whole = await ask(port, 'GET /sessions/log_1?full=true');
    t.match(whole.json, { turns: [{ question: long, answer: long }, {}] });
    t.notMatch(whole.text, '_cut');
    t.match((await ask(port, 'GET /sessions/log_1?full=false')).text, 'question_cut');
    t.match((await ask(port, 'GET /sessions/log_1?full=1')).json, {
      status: 400,
      where: 'query.full',
      detail: /true, false/,
    });
  },
);

t.test('the history is answered whole', async (t) => {
  const contents = [{ role: 'user' as const, parts: [{ text: 'One?' }, { inlineData: {} }] }];
  const { port } = await startSessions(t, {
    history: () => Promise.resolve({ contents, warnings: [] }),
  });
  t.strictSame((await ask(port, 'GET /sessions/log_1/history')).json, { contents, warnings: [] });
});

t.test('a name in the path is decoded exactly once', async (t) => {
  const { port, asked } = await startSessions(t);
  const names = [
    'latest',
    'log_20261122_143015',
    'project/log_1/turn_2',
    'log_1/',
    '../../etc/passwd',
    '..',
    '.',
    '...',
    '/etc/passwd',
    'a\0b',
    'a%2Fb',
    '%',
    '%zz',
    '%252e%252e',
    'a\\..\\b',
    'a b+c;d?e#f&g=h',
    'grüße-日本語-😀',
    'C:\\logs',
    'record',
    'x'.repeat(4000),
  ];
  for (const name of names) {
    for (const rest of ['', '/', '/history', '/history/']) {
      const { status, json } = await ask(port, `GET /sessions/${encodeURIComponent(name)}${rest}`);
      t.equal(status, 404, name.slice(0, 50));
      t.match(json, { reason: 'NOT_FOUND', where: 'logDir', roots: [{ path: '/logs', found: 2 }] });
    }
    const body = { message: 'Next?' };
    await ask(port, `POST /sessions/${encodeURIComponent(name)}/continue`, { body });
    t.strictSame(
      asked.splice(0),
      Array.from({ length: 5 }, () => name),
    );
  }
  for (const name of ['..', 'a..b', '~', "it's", 'a:b@c!$', 'a%2fb', '%2e%2E']) {
    await ask(port, `GET /sessions/${name}`);
    t.strictSame(asked.splice(0), [decodeURIComponent(name)], 'also where nothing was escaped');
  }
});

t.test('a path that does not decode, and a name longer than any, are mistakes', async (t) => {
  const { port, asked } = await startSessions(t);
  for (const name of ['%zz', '%', 'a%2', '%ff', '%c3%28', '%ed%a0%80']) {
    const { status, json } = await ask(port, `GET /sessions/${name}`);
    t.strictSame([status, json['reason'], json['where']], [400, 'BAD_REQUEST', 'path'], name);
  }
  const long = await ask(port, `GET /sessions/${'x'.repeat(5000)}`);
  t.match(long.json, { status: 400, reason: 'BAD_REQUEST', detail: /longer than 4096/ });
  for (const path of ['/sessions/a/b', '/sessions/a/history/b', '/sessions/../x/y', '/sessionsx']) {
    t.equal((await ask(port, `GET ${path}`)).status, 404, path);
  }
  t.match((await ask(port, 'PUT /sessions/a')).headers.allow, /GET/);
  t.match((await ask(port, 'GET /sessions/a/continue')).json, { status: 405, detail: /POST/ });
  t.strictSame(asked, []);
});

t.test('a base URL that records a session stays a Gemini path', async (t) => {
  const { port, asked, taken, passed } = await startSessions(t);
  await ask(port, 'POST /sessions/chat/record/v1beta/models/m:generateContent', { body: {} });
  await ask(port, 'GET /agents/a/sessions/chat/record/v1beta/models');
  t.match(taken, [{ call: { sessionName: 'chat', path: '/v1beta/models/m:generateContent' } }]);
  t.match(passed, [{ call: { sessionName: 'chat', agentName: 'a' } }]);
  t.equal((await ask(port, 'GET /sessions/chat/record')).status, 404);
  t.strictSame(asked, []);
});

t.test('what the archive refuses is a problem document with its details', async (t) => {
  const refusals = [
    new ProxyError('SESSION_UNREADABLE', 'No turn in it.', { details: { file: 'x' } }),
    new ProxyError('AGENT_UNCLEAR', 'Say which.', { details: { agents: ['a', 'b'], status: 1 } }),
  ];
  for (const error of refusals) {
    const { port } = await startSessions(t, {
      show: () => Promise.reject(error),
      history: () => Promise.reject(error),
    });
    for (const path of ['/sessions/a', '/sessions/a/history']) {
      const { status, json, headers } = await ask(port, `GET ${path}`);
      t.equal(status, error.httpStatus);
      t.match(headers['content-type'], 'application/problem+json');
      t.strictSame(json, {
        ...error.details,
        type: `urn:headgate:error:${error.reason}`,
        title: json['title'],
        status,
        detail: error.message,
        reason: error.reason,
      });
    }
  }
});

t.test('the guard stands before the sessions', async (t) => {
  const { port, asked } = await startSessions(t, { guard: { token: 'hunter2' } });
  const lines = [
    'GET /sessions',
    'GET /sessions/a',
    'GET /sessions/a/history',
    'GET /openapi.json',
  ];
  for (const line of [...lines, 'POST /sessions/a/continue']) {
    const options = line.startsWith('POST') ? { body: { message: 'x' } } : {};
    const authorization = 'Bearer hunter2';
    const from = (headers: Record<string, string>) => ask(port, line, { ...options, headers });
    t.match((await from({})).json, { status: 401 }, line);
    t.match((await from({ authorization, host: 'evil.example' })).json, {
      reason: 'HOST_NOT_ALLOWED',
    });
    t.match((await from({ authorization, origin: 'https://evil.example' })).json, {
      reason: 'ORIGIN_NOT_ALLOWED',
    });
    t.match((await from({ authorization, 'sec-fetch-site': 'cross-site' })).json, {
      reason: 'ORIGIN_NOT_ALLOWED',
    });
    t.strictSame(asked, [], 'nothing got through');
  }
  await ask(port, 'GET /sessions/a', { headers: { authorization: 'Bearer hunter2' } });
  t.strictSame(asked, ['a']);
});
