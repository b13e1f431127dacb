import t from 'tap';
import { ProxyError } from '../../src/errors.ts';
import { detectClient } from '../../src/gemini/client.ts';
import { endToEnd, headerValue, setHeader } from '../../src/gemini/headers.ts';
import { classify, isGeminiPath, stripPrefixes } from '../../src/gemini/route.ts';

function refusal(run: () => unknown): ProxyError {
  try {
    run();
  } catch (error) {
    if (error instanceof ProxyError) return error;
    throw error;
  }
  throw new Error('was not refused');
}

t.test('prefixes name agent and session and leave every other byte', async (t) => {
  const cases: [string, string, string | null, string | null][] = [
    ['/v1beta/models?key=a%2Fb&&x', '/v1beta/models?key=a%2Fb&&x', null, null],
    ['//ws/google.x', '/ws/google.x', null, null],
    ['/agents/amy/v1/models', '/v1/models', 'amy', null],
    ['/agents/a%40b.c//v1beta/x%3Ay?q=//z', '/v1beta/x%3Ay?q=//z', 'a@b.c', null],
    ['/agents/amy/sessions/s-1/record/v1beta/x', '/v1beta/x', 'amy', 's-1'],
    ['/sessions/s-1/record/v1beta/x', '/v1beta/x', null, 's-1'],
    ['/sessions/s-1/history', '/sessions/s-1/history', null, null],
    ['/sessions/s-1/recording', '/sessions/s-1/recording', null, null],
    ['/v1beta/agents/amy/v1', '/v1beta/agents/amy/v1', null, null],
    ['/agents/amy', '/', 'amy', null],
    ['/agents/amy?x=1', '/?x=1', 'amy', null],
  ];
  for (const [raw, path, agentName, sessionName] of cases) {
    t.strictSame(stripPrefixes(raw), { path, agentName, sessionName }, raw);
  }
});

t.test(
  'a name that is empty, long, foreign or a directory is refused with its field',
  async (t) => {
    for (const name of ['', 'a'.repeat(65), 'a%20b', 'a%2Fb', '%zz', '..', '.', '%C3%A4']) {
      const agent = refusal(() => stripPrefixes(`/agents/${name}/v1beta/x`));
      t.equal(agent.reason, 'BAD_REQUEST', name);
      t.match(agent.where, /agent name/);
      t.match(
        refusal(() => stripPrefixes(`/sessions/${name}/record/v1beta/x`)).message,
        /session name.*1 to 64/,
      );
    }
    t.ok(isGeminiPath('/agents/a%20b/v1beta/x'), 'the question itself never throws');
  },
);

t.test('Gemini paths are those of the API and nothing else', async (t) => {
  for (const path of [
    '/v1/models',
    '//v1beta/models',
    '/v1alpha/auth_tokens',
    '/upload/v1beta/files',
    '/download/v1beta/files/x:download',
    '/ws/x',
    '/agents/amy/v1beta/x',
    '/agents/amy/sessions/s/record/v1/x',
  ]) {
    t.ok(isGeminiPath(path), path);
  }
  for (const path of ['/', '/status', '/sessions', '/sessions/v1/', '/v2/x', '/v1', '/x/v1/', '']) {
    t.notOk(isGeminiPath(path), path);
  }
});

