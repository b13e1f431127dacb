import fc from 'fast-check';
import t from 'tap';
import { BodyScanner } from '../../src/gemini/body-scan.ts';
import type { BodyFacts } from '../../src/gemini/body-scan.ts';
import { estimateTokens, requestsOf } from '../../src/gemini/cost.ts';

/** Scans `body` in chunks of `size` bytes (the whole at once by default). */
function scan(body: unknown, size = Infinity): BodyFacts {
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  const scanner = new BodyScanner();
  for (let at = 0; at < bytes.length; at += size) scanner.push(bytes.subarray(at, at + size));
  return scanner.end();
}

/** As Python's json.dumps writes it by default. */
function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u0080-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

const BASE64 = 'iVBORw0KGgo/+8='.repeat(400);
const SIGNATURE = 'S'.repeat(100);

const CALL = { name: 'find', args: { text: 'q', data: 'abc' } };

const CONVERSATION = {
  systemInstruction: { parts: [{ text: 'Be brief.' }] },
  contents: [
    { role: 'user', parts: [{ text: 'Привет, 世界! 👋🏽 "quoted" \\ done' }] },
    {
      parts: [{ functionCall: CALL, thoughtSignature: SIGNATURE }],
      role: 'model',
    },
    { role: 'user', parts: [{ functionResponse: { name: 'find', response: { ok: true } } }] },
    {
      role: 'user',
      parts: [
        { inlineData: { mimeType: 'image/png', data: BASE64 } },
        { inline_data: { data: BASE64, mime_type: 'application/pdf' } },
        { fileData: { fileUri: 'https://x/files/1', mimeType: 'video/mp4' } },
      ],
    },
  ],
  tools: [{ functionDeclarations: [{ name: 'find', description: 'text', parameters: {} }] }],
  cachedContent: 'cachedContents/c1',
  generationConfig: { maxOutputTokens: 512, responseSchema: { type: 'STRING' } },
};

t.test('every part of a conversation is counted where it belongs', async (t) => {
  const facts = scan(CONVERSATION);
  t.match(facts, {
    valid: true,
    problem: null,
    bytes: Buffer.byteLength(JSON.stringify(CONVERSATION)),
    model: null,
    stream: false,
    items: 1,
    // "Be brief." and, of the greeting, the comma, blanks, quotes, backslash and English words.
    asciiChars: 9 + 20,
    cyrillicLikeChars: 6,
    cjkChars: 2,
    otherChars: 2,
    // The images after it begin a new turn.
    signatureChars: 0,
    fileDataCount: 1,
    cachedContent: 'cachedContents/c1',
    maxOutputTokens: 512,
    massgen: false,
  });
  t.match(facts.files, [{ uri: 'https://x/files/1', mimeType: 'video/mp4' }]);
  t.match(facts.media, [
    { kind: 'image', items: 1, base64Bytes: BASE64.length },
    { kind: 'pdf', items: 1, base64Bytes: BASE64.length },
  ]);
  const near = (actual: number, value: unknown, what: string) => {
    const compact = JSON.stringify(value).length;
    t.ok(Math.abs(actual - compact) <= 8, `${what}: ${actual} for ${compact} characters`);
  };
  const { tools, generationConfig } = CONVERSATION;
  const declared = [...tools, generationConfig.responseSchema];
  near(facts.toolDeclarationChars, declared, 'tools and schema');
  near(facts.functionCallChars, CALL, 'call');
  near(facts.functionResponseChars, { name: 'find', response: { ok: true } }, 'response');
});

t.test(
  'the facts do not depend on where chunks begin or on how characters are escaped',
  async (t) => {
    const whole = scan(CONVERSATION);
    for (const size of [1, 2, 3, 5, 7, 64, 1000]) t.strictSame(scan(CONVERSATION, size), whole);
    const escaped = asciiJson(CONVERSATION);
    const { bytes: _bytes, ...facts } = whole;
    t.match(scan(escaped), facts);
    t.match(scan(escaped, 1), facts);
    t.match(scan(JSON.stringify(CONVERSATION, null, 2), 11), facts);
  },
);

