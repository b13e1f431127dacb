import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { UsageTap } from '../../src/gemini/usage.ts';
import type { AnswerFacts } from '../../src/gemini/answer-reader.ts';
import { classifyRejection } from '../../src/gemini/rejection.ts';

const SSE = 'text/event-stream';
const JSON_TYPE = 'application/json; charset=UTF-8';

async function tap(
  answer: string | Buffer,
  contentType: string | null,
  { size = Infinity, encoding = null }: { size?: number; encoding?: string | null } = {},
): Promise<AnswerFacts> {
  const bytes = Buffer.from(answer);
  const usageTap = new UsageTap({ contentType, contentEncoding: encoding });
  for (let at = 0; at < bytes.length; at += size) usageTap.push(bytes.subarray(at, at + size));
  return usageTap.end();
}

function chunk(
  prompt: number,
  candidates: number,
  thoughts: number,
  finishReason?: string,
): unknown {
  return {
    candidates: [{ content: { parts: [{ text: 'x' }] }, ...(finishReason && { finishReason }) }],
    usageMetadata: {
      promptTokenCount: prompt,
      candidatesTokenCount: candidates,
      thoughtsTokenCount: thoughts,
      totalTokenCount: prompt + candidates + thoughts,
    },
    modelVersion: 'gemini-2.5-flash',
  };
}

function sse(events: readonly unknown[], newline = '\r\n'): string {
  return events.map((event) => `data: ${JSON.stringify(event)}${newline}${newline}`).join('');
}

const LAST = {
  usage: {
    inputTokens: 55,
    outputTokens: 30,
    thoughtTokens: 20,
    cachedTokens: 0,
    totalTokens: 85,
  },
  modelVersion: 'gemini-2.5-flash',
  finishReasonSeen: true,
  streamError: null,
};
const CHUNKS = [chunk(169, 1, 0), chunk(79, 5, 20), chunk(55, 10, 20, 'STOP')];

t.test('the last chunk of a stream counts, in every framing and in any pieces', async (t) => {
  const array = `[${CHUNKS.map((each) => JSON.stringify(each, null, 2)).join(',\r\n')}]`;
  for (const size of [Infinity, 1, 7, 100]) {
    t.strictSame(await tap(sse(CHUNKS), SSE, { size }), LAST);
    t.strictSame(await tap(sse(CHUNKS, '\n'), SSE, { size }), LAST);
    t.strictSame(await tap(sse(CHUNKS).trimEnd(), SSE, { size }), LAST, 'no final blank line');
    t.strictSame(await tap(array, JSON_TYPE, { size }), LAST);
    t.strictSame(await tap(JSON.stringify(CHUNKS[2]), null, { size }), LAST);
  }
});

t.test('a compressed answer is read without changing it, also when it is cut short', async (t) => {
  const text = sse(CHUNKS);
  const packed = { gzip: gzipSync(text), deflate: deflateSync(text), br: brotliCompressSync(text) };
  for (const [encoding, bytes] of Object.entries(packed)) {
    t.strictSame(await tap(bytes, SSE, { encoding, size: 9 }), LAST, encoding);
  }
  const cut = gzipSync(text).subarray(0, -8);
  t.strictSame(await tap(cut, SSE, { encoding: 'gzip' }), LAST);
  // Long enough, and random enough, that the packed bytes fill several blocks.
  const noise = Array.from({ length: 9000 }, (_, at) => ({ ...LAST.usage, at: Math.sin(at) }));
  const long = sse([CHUNKS[0], ...noise, CHUNKS[2]]);
  for (const [encoding, bytes] of [
    ['gzip', gzipSync(long)],
    ['deflate', deflateSync(long)],
    ['br', brotliCompressSync(long)],
  ] as const) {
    const half = bytes.subarray(0, bytes.length / 2);
    const facts = await tap(half, SSE, { encoding, size: 1000 });
    t.match(facts, { usage: { inputTokens: 169 }, finishReasonSeen: false }, encoding);
    t.match(await tap(half, SSE, { encoding }), { usage: { inputTokens: 169 } }, encoding);
  }
  const none = { usage: null, modelVersion: null, finishReasonSeen: false, streamError: null };
  t.strictSame(await tap(text, SSE, { encoding: 'zstd' }), none);
  t.strictSame(await tap(text, SSE, { encoding: 'gzip' }), none, 'not gzip at all');
});