t.test('counted calls are known by their path, whatever its encoding', async (t) => {
  const cases: [string, Partial<ReturnType<typeof classify>>][] = [
    [
      '/v1beta/models/gemini-2.5-pro:generateContent?key=x',
      {
        counted: true,
        method: 'generateContent',
        model: 'gemini-2.5-pro',
        modelIn: 'path',
        streams: 'no',
        surface: 'gemini',
        resendable: true,
      },
    ],
    ['/v1/models/m%3AstreamGenerateContent?alt=sse', { streams: 'sse', model: 'm' }],
    ['/v1/models%2Fm:streamGenerateContent?key=a&%24alt=sse', { streams: 'sse', model: 'm' }],
    ['/v1/models/m:streamGenerateContent?alt=json', { streams: 'array', resendable: true }],
    ['/v1//models/m:generateContent/', { counted: true, model: 'm' }],
    ['/v1alpha/models/m:embedContent', { method: 'embedContent', counted: true }],
    ['/v1beta/models/m:batchEmbedContents', { method: 'batchEmbedContents', counted: true }],
    ['/v1beta/models/m:predict', { counted: true, resendable: false }],
    ['/v1beta/models/m:predictLongRunning', { counted: true, resendable: false }],
    ['/v1beta/tunedModels/m:generateContent', { counted: true, model: 'tunedModels/m' }],
    ['/v1/publishers/google/models/m:generateContent', { counted: true, model: 'm' }],
    ['/v1beta/interactions', { method: 'interactions', modelIn: 'body', streams: 'body' }],
    ['/v1beta/openai/chat/completions', { method: 'chat.completions', surface: 'openai' }],
    ['/v1beta/openai/embeddings', { method: 'embeddings', model: null, modelIn: 'body' }],
    ['/v1beta/openai/images/generations', { method: 'images.generations', counted: true }],
  ];
  for (const [path, expected] of cases) t.match(classify('POST', path), expected, path);
  const live =
    '/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=x';
  t.match(classify('GET', live), { counted: true, method: 'live', modelIn: 'none' });
});

t.test('everything else passes without taking quota', async (t) => {
  for (const [method, path] of [
    ['POST', '/v1beta/models/m:countTokens'],
    ['POST', '/v1beta/models/m:batchGenerateContent'],
    ['GET', '/v1beta/models/m:generateContent'],
    ['GET', '/v1beta/models'],
    ['GET', '/v1beta/interactions/abc'],
    ['POST', '/v1beta/interactions/abc/cancel'],
    ['POST', '/upload/v1beta/files'],
    ['POST', '/v1beta/cachedContents'],
    ['POST', '/v1beta/openai/files'],
    ['POST', '/v1beta/%zz'],
  ] as const) {
    t.match(classify(method, path), { counted: false, method: 'pass', surface: 'pass' }, path);
  }
});

t.test('a counted path without a proper model is refused with the path and the fix', async (t) => {
  for (const [path, reason] of [
    ['/v1beta/models/:generateContent', 'MODEL_MISSING'],
    ['/v1beta/models:generateContent', 'MODEL_MISSING'],
    ['/v1beta/:generateContent', 'MODEL_MISSING'],
    ['/v1beta/models/%20:generateContent', 'MODEL_MISSING'],
    ['/v1beta/gemini-2.5-pro:generateContent', 'BAD_REQUEST'],
    ['/v1beta/models/models/m:generateContent', 'BAD_REQUEST'],
    ['/v1beta/models/a%20b:generateContent', 'BAD_REQUEST'],
    ['/v1beta/models/a%0A:generateContent', 'BAD_REQUEST'],
  ] as const) {
    const error = refusal(() => classify('POST', path));
    t.equal(error.reason, reason, path);
    t.ok(error.message.includes(path));
    t.match(error.message, /write \/v1beta\/models\/MODEL:generateContent/);
  }
});