t.test('a new question drops the signatures of the tool loop before it', async (t) => {
  const call = { role: 'model', parts: [{ functionCall: {}, thoughtSignature: SIGNATURE }] };
  const answer = { role: 'user', parts: [{ functionResponse: { response: { result: 'x' } } }] };
  const question = { parts: [{ text: 'And?' }], role: 'user' };
  t.equal(scan({ contents: [question, call, answer] }).signatureChars, 100);
  t.equal(scan({ contents: [question, call, answer, question] }).signatureChars, 0);
  const picture = { role: 'user', parts: [{ inlineData: { data: BASE64 } }] };
  t.equal(scan({ contents: [question, call, answer, picture] }).signatureChars, 0);
  t.equal(scan({ contents: [question, call, answer, question, call] }).signatureChars, 100);
  const roleless = { parts: [{ text: 'And?' }] };
  t.equal(scan({ contents: [question, call, answer, roleless] }).signatureChars, 0);
  const thinking = { role: 'model', parts: [{ text: 'Hm.' }] };
  t.equal(scan({ contents: [question, call, answer, thinking] }).signatureChars, 100);
  const thought = {
    type: 'thought',
    signature: SIGNATURE,
    summary: [{ type: 'text', text: 'Hm.' }],
  };
  const sent = { type: 'user_input', content: [{ type: 'text', text: 'And?' }] };
  t.equal(scan({ input: [sent, thought] }).signatureChars, 100);
  t.equal(scan({ input: [sent, thought, sent] }).signatureChars, 0);
  const empty = { parts: [{ thoughtSignature: 'short' }] };
  t.equal(scan({ contents: [empty] }).signatureChars, 0);
});

t.test('OpenAI bodies tell model, stream, texts, images, calls and limits', async (t) => {
  const facts = scan({
    model: 'models/gemini-2.5-flash',
    stream: true,
    max_completion_tokens: 99,
    messages: [
      { role: 'system', content: '12345' },
      {
        role: 'user',
        content: [
          { type: 'text', text: '67890' },
          { type: 'image_url', image_url: { url: `data:image/jpeg;base64,${BASE64}` } },
          { type: 'image_url', image_url: { url: 'https://example.test/a.png' } },
          { type: 'input_audio', input_audio: { data: BASE64, format: 'wav' } },
        ],
      },
      { role: 'assistant', tool_calls: [{ function: { name: 'f', arguments: '{"a":1}' } }] },
    ],
    tools: [{ type: 'function', function: { name: 'f' } }],
  });
  t.match(facts, {
    valid: true,
    model: 'models/gemini-2.5-flash',
    stream: true,
    maxOutputTokens: 99,
    asciiChars: 10,
    fileDataCount: 1,
  });
  t.strictSame(
    facts.media.map(({ kind, items }) => [kind, items]),
    [
      ['image', 1],
      ['audio', 1],
    ],
  );
  t.ok(facts.functionCallChars >= 25 && facts.toolDeclarationChars >= 40);
});

t.test('only the top level names the model and asks for a stream', async (t) => {
  const facts = scan({ x: { model: 'no', stream: true, cachedContent: 'no' }, stream: false });
  t.match(facts, { model: null, stream: false, cachedContent: null });
  t.equal(scan('{"model":"\\u0067emini-é","stream" : true }', 1).model, 'gemini-é');
});

t.test('what carries on an earlier answer is told from what begins', async (t) => {
  const hop = (body: object): boolean => scan({ model: 'm', input: 'Go on.', ...body }).isHop;
  t.equal(hop({ previous_interaction_id: 'v1_abc' }), true);
  t.equal(hop({ continuation_token: 'x' }), true);
  t.equal(hop({ continuationToken: 'x', input: undefined }), true);
  t.equal(hop({}), false);
  t.equal(hop({ previous_interaction_id: '' }), false);
  t.equal(hop({ previous_interaction_id: null }), false);
  t.equal(hop({ generation_config: { previous_interaction_id: 'x' } }), false);
  const asked = { type: 'user_input', content: [{ type: 'text', text: 'And?' }] };
  const called = { type: 'function_call', name: 'find', arguments: {} };
  const result = { type: 'function_result', call_id: 'c', result: 7 };
  t.equal(hop({ input: [asked, called, result] }), true, 'a result sent without state');
  t.equal(hop({ input: result }), true);
  t.equal(hop({ input: [asked, called, result, asked] }), false, 'a new question');
});

t.test('items of a batch are counted, tokens of one text are not', async (t) => {
  const request = { model: 'models/e', content: { parts: [{ text: 'abc' }] } };
  const batch = scan({ requests: [request, request, request] });
  t.match(batch, { items: 3, asciiChars: 9, model: null });
  t.equal(scan({ input: ['a', 'b'] }).items, 2);
  t.equal(scan({ input: [[1, 2], [3], [4]] }).items, 3);
  t.equal(scan({ input: [1, 2, 3] }).items, 1);
  t.equal(scan({ input: 'abc' }).items, 1);
  t.equal(scan({ instances: [{ prompt: 'abc' }, {}] }).items, 2);
  t.equal(requestsOf('batchEmbedContents', batch), 3);
  t.equal(requestsOf('generateContent', batch), 1);
});

