import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import t from 'tap';
import { readAnswer } from '../../src/sessions/recording/answer-text.ts';

const JSON_TYPE = 'application/json; charset=UTF-8';
const SSE = 'text/event-stream';

function chunk(parts: readonly object[], more: object = {}, rest: object = {}): object {
  return { candidates: [{ content: { role: 'model', parts }, index: 0, ...more }], ...rest };
}

const USAGE = {
  usageMetadata: { promptTokenCount: 3, candidatesTokenCount: 2, totalTokenCount: 5 },
};
const CHUNKS = [
  chunk([{ text: 'thinking', thought: true }], {}, { modelVersion: 'm-1', responseId: 'r' }),
  chunk([{ text: 'Be' }]),
  chunk([{ text: 'rlin', thoughtSignature: 's' }]),
  chunk([{ text: '' }], { finishReason: 'STOP' }, USAGE),
];
const PARTS = [
  { text: 'thinking', thought: true },
  { text: 'Be' },
  { text: 'rlin', thoughtSignature: 's' },
];

function read(
  body: string | Buffer,
  contentType: string | null,
  contentEncoding: string | null = null,
) {
  return readAnswer(Buffer.from(body), { contentType, contentEncoding });
}

function events(chunks: readonly object[], end = '\r\n\r\n'): string {
  return chunks.map((one) => `data: ${JSON.stringify(one)}${end}`).join('');
}

t.test('an answer in one piece is read', async (t) => {
  const body = chunk([{ text: 'Hello ' }, { text: 'you' }], { finishReason: 'STOP' }, USAGE);
  const answer = read(JSON.stringify(body), JSON_TYPE);
  t.equal(answer.error, null);
  t.equal(answer.text, 'Hello you');
  t.equal(answer.finishReason, 'STOP');
  t.equal(answer.usage?.totalTokens, 5);
  t.strictSame(answer.contents, [{ role: 'model', parts: [{ text: 'Hello you' }] }]);
});

t.test('a stream is read as one answer, in events or as an array', async (t) => {
  const bodies: readonly (readonly [string, string])[] = [
    [events(CHUNKS), SSE],
    [events(CHUNKS, '\n\n'), SSE],
    [events(CHUNKS).trimEnd(), `${SSE}; charset=utf-8`],
    [events(CHUNKS), ''],
    [JSON.stringify(CHUNKS), JSON_TYPE],
  ];
  for (const [body, type] of bodies) {
    const answer = read(body, type);
    t.equal(answer.error, null);
    t.equal(answer.text, 'Berlin', 'without thoughts');
    t.strictSame(answer.contents, [{ role: 'model', parts: PARTS }]);
    t.strictSame(answer.response, {
      candidates: [{ content: { parts: PARTS, role: 'model' }, index: 0, finishReason: 'STOP' }],
      modelVersion: 'm-1',
      responseId: 'r',
      ...USAGE,
    });
  }
});

t.test('a packed answer is unpacked', async (t) => {
  const body = Buffer.from(events(CHUNKS));
  const packed: readonly (readonly [string, Buffer])[] = [
    ['gzip', gzipSync(body)],
    ['x-gzip', gzipSync(body)],
    ['deflate', deflateSync(body)],
    ['deflate', deflateRawSync(body)],
    ['br', brotliCompressSync(body)],
    ['identity', body],
  ];
  for (const [encoding, bytes] of packed) {
    t.match(read(bytes, SSE, encoding), { text: 'Berlin', error: null }, encoding);
  }
  const unknown = read(body, SSE, 'zstd');
  t.match(unknown, { error: /zstd/, isUnreadable: true });
  t.match(read(gzipSync(body).subarray(0, -20), SSE, 'gzip'), { error: /cut short/ });
});

t.test('a bomb is not unpacked', async (t) => {
  const bomb = gzipSync(Buffer.alloc(65 * 1024 * 1024));
  t.match(read(bomb, JSON_TYPE, 'gzip'), { error: /longer than/, isUnreadable: true });
});

t.test('what is no whole answer is an error', async (t) => {
  const error = { error: { code: 503, message: 'overloaded', status: 'UNAVAILABLE' } };
  const cases: readonly (readonly [string, string, RegExp])[] = [
    [events([...CHUNKS.slice(0, 2), error]), SSE, /overloaded/],
    [`${events(CHUNKS.slice(0, 2))}${JSON.stringify(error)}`, SSE, /overloaded/],
    [JSON.stringify([CHUNKS[0], error]), JSON_TYPE, /overloaded/],
    [JSON.stringify(error), JSON_TYPE, /overloaded/],
    [events(CHUNKS.slice(0, 3)), SSE, /ended early/],
    [events(CHUNKS).slice(0, -30), SSE, /cut short/],
    [JSON.stringify(CHUNKS).slice(0, -1), JSON_TYPE, /cut short/],
    [JSON.stringify({ promptFeedback: { blockReason: 'SAFETY' } }), JSON_TYPE, /SAFETY/],
    ['', JSON_TYPE, /cut short/],
    ['', SSE, /ended early/],
    ['<html>', 'text/html', /no JSON/],
    ['[null, 3]', JSON_TYPE, /ended early/],
  ];
  for (const [body, type, message] of cases) t.match(read(body, type).error, message, body);
});

t.test('function calls and several candidates are kept', async (t) => {
  const call = { functionCall: { name: 'f', args: { x: 1 } }, thoughtSignature: 'sig' };
  const answer = read(
    JSON.stringify([
      { candidates: [{ content: { parts: [{ text: 'I look. ' }] } }] },
      { candidates: [{ content: { parts: [{ text: 'other' }] }, index: 1, finishReason: 'STOP' }] },
      { candidates: [{ content: { parts: [call] }, finishReason: 'STOP' }] },
    ]),
    JSON_TYPE,
  );
  t.strictSame(answer.contents, [{ role: 'model', parts: [{ text: 'I look. ' }, call] }]);
  t.match(answer.response, { candidates: [{}, { index: 1 }] });
  t.equal(answer.error, null);
});