t.test('a stream cut short tells what it had and that it had not ended', async (t) => {
  const text = sse(CHUNKS.slice(0, 2));
  t.match(await tap(`${text}data: {"candidates":[{"fini`, SSE), {
    usage: { inputTokens: 79, outputTokens: 25 },
    finishReasonSeen: false,
  });
  const array = `[${JSON.stringify(CHUNKS[0])},\n${JSON.stringify(CHUNKS[1])},{"cand`;
  t.match(await tap(array, JSON_TYPE), { usage: { inputTokens: 79 }, finishReasonSeen: false });
});

t.test('cached and tool tokens are input; a cache of its own has only a total', async (t) => {
  const usageMetadata = {
    promptTokenCount: 427,
    toolUsePromptTokenCount: 771,
    cachedContentTokenCount: 100,
    candidatesTokenCount: 2,
    totalTokenCount: 1200,
  };
  t.match(await tap(JSON.stringify({ usageMetadata }), JSON_TYPE), {
    usage: { inputTokens: 1198, cachedTokens: 100, outputTokens: 2, totalTokens: 1200 },
  });
  const cache = {
    name: 'cachedContents/x',
    model: 'models/m',
    usageMetadata: { totalTokenCount: 9 },
  };
  t.match(await tap(JSON.stringify(cache), JSON_TYPE), {
    usage: { inputTokens: 9, outputTokens: 0 },
    modelVersion: 'm',
  });
});

t.test('OpenAI answers hide their thoughts in the total', async (t) => {
  const usage = { prompt_tokens: 35, completion_tokens: 12, total_tokens: 109 };
  const expected = {
    usage: { inputTokens: 35, outputTokens: 74, thoughtTokens: 62, totalTokens: 109 },
    modelVersion: 'gemini-2.5-flash',
    finishReasonSeen: true,
  };
  const choices = [{ finish_reason: 'stop', message: { content: '"usage": {' } }];
  const model = 'models/gemini-2.5-flash';
  t.match(await tap(JSON.stringify({ choices, model, usage }), 'application/json'), expected);
  const stream = sse([
    { choices: [{ delta: { content: 'a' }, finish_reason: null }], model, usage: null },
    { choices: [{ delta: {}, finish_reason: 'stop' }], model, usage: null },
    { choices: [], model, usage },
  ]);
  t.match(await tap(`${stream}data: [DONE]\n\n`, SSE, { size: 5 }), expected);
  const silent = sse([{ choices: [{ finish_reason: 'stop' }], model }]);
  t.match(await tap(silent, SSE), { usage: null, modelVersion: 'gemini-2.5-flash' });
  const embeddings = { data: [], model, usage: { prompt_tokens: 8, total_tokens: 8 } };
  t.match(await tap(JSON.stringify(embeddings), 'application/json'), {
    usage: { inputTokens: 8, outputTokens: 0 },
  });
});

t.test(
  'an interaction counts by its completed event, or by the last step before a cut',
  async (t) => {
    const usage = {
      total_input_tokens: 10,
      total_output_tokens: 3,
      total_thought_tokens: 4,
      total_cached_tokens: 1,
      total_tool_use_tokens: 2,
      total_tokens: 19,
    };
    const running = { total_input_tokens: 9, total_output_tokens: 1, total_tokens: 10 };
    const step = { event_type: 'step.delta', metadata: { total_usage: running } };
    const completed = {
      event_type: 'interaction.completed',
      interaction: { model: 'gemini-3.8-flash', status: 'completed', usage },
    };
    const whole = {
      usage: {
        inputTokens: 12,
        outputTokens: 7,
        thoughtTokens: 4,
        cachedTokens: 1,
        totalTokens: 19,
      },
      modelVersion: 'gemini-3.8-flash',
      finishReasonSeen: true,
    };
    t.match(await tap(`event: x\nid: 1\n${sse([step, completed], '\n')}`, SSE), whole);
    t.match(await tap(sse([step], '\n'), SSE), {
      usage: { inputTokens: 9, outputTokens: 1 },
      finishReasonSeen: false,
    });
    const unary = { id: 'i', model: 'gemini-3.8-flash', status: 'completed', usage };
    t.match(await tap(JSON.stringify(unary), 'application/json'), whole);
  },
);