t.test('interactions are read from a string or a list', async (t) => {
  t.match(scan({ model: 'm', input: 'hello' }), { asciiChars: 5, model: 'm' });
  const list = scan({
    agent: 'deep',
    input: [
      { type: 'text', text: 'hello' },
      { type: 'image', data: BASE64, mime_type: 'image/png' },
      { type: 'function_result', result: { a: 'b' } },
    ],
    system_instruction: 'Be.',
  });
  t.match(list, { asciiChars: 8, media: [{ kind: 'image', base64Bytes: BASE64.length }] });
  t.ok(list.functionResponseChars >= 8);
});

t.test('MassGen is recognised by its markers, across edges and escapes', async (t) => {
  for (const marker of ['<CURRENT ANSWERS from the agents>', '<agent_identity']) {
    const body = JSON.stringify({ contents: [{ parts: [{ text: `a <${marker} b` }] }] });
    for (const size of [Infinity, 1, 4]) t.ok(scan(body, size).massgen, `${marker} by ${size}`);
    t.ok(scan(body.replaceAll('<', '\\u003c'), 3).massgen);
    const broken = body.replace(marker, `${marker.slice(0, 8)}-${marker.slice(8)}`);
    t.notOk(scan(broken).massgen);
    t.notOk(scan({ tools: [{ description: marker }] }).massgen);
    const halves = [{ text: marker.slice(0, 8) }, { text: marker.slice(8) }];
    t.notOk(scan({ contents: [{ parts: halves }] }).massgen);
  }
});

t.test('media inside a function response is media', async (t) => {
  const response = {
    response: {},
    parts: [{ inlineData: { mimeType: 'image/png', data: BASE64 } }],
  };
  const facts = scan({ contents: [{ parts: [{ functionResponse: response }] }] });
  t.match(facts.media, [{ kind: 'image', base64Bytes: BASE64.length }]);
  t.ok(facts.functionResponseChars < 80);
});

t.test('strings that end in backslashes end where they end', async (t) => {
  for (const data of ['a\\', 'a\\\\', 'a\\"', '\\', '"', 'x\\"\\\\"', '\\\\\\\\']) {
    const body = { ignored: data, inlineData: { data }, model: 'm' };
    for (const size of [Infinity, 1, 2, 3]) {
      t.match(scan(body, size), { valid: true, model: 'm' }, JSON.stringify(data));
    }
  }
});

t.test('what is not one JSON object is said so, with the place', async (t) => {
  const cases: [string, RegExp, number][] = [
    ['', /body is empty/, 0],
    ['  ', /body is blank/, 2],
    ['[]', /expected a JSON object.*found "\["/, 0],
    ['{"a":1', /ends in the middle/, 6],
    ['{"a":"b', /ends in the middle/, 7],
    ['{"a":1}}', /nothing more/, 7],
    ['{"a" 1}', /expected :/, 5],
    ['{"a":}', /expected a value, found "}"/, 5],
    ['{"a":1,}', /expected a name/, 7],
    ['{"a":[1,]}', /expected a value/, 8],
    ['{"a":[1}', /a comma or the end/, 7],
    ['{"a":tru}', /expected a value, found "tru"/, 5],
    ['{"a":01x}', /expected a value/, 5],
    ['{"text":"\\x"}', /JSON escape/, 10],
    ["{'a':1}", /expected a name/, 1],
    ['{"text":"\\u12g4"}', /four hex digits/, 13],
    [`{"a":${'['.repeat(300)}`, /deeper than 256/, 260],
  ];
  for (const [body, message, offset] of cases) {
    for (const size of [Infinity, 1]) {
      const { valid, problem } = scan(body, size);
      t.notOk(valid, body);
      t.match(problem, { message, offset }, body);
    }
  }
});

const JSON_VALUE = fc.jsonValue({ depthSize: 'small' });
const NAME = fc.constantFrom(
  'a',
  'text',
  'content',
  'contents',
  'parts',
  'tools',
  'functionCall',
  'functionResponse',
  'inlineData',
  'data',
  'mimeType',
  'url',
  'input',
  'requests',
  'role',
  'model',
  'thoughtSignature',
);
const BODY = fc.dictionary(
  fc.oneof(NAME, fc.string()),
  fc.oneof(JSON_VALUE, fc.dictionary(NAME, JSON_VALUE)),
);

