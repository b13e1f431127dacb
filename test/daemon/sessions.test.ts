import { existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { until } from '../support/gate.ts';
import {
  type Answer,
  answered,
  chunkOf,
  eventOf,
  LOG,
  stage,
  textsOf,
  USAGE,
} from '../support/session-stage.ts';

t.test('a session goes on where it ended, with its own settings', async (t) => {
  const { asked, continue: next, gate, log } = await stage(t, answered('Two boats.'));
  const response = await next(LOG, { message: 'Who is out there?' });
  t.equal(response.status, 200, await response.clone().text());
  const answer = (await response.json()) as Record<string, unknown>;
  t.match(answer, {
    session: { log_dir: LOG, format: 'massgen', turn: 3 },
    agent: 'scout',
    model: 'gemini-2.5-flash',
    text: 'Two boats.',
    response: chunkOf('Two boats.'),
    conflicts: [],
    usage: USAGE,
  });
  t.equal(response.headers.get('x-headgate-turn'), '3');
  t.ok(response.headers.get('x-headgate-request-id'));
  t.equal(asked[0]?.path, '/v1beta/models/gemini-2.5-flash:generateContent');
  const body = asked[0]?.body;
  t.strictSame(body && textsOf(body), [
    'user: How deep is the lake?',
    'model: Forty metres.',
    'user: And how cold?',
    'model: Four degrees.',
    'user: Who is out there?',
  ]);
  t.match(body?.systemInstruction, { parts: [{ text: 'Be brief.' }] });
  t.match(body?.generationConfig, { temperature: 0.7 });

  t.equal(readFileSync(join(log, 'turn_3/final/scout/answer.txt'), 'utf8'), 'Two boats.');
  await next('latest', { message: 'And their names?' });
  t.strictSame(asked[1] && textsOf(asked[1].body).slice(-3), [
    'user: Who is out there?',
    'model: Two boats.',
    'user: And their names?',
  ]);
  t.match(await (await fetch(`${gate.url}/sessions/${LOG}`)).json(), {
    next_turn: 5,
    turns: [{}, {}, { question: 'Who is out there?', answer: 'Two boats.' }, {}],
  });
  t.match(await (await fetch(`${gate.url}/status`)).json(), {
    partitions: [{ windows: [{ policy: 'rpm', used: 2 }] }],
  });
});

t.test('an image of an earlier message goes with the history', async (t) => {
  const { asked, continue: next } = await stage(t, answered('A boat.'));
  const parts = [{ text: 'What is it?' }, { inlineData: { mimeType: 'image/png', data: 'aaaa' } }];
  t.equal((await next(LOG, { parts })).status, 200);
  t.equal((await next(LOG, { message: 'Whose?' })).status, 200);
  t.strictSame(asked[1]?.body.contents.at(-3)?.parts, parts);
});

t.test('a dry run sends and writes nothing, and shows the request', async (t) => {
  const { asked, continue: next, log } = await stage(t, answered('No.'));
  const response = await next(LOG, {
    message: 'Why?',
    dry_run: true,
    config: { temperature: 0.2 },
  });
  t.match(await response.json(), {
    session: { log_dir: LOG, turn: 3 },
    request: {
      path: '/v1beta/models/gemini-2.5-flash:generateContent',
      body: { generationConfig: { temperature: 0.2 } },
    },
    tokens_estimated: Number,
    conflicts: [{ key: 'temperature' }],
  });
  t.equal(asked.length, 0);
  t.notOk(existsSync(join(log, 'turn_3')));
});

t.test('a stream comes as it is sent, and ends when the turn is on the disk', async (t) => {
  let finish: () => void = () => undefined;
  const { continue: next, log } = await stage(t, (response) => {
    response.setHeader('content-type', 'text/event-stream');
    response.write(eventOf(chunkOf('Two ', false)));
    finish = () => response.end(eventOf(chunkOf('boats.')));
  });
  const response = await next(LOG, { message: 'Who?', stream: true });
  t.equal(response.status, 200);
  t.match(response.headers.get('content-type'), /^text\/event-stream/);
  t.strictSame(
    [response.headers.get('x-headgate-session'), response.headers.get('x-headgate-turn')],
    [LOG, '3'],
  );
  const reader = response.body?.getReader();
  const first = await reader?.read();
  t.equal(Buffer.from(first?.value ?? []).toString(), eventOf(chunkOf('Two ', false)));
  t.notOk(existsSync(join(log, 'turn_3/final')), 'nothing is written of half an answer');
  finish();
  let rest = '';
  for (;;) {
    const read = await reader?.read();
    if (read === undefined || read.done) break;
    rest += Buffer.from(read.value).toString();
  }
  t.equal(rest, eventOf(chunkOf('boats.')));
  t.equal(readFileSync(join(log, 'turn_3/final/scout/answer.txt'), 'utf8'), 'Two boats.');
});

t.test('of two at once one is refused at once, and costs nothing', async (t) => {
  const held: (() => void)[] = [];
  const { asked, continue: next } = await stage(t, (...args) => {
    held.push(() => answered('Done.')(...args));
  });
  const first = next(LOG, { message: 'One?' });
  await until(() => held.length === 1);
  const second = await next(LOG, { message: 'Two?' });
  t.equal(second.status, 409);
  t.match(await second.json(), { reason: 'CONFLICT', detail: /one is taken at a time/ });
  held[0]?.();
  t.equal((await first).status, 200);
  t.equal(asked.length, 1);
  const third = next(LOG, { message: 'Three?' });
  await until(() => held.length === 2);
  held[1]?.();
  t.match(await (await third).json(), { session: { turn: 4 } });
});

t.test('the same idempotency key answers with the same turn', async (t) => {
  const { asked, continue: next, gate } = await stage(t, answered('Once.'));
  const body = { message: 'Only once?', idempotency_key: 'k-1' };
  const first = (await (await next(LOG, body)).json()) as { session: object; text: string };
  await gate.restart();
  const response = await fetch(`${gate.url}/sessions/${LOG}/continue`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const again = (await response.json()) as { session: { turn: number }; text: string };
  t.match(again, { session: { turn: 3 }, text: first.text });
  t.equal(asked.length, 1);
  const other = await fetch(`${gate.url}/sessions/${LOG}/continue`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...body, message: 'Another?' }),
  });
  t.equal(other.status, 409);
  t.match(await other.json(), { reason: 'IDEMPOTENCY_MISMATCH', where: 'idempotency_key' });
});