t.test('an error inside a stream is told, as an event, a bare tail or an element', async (t) => {
  const error = { code: 429, message: 'Resource has been exhausted', status: 'RESOURCE_EXHAUSTED' };
  const expected = {
    usage: { inputTokens: 169 },
    streamError: { code: 429, status: 'RESOURCE_EXHAUSTED', message: /^Resource/ },
  };
  const [first] = CHUNKS;
  const answers: [string, string][] = [
    [sse([first, { error }]), SSE],
    [`${sse([first])}${JSON.stringify({ error }, null, 2)}`, SSE],
    [JSON.stringify([first, { error }]), JSON_TYPE],
  ];
  for (const [answer, type] of answers) {
    const facts = await tap(answer, type, { size: 11 });
    t.match(facts, expected);
    t.equal(classifyRejection(facts.streamError?.body ?? '', 0).kind, 'exhausted');
  }
  const lower = {
    error: { code: 'deadline_exceeded', message: 'm'.repeat(999) },
    event_type: 'error',
  };
  const facts = await tap(`event: error\n${sse([lower])}`, SSE);
  t.match(facts.streamError, { code: 504, status: 'DEADLINE_EXCEEDED' });
  t.equal(facts.streamError?.message.length, 200);
  const spoken = sse([
    { candidates: [{ content: { parts: [{ text: '{"error":{"code":1}}' }] } }] },
  ]);
  t.equal((await tap(spoken, SSE)).streamError, null);
});

t.test('of an answer too long to keep, the end is enough', async (t) => {
  const image = { inlineData: { mimeType: 'image/png', data: 'A'.repeat(3_000_000) } };
  const large = {
    candidates: [{ content: { parts: [image] }, finishReason: 'STOP' }],
    usageMetadata: { promptTokenCount: 5, candidatesTokenCount: 1290, totalTokenCount: 1295 },
    modelVersion: 'gemini-2.5-flash-image',
  };
  const expected = {
    usage: { inputTokens: 5, outputTokens: 1290 },
    modelVersion: 'gemini-2.5-flash-image',
    finishReasonSeen: true,
  };
  t.match(await tap(JSON.stringify(large), JSON_TYPE, { size: 65_536 }), expected);
  t.match(await tap(JSON.stringify([large, large]), JSON_TYPE, { size: 65_536 }), expected);
  t.match(await tap(sse([CHUNKS[0], large]), SSE, { size: 65_536 }), expected);
  image.inlineData.data = 'A'.repeat(9_000_000);
  t.match(await tap(sse([CHUNKS[0], large]), SSE, { size: 65_536 }), expected, 'over 8 MiB');
});

t.test('no answer makes the tap throw, and counts are whole and not negative', async () => {
  const piece = fc.oneof(
    fc.string(),
    fc.json(),
    fc.constantFrom(
      'data: ',
      '\n\n',
      '\r\n',
      '{"usageMetadata":{',
      '"error":{',
      '"usage":{',
      '}',
      '[',
    ),
    fc.constantFrom(
      '{"usageMetadata":{"promptTokenCount":-1,"totalTokenCount":1e99}}',
      '"usage":null',
    ),
  );
  const kind = fc.constantFrom(SSE, JSON_TYPE, null, 'text/html');
  const encoding = fc.constantFrom(null, 'gzip', 'br', 'deflate', 'x');
  await fc.assert(
    fc.asyncProperty(
      fc.array(piece),
      kind,
      encoding,
      async (pieces, contentType, contentEncoding) => {
        const usageTap = new UsageTap({ contentType, contentEncoding });
        for (const text of pieces) usageTap.push(Buffer.from(text));
        const { usage } = await usageTap.end();
        return Object.values(usage ?? {}).every((count) => Number.isInteger(count) && count >= 0);
      },
    ),
    { numRuns: 300 },
  );
});