t.test('any JSON object is valid, and gives the same facts in any chunks', async () => {
  fc.assert(
    fc.property(BODY, fc.integer({ min: 1, max: 9 }), (body, size) => {
      const whole = scan(body);
      if (!whole.valid) return false;
      return JSON.stringify(scan(body, size)) === JSON.stringify(whole);
    }),
    { numRuns: 300 },
  );
});

t.test('a damaged body is judged as JSON.parse judges its structure', async () => {
  const damage = fc.record({
    at: fc.nat(200),
    byte: fc.constantFrom('{', '}', '[', ']', ':', ',', '"', '1', 't', ' '),
  });
  fc.assert(
    fc.property(BODY, damage, (body, { at, byte }) => {
      const text = JSON.stringify(body);
      const cut = at % text.length;
      const damaged = text.slice(0, cut) + byte + text.slice(cut + 1);
      let isObject: boolean;
      try {
        const parsed: unknown = JSON.parse(damaged);
        isObject = typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed);
      } catch {
        isObject = false;
      }
      // It may be laxer inside strings and numbers, never stricter.
      return !isObject || scan(damaged).valid;
    }),
    { numRuns: 500 },
  );
});

t.test('no body makes the scanner throw', async () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 20 })), (chunks) => {
      const scanner = new BodyScanner();
      for (const chunk of chunks) scanner.push(Buffer.from(chunk));
      const facts = scanner.end();
      const { inputTokens, inputTokensMax } = estimateTokens(facts, 'gemini-2.5-flash');
      return facts.valid === (facts.problem === null) && inputTokens <= inputTokensMax;
    }),
  );
});

t.test('texts are estimated by script', async (t) => {
  const tokens = (text: string) =>
    estimateTokens(scan({ contents: [{ parts: [{ text }] }] }), 'gemini-2.5-flash').inputTokens;
  t.equal(tokens('a'.repeat(1000)), 274);
  t.equal(tokens('ж'.repeat(1000)), 454);
  t.equal(tokens('語'.repeat(1000)), 904);
  t.equal(estimateTokens(scan(''), 'm').inputTokens, 4);
});

t.test('media are estimated by the generation of the model', async (t) => {
  const image = scan({
    contents: [{ parts: [{ inlineData: { mimeType: 'image/png', data: BASE64 } }] }],
  });
  const tokens = (facts: BodyFacts, model: string) => estimateTokens(facts, model).inputTokens;
  t.equal(tokens(image, 'gemini-2.5-pro'), 262);
  t.equal(tokens(image, 'models/gemini-3.8-flash'), 1124);
  t.equal(tokens(image, 'gemini-4-argon'), 1124);
  t.equal(tokens(image, 'gemini-flash-latest'), 1124);
  t.equal(tokens(image, 'gemini-embedding-001'), 262);
  const large = scan({
    inlineData: { mimeType: 'image/jpeg', data: 'A'.repeat(700_000) },
  });
  t.equal(tokens(large, 'gemini-2.0-flash'), 4 + 258 * 7);
  const audio = scan({ inlineData: { mimeType: 'audio/mp3', data: 'A'.repeat(640_000) } });
  t.equal(tokens(audio, 'gemini-2.5-flash'), 4 + 31 * 32);
  t.equal(tokens(audio, 'gemini-3-flash-preview'), 4 + 31 * 25);
});

t.test('signatures weigh only where models read them again', async (t) => {
  const facts = scan({
    contents: [{ role: 'model', parts: [{ thoughtSignature: 'S'.repeat(1000) }] }],
  });
  t.equal(estimateTokens(facts, 'gemini-3.1-pro-preview').inputTokens, 199);
  t.equal(estimateTokens(facts, 'gemini-2.5-pro').inputTokens, 4);
});

t.test(
  'the ceiling is the bytes that are not media, and more for what cannot be seen',
  async (t) => {
    const text = scan({ contents: [{ parts: [{ text: 'a'.repeat(1000) }] }] });
    t.equal(estimateTokens(text, 'gemini-2.5-pro').inputTokensMax, text.bytes + 64);
    const image = scan({ inlineData: { mimeType: 'image/png', data: BASE64 } });
    const { inputTokensMax } = estimateTokens(image, 'gemini-3-flash');
    t.equal(inputTokensMax, image.bytes - BASE64.length + 64 + 1120);
    const file = scan({ fileData: { fileUri: 'x' } });
    t.ok(estimateTokens(file, 'gemini-3-flash').inputTokensMax > 1_000_000);
  },
);