t.test('who leaves in the middle leaves no turn, and the next one may go on', async (t) => {
  let upstreamClosed = false;
  let answers: Answer = (response) => {
    response.setHeader('content-type', 'text/event-stream');
    response.write(eventOf(chunkOf('Half ', false)));
    response.on('close', () => {
      upstreamClosed = true;
    });
  };
  const { continue: next, gate, log } = await stage(t, (...args) => answers(...args));
  const leaving = new AbortController();
  const response = await fetch(`${gate.url}/sessions/${LOG}/continue?alt=sse`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ message: 'Half?' }),
    signal: leaving.signal,
  });
  await response.body?.getReader().read();
  leaving.abort();
  await until(() => upstreamClosed);
  answers = answered('Whole.');
  // The claim is given back as soon as the daemon has noticed.
  while ((await next(LOG, { message: 'Whole?' })).status === 409);
  t.strictSame(readdirSync(log).toSorted(), ['turn_1', 'turn_2', 'turn_3']);
  t.equal(readFileSync(join(log, 'turn_3/final/scout/answer.txt'), 'utf8'), 'Whole.');
});

t.test("the upstream's error is passed on with its status, and writes no turn", async (t) => {
  const error = { error: { code: 400, message: 'Unknown field.', status: 'INVALID_ARGUMENT' } };
  const { continue: next, log } = await stage(t, (response) => {
    response.writeHead(400, { 'content-type': 'application/json' });
    response.end(JSON.stringify(error));
  });
  const response = await next(LOG, { message: 'Why?' });
  t.equal(response.status, 400);
  t.match(response.headers.get('content-type'), /^application\/problem\+json/);
  t.match(await response.json(), {
    reason: 'UPSTREAM_ERROR',
    detail: 'The upstream answered 400: Unknown field.',
    upstream: error,
  });
  t.strictSame(readdirSync(log).toSorted(), ['turn_1', 'turn_2']);
});

t.test('an answer without text is no turn', async (t) => {
  const { continue: next, log } = await stage(t, (response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ candidates: [{ finishReason: 'SAFETY', index: 0 }] }));
  });
  const response = await next(LOG, { message: 'Why?' });
  t.equal(response.status, 502);
  t.match(await response.json(), { reason: 'NO_ANSWER', detail: /SAFETY/ });
  t.strictSame(readdirSync(log).toSorted(), ['turn_1', 'turn_2']);
});

