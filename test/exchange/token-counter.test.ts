import t from 'tap';

import {
  COUNTABLE_BYTES_MAX,
  type CountableCall,
  countTokensPath,
  createTokenCounter,
} from '../../src/exchange/token-counter.ts';
import type { Upstream, UpstreamHandler, UpstreamRequest } from '../../src/exchange/upstream.ts';
import { ManualClock } from '../support/manual-clock.ts';

const BODY = Buffer.from('{"contents":[]}');

/** A counter before an upstream that answers as the test says; `asked` is what it was sent. */
function stage(answer: (handler: UpstreamHandler) => void = tokens(7)) {
  const clock = new ManualClock();
  const asked: UpstreamRequest[] = [];
  const state = { aborted: 0, answer };
  const upstream: Upstream = {
    send(request, handler) {
      asked.push(request);
      queueMicrotask(() => state.answer(handler));
      return { abort: () => (state.aborted += 1), pause() {}, resume() {} };
    },
    close: async () => undefined,
  };
  const counter = createTokenCounter({ upstream, clock });
  const counterFor = (call: Partial<CountableCall> = {}) =>
    counter.counterFor({
      baseUrl: 'http://upstream',
      path: '/v1beta/models/gemini-2.5-flash:generateContent',
      headers: ['x-goog-api-key', 'k', 'content-type', 'application/json'],
      body: [BODY],
      bodyBytes: BODY.length,
      ...call,
    });
  const count = async (call?: Partial<CountableCall>) => counterFor(call)?.() ?? null;
  return { clock, asked, state, counterFor, count };
}

/** An answer of countTokens, in two pieces. */
function tokens(total: number, status = 200) {
  return (handler: UpstreamHandler): void => {
    handler.head(status, []);
    handler.data(Buffer.from('{\n  "totalTo'));
    handler.data(Buffer.from(`kens": ${total}\n}`));
    handler.end();
  };
}

t.test('a call is counted by wrapping its body, whole, with its model', async (t) => {
  const { asked, count } = stage();
  const body = [Buffer.from(' {"contents"'), Buffer.from(':[],"tools":[]}')];
  t.equal(await count({ body, bodyBytes: 29 }), 7);
  t.equal(asked[0]?.path, '/v1beta/models/gemini-2.5-flash:countTokens');
  t.match(asked[0], { method: 'POST', baseUrl: 'http://upstream' });
  t.match(asked[0]?.headers.join(','), /x-goog-api-key,k.*accept-encoding,identity/);
  const sent = asked[0]?.body;
  if (!Array.isArray(sent)) return t.fail('the body is a list of chunks');
  const text = Buffer.concat(sent).toString();
  t.equal(asked[0]?.bodyBytes, text.length);
  t.strictSame(JSON.parse(text), {
    generateContentRequest: { model: 'models/gemini-2.5-flash', contents: [], tools: [] },
  });
});

t.test('a packed body is not counted, whatever packed it', async (t) => {
  const { asked, counterFor } = stage();
  for (const coding of ['gzip', 'br', 'deflate', 'zstd', 'gzip, br', ' GZIP ', 'unheard-of']) {
    t.equal(counterFor({ headers: ['Content-Encoding', coding] }), null, coding);
  }
  for (const coding of ['', 'identity', 'Identity']) {
    t.not(counterFor({ headers: ['content-encoding', coding] }), null, `"${coding}" packs nothing`);
  }
  t.equal(asked.length, 0, 'a way to count asks nothing by itself');
});

t.test('a body is counted up to the largest size, and not a byte beyond', async (t) => {
  const { asked, counterFor, count } = stage();
  t.equal(counterFor({ bodyBytes: COUNTABLE_BYTES_MAX + 1 }), null);
  const body = [Buffer.concat([BODY, Buffer.alloc(COUNTABLE_BYTES_MAX - BODY.length, ' ')])];
  t.equal(await count({ body, bodyBytes: COUNTABLE_BYTES_MAX }), 7);
  t.equal(asked.length, 1);
});

t.test('only generating has a count', async (t) => {
  const { counterFor } = stage();
  for (const path of [
    '/v1beta/models/m:embedContent',
    '/v1beta/models/m:countTokens',
    '/v1beta/interactions',
    '/v1beta/openai/chat/completions',
    '/v1beta/tunedModels/m:generateContent',
  ]) {
    t.equal(counterFor({ path }), null, path);
  }
  t.strictSame(countTokensPath('/v1beta/models/m:streamGenerateContent?alt=sse&key=k'), {
    path: '/v1beta/models/m:countTokens?key=k',
    model: 'm',
  });
  t.strictSame(
    countTokensPath('/v1%2Fx/models%2Fm%3AgenerateContent'),
    {
      path: '/v1%2Fx/models%2Fm:countTokens',
      model: 'm',
    },
    'escapes stay as they were',
  );
});

t.test('a body that nothing can be put into is not asked about', async (t) => {
  const { asked, count } = stage();
  for (const text of ['', '[]', '{}', ' { \n }']) {
    t.equal(await count({ body: [Buffer.from(text)], bodyBytes: text.length }), null, text);
  }
  t.equal(asked.length, 0);
});

t.test('an answer that tells no count is no count', async (t) => {
  const { state, count } = stage();
  for (const [title, answer] of Object.entries<(handler: UpstreamHandler) => void>({
    'an error of the upstream': tokens(7, 429),
    'no connection': (handler) => handler.error(new Error('none')),
  })) {
    state.answer = answer;
    t.equal(await count(), null, title);
  }
  state.answer = tokens(0);
  t.equal(await count(), 1, 'no call takes nothing');
  state.answer = (handler) => {
    handler.head(200, []);
    handler.data(Buffer.alloc(70_000, ' '));
    handler.data(Buffer.from('{"totalTokens":5}'));
    handler.end();
  };
  t.equal(await count(), null, 'an answer too long to be one');
});

t.test('a count that takes too long is given up, and its call aborted', async (t) => {
  const { clock, state, count } = stage(() => undefined);
  const counted = count();
  await clock.advanceAsync(1_999);
  t.equal(state.aborted, 0);
  await clock.advanceAsync(1);
  t.equal(await counted, null);
  t.equal(state.aborted, 1);
  t.equal(clock.pendingTimers, 0);
});

t.test('after three failures in a row nothing is asked for half a minute', async (t) => {
  const { clock, asked, state, count } = stage(tokens(7, 500));
  await count();
  await count();
  state.answer = tokens(7);
  t.equal(await count(), 7, 'a count in between starts the row anew');
  state.answer = tokens(7, 500);
  for (let times = 0; times < 3; times += 1) await count();
  t.equal(asked.length, 6);
  state.answer = tokens(7);
  t.equal(await count(), null);
  clock.advance(29_999);
  t.equal(await count(), null);
  t.equal(asked.length, 6);
  clock.advance(1);
  t.equal(await count(), 7);
});