t.test('clients are recognised, with the patience they have', async (t) => {
  const cases: [string, string, string, number | null][] = [
    ['google-genai-sdk/3.1.0 gl-node/v22.1', '', 'genai-js', null],
    ['google-genai-sdk/2.31.0 gl-node/v22.1', '', 'genai-js', 270_000],
    ['google-genai-sdk/1.30.0 gl-node/v20', '', 'genai-js', 270_000],
    ['google-genai-sdk/2.25.0 gl-python/3.11', '', 'genai-python', null],
    ['speakeasy-sdk/python 1.0', '', 'genai-python', null],
    ['google-genai-sdk/1.69.0 gl-go/go1.25', '', 'genai-go', null],
    ['google-genai-sdk/1.43.0 gl-java/21', '', 'genai-java', null],
    ['GeminiCLI/0.61.0/m (linux)', 'google-genai-sdk/1.30.0 gl-node/v20', 'gemini-cli', 50_000],
    ['GeminiCLI-vscode/0.61.0/m', '', 'gemini-cli', 50_000],
    ['node', 'genai-js/0.24.1', 'generative-ai-js', 270_000],
    ['ai-sdk-google/4.0.121 ai-sdk-provider-utils/5', '', 'ai-sdk', 270_000],
    ['ai/5 ai-sdk/google/2.0', '', 'ai-sdk', 270_000],
    ['langchain-google-genai/4.4.0-ChatGoogleGenerativeAI', '', 'langchain', null],
    ['langchainjs/1.0', '', 'langchain', 270_000],
    ['OpenAI/JS 7.57.0', '', 'openai-js', 270_000],
    ['AsyncOpenAI/Python 2.1', '', 'openai-python', 570_000],
    ['litellm/1.80', '', 'litellm', null],
    ['curl/8.5', '', 'curl', null],
    ['node', '', 'node', 270_000],
    ['Mozilla/5.0', '', 'other', null],
    ['', '', 'other', null],
  ];
  for (const [agent, sdk, family, holdMsMax] of cases) {
    const headers = ['User-Agent', agent, 'x-goog-api-client', sdk];
    t.match(detectClient(headers), { family, holdMsMax }, agent);
  }
});

t.test(
  'what a client says of its own timeout and retries is believed when it is a number',
  async (t) => {
    const said = [
      'X-Server-Timeout',
      '90',
      'x-stainless-timeout',
      '60.5',
      'x-stainless-retry-count',
      '2',
    ];
    t.match(detectClient(said), { serverTimeoutMs: 60_500, retryCount: 2 });
    t.match(detectClient([]), { serverTimeoutMs: null, retryCount: 0 });
    const bad = [
      'X-Server-Timeout',
      '-1',
      'x-stainless-timeout',
      'NaN',
      'x-stainless-retry-count',
      'x',
    ];
    t.match(detectClient(bad), { serverTimeoutMs: null, retryCount: 0 });
  },
);

t.test('only end-to-end headers of a request go on, in order and as written', async (t) => {
  t.strictSame(
    endToEnd(
      [
        'Host',
        'h',
        'Connection',
        'close, X-Hop',
        'X-Hop',
        '1',
        'Keep-Alive',
        '5',
        'TE',
        'x',
        'Proxy-Authorization',
        'p',
        'Content-Length',
        '3',
        'Expect',
        '100-continue',
        'X-Forwarded-For',
        'f',
        'Forwarded',
        'f',
        'X-Headgate-Agent',
        'a',
        'cookie',
        '',
        'X-Goog-Api-Key',
        'k',
        'Accept',
        'a',
        'accept',
        'b',
        'Transfer-Encoding',
        'chunked',
      ],
      'request',
    ),
    ['X-Goog-Api-Key', 'k', 'Accept', 'a', 'accept', 'b'],
  );
  t.strictSame(endToEnd(['Cookie', 'a=b'], 'request'), ['Cookie', 'a=b']);
});

t.test('an answer keeps its length and loses what points past the proxy', async (t) => {
  t.strictSame(
    endToEnd(
      [
        'Content-Length',
        '3',
        'Alt-Svc',
        'h3=":443"',
        'Strict-Transport-Security',
        'x',
        'Transfer-Encoding',
        'chunked',
        'connection',
        'keep-alive',
        'set-cookie',
        'a',
      ],
      'response',
    ),
    ['Content-Length', '3', 'set-cookie', 'a'],
  );
});

t.test('a header is set once, in place, and removed by null', async (t) => {
  const headers = ['A', '1', 'B', '2', 'a', '3'];
  t.strictSame(setHeader(headers, 'a', 'x'), ['A', 'x', 'B', '2']);
  t.strictSame(setHeader(headers, 'c', 'x'), [...headers, 'c', 'x']);
  t.strictSame(setHeader(headers, 'a', null), ['B', '2']);
  t.equal(headerValue(headers, 'A'), '1');
  t.equal(headerValue(headers, 'z'), null);
});