t.test('a turn waits for the same quota as any call, under the name of the session', async (t) => {
  const limits = { rate_limits: { gemini: { default: { rpm: 1, tpm: null, rpd: null } } } };
  const { asked, continue: next } = await stage(t, answered('Now.'), {}, limits);
  t.equal((await next(LOG, { message: 'One?' })).status, 200);
  const refused = await next(LOG, { message: 'Two?' }, { 'x-headgate-max-wait': '10ms' });
  t.equal(refused.status, 429);
  t.ok(refused.headers.get('retry-after'));
  t.match(await refused.json(), { reason: 'QUOTA_MINUTE', detail: /requests/ });
  t.equal(asked.length, 1);
});

t.test('a configuration is read from inside the roots only', async (t) => {
  const { asked, continue: next, root, log } = await stage(t, answered('Yes.'));
  writeFileSync(join(root, 'cool.yaml'), 'temperature: 0.1\nmax_tokens: 50\n');
  writeFileSync(join(dirname(root), 'outside.yaml'), 'temperature: 0.9\n');
  symlinkSync(join(dirname(root), 'outside.yaml'), join(log, 'link.yaml'));
  const good = await next(LOG, {
    message: 'Why?',
    config_path: 'cool.yaml',
    config: { top_p: 0.5 },
  });
  t.match(await good.json(), { conflicts: [{ key: 'temperature' }] });
  t.match(asked[0]?.body.generationConfig, { temperature: 0.1, maxOutputTokens: 50, topP: 0.5 });
  for (const path of [
    '../outside.yaml',
    'link.yaml',
    join(dirname(root), 'outside.yaml'),
    '/etc/passwd',
    `${LOG}/../../outside.yaml`,
  ]) {
    const response = await next(LOG, { message: 'Why?', config_path: path });
    t.equal(response.status, 400, path);
    t.match(await response.json(), { reason: 'BAD_REQUEST', where: 'config_path' });
  }
  t.equal(asked.length, 1);
});

t.test('what is not there says where was looked', async (t) => {
  const { continue: next, root } = await stage(t, answered('Yes.'));
  for (const name of ['log_2', '../records', '/etc', '%2e%2e', '..\\x', `${LOG}\0`]) {
    const response = await next(name, { message: 'Why?' });
    t.equal(response.status, 404, JSON.stringify(name));
    t.match(await response.json(), {
      reason: 'NOT_FOUND',
      roots: [{ root, exists: true, sessions: 1, newest: LOG }],
    });
  }
});

t.test('any client is recorded under a name, and can be continued', async (t) => {
  const {
    asked,
    continue: next,
    gate,
  } = await stage(t, (response, body, path) => {
    const count = body.contents.filter(({ role }) => role === 'user').length;
    answered(`Answer ${count}.`)(response, body, path);
  });
  const contents: object[] = [];
  for (const [index, text] of ['One?', 'Two?', 'Three?'].entries()) {
    contents.push({ role: 'user', parts: [{ text }] });
    const url =
      index === 1
        ? `${gate.url}/agents/me/sessions/diary/record/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse`
        : `${gate.url}/v1beta/models/gemini-2.5-flash:generateContent`;
    const response = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-goog-api-key': 'k',
        ...(index === 1 ? {} : { 'x-headgate-session': 'diary' }),
      },
      body: JSON.stringify({ contents }),
    });
    t.equal(response.status, 200);
    await response.arrayBuffer();
    contents.push({ role: 'model', parts: [{ text: `Answer ${index + 1}.` }] });
    t.match(await (await fetch(`${gate.url}/sessions/diary`)).json(), {
      format: 'headgate',
      next_turn: index + 2,
    });
  }
  const answer = await (await next('diary', { message: 'Four?' })).json();
  t.match(answer, { session: { format: 'headgate', turn: 4 }, text: 'Answer 4.' });
  t.strictSame(asked.at(-1) && textsOf(asked.at(-1)?.body ?? { contents: [] }), [
    'user: One?',
    'model: Answer 1.',
    'user: Two?',
    'model: Answer 2.',
    'user: Three?',
    'model: Answer 3.',
    'user: Four?',
  ]);
  t.match(await (await fetch(`${gate.url}/sessions`)).json(), {
    sessions: [
      { log_dir: 'diary', turns: 4 },
      { log_dir: LOG, turns: 2 },
    ],
  });
});
