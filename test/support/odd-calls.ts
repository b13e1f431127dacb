import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { generate, MODEL } from './gate.ts';

/** One odd but legal exchange. What is not said is what a plain client and server would do. */
export interface OddCall {
  readonly method?: string;
  readonly path?: string;
  /** Whole header lines. */
  readonly headers?: readonly string[];
  readonly body?: string | Buffer;
  /** Sent chunked, in these pieces. */
  readonly chunks?: readonly string[];
  /** After the last chunk; they belong to the hop's framing, which is not kept. */
  readonly trailers?: string;
  readonly version?: '1.0' | '1.1';
  readonly answer?: OddAnswer;
}

export interface OddAnswer {
  readonly status?: string;
  readonly headers?: readonly string[];
  readonly body?: string | Buffer;
  readonly chunks?: readonly (string | Buffer)[];
  /** Neither length nor chunks: the end of the connection ends it. */
  readonly untilClose?: boolean;
  readonly version?: '1.0' | '1.1';
  /** Sent before the status line. */
  readonly before?: string;
}

export const GENERATE = generate(MODEL);
const STREAM = `/v1beta/models/${MODEL}:streamGenerateContent`;
const SSE = `${STREAM}?alt=sse`;
const CHAT = '/v1beta/openai/chat/completions';
const UPLOAD = '/upload/v1beta/files?upload_id=AbC-_9&upload_protocol=resumable';
const TEXT = '{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}';
const CHAT_TEXT = `{"model":"${MODEL}","messages":[{"role":"user","content":"Hi"}]}`;
export const CHUNK =
  '{"candidates":[{"content":{"parts":[{"text":"\\u00fc ü"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,"totalTokenCount":3}}';
const EVENT = `data: ${CHUNK}\r\n\r\n`;
export const JSON_TYPE = 'Content-Type: application/json; charset=UTF-8';
const SSE_TYPE = 'Content-Type: text/event-stream';
const GZIP = 'Content-Encoding: gzip';
export const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
/** A refusal that waiting cannot help within any client's patience. */
const REJECTION =
  '[{\n  "error": {"code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]}\n}]\n';

/** By what is odd about them. */
export const ODD_CALLS: Readonly<Record<string, OddCall>> = {
  // The request target.
  'a colon as %3A': { path: GENERATE.replace(':', '%3A'), body: TEXT },
  'a slash as %2f': { path: GENERATE.replace('models/', 'models%2f'), body: TEXT },
  'an escaped letter': { path: GENERATE.replace('gemini', '%67emini'), body: TEXT },
  'doubled slashes': { path: GENERATE.replace('/models', '//models'), body: TEXT },
  'a trailing slash': { path: '/v1beta/models/' },
  'dot segments': { path: '/v1beta/files/../models/./x' },
  'an empty query': { path: `${GENERATE}?`, body: TEXT },
  'a key twice in the query': { path: `${GENERATE}?key=a&key=b`, body: TEXT },
  'an empty key, and a name without value': { path: '/v1beta/models?key=&pageToken&=&&x' },
  'what a query need not escape': { path: '/v1beta/models?$fields=a(b,c)&q=\'~!*;:@/?[]|{}^`"' },
  'an escape that is none': { path: '/v1beta/files/%zz%?x=%' },
  'a plus and an escaped plus': { path: '/v1beta/files?pageToken=a+b%2Bc%20d' },
  'a very long path': { path: `/v1beta/files/${'a'.repeat(12_000)}` },
  'a very long query': { path: `${GENERATE}?x=${'b'.repeat(12_000)}`, body: TEXT },
  'version v1': { path: GENERATE.replace('v1beta', 'v1'), body: TEXT },
  'version v1alpha': { path: GENERATE.replace('v1beta', 'v1alpha'), body: TEXT },
  'a path that nobody knows': { path: '/v1beta/never/heard:of?it=1', body: TEXT },
  'a tuned model': { path: '/v1beta/tunedModels/mine-1:generateContent', body: TEXT },
  // Methods.
  HEAD: { method: 'HEAD', path: '/v1beta/models', answer: { headers: ['Content-Length: 42'] } },
  OPTIONS: {
    method: 'OPTIONS',
    path: GENERATE,
    headers: ['Access-Control-Request-Method: POST'],
    answer: { headers: ['Access-Control-Allow-Origin: *', 'Allow: GET, POST'], body: '' },
  },
  PUT: { method: 'PUT', path: '/upload/v1beta/environments/e/files/a%20b', body: '\0\x01' },
  PATCH: { method: 'PATCH', path: '/v1beta/cachedContents/x?updateMask=ttl', body: '{"ttl":"9s"}' },
  DELETE: { method: 'DELETE', path: '/v1beta/files/x?force=true', answer: { body: '{}\n' } },
  'DELETE with a body': { method: 'DELETE', path: '/v1beta/files/x', body: '{}' },
  'GET with a body': { method: 'GET', path: '/v1beta/files', body: '{"a":1}' },
  'a method from WebDAV': { method: 'PROPFIND', path: '/v1beta/files', body: '<x/>' },
  'a POST without a body': { method: 'POST', path: '/v1beta/batches/b:cancel' },
  'a POST of no bytes': { method: 'POST', path: UPLOAD, body: '' },
  // Headers of requests.
  'spelling, order and duplicates': {
    headers: ['X-b: 2', 'x-A: 1', 'X-B: 3', 'aCCept: */*', 'Accept: text/html', 'x-a: 1'],
    body: TEXT,
  },
  'a value in Latin-1': { headers: ['X-Name: caf\xe9 \xff'], body: TEXT },
  'a value in UTF-8': { headers: [`X-Name: ${Buffer.from('日本').toString('latin1')}`] },
  'an empty value, spaces and tabs': { headers: ['X-Empty:', 'X-Padded: \t a \t b  '], body: TEXT },
  'cookies twice': { headers: ['Cookie: a=1; b=2', 'cookie: c=3'], body: TEXT },
  'an empty cookie': { headers: ['cookie:', 'X-After: 1'], body: TEXT },
  'huge headers': { headers: [`X-Huge: ${'h'.repeat(40_000)}`], body: TEXT },
  'many headers': { headers: Array.from({ length: 200 }, (_, n) => `X-${n}: ${n}`), body: TEXT },
  'headers of Google': {
    headers: [
      'x-goog-api-client: genai-js/1 gl-node/20',
      'x-goog-user-project: p',
      'x-goog-request-params: model=models%2Fx',
      'X-Server-Timeout: 60',
      'api-revision: 2026-05-20',
      'X-HTTP-Method-Override: GET',
    ],
    body: TEXT,
  },
  'two credentials': {
    headers: ['Authorization: Bearer ya29.x'],
    path: `${GENERATE}?key=q`,
    body: TEXT,
  },
  'ranges and conditions': {
    path: '/v1beta/files/x:download?alt=media',
    headers: ['Range: bytes=2-4', 'If-None-Match: W/"x"', 'If-Modified-Since: yesterday'],
    answer: { status: '206 Partial Content', headers: ['Content-Range: bytes 2-4/9'], body: 'cde' },
  },
  'a field that connection names': {
    headers: ['Connection: close, X-Hop', 'X-Hop: 1'],
    body: TEXT,
  },
  'an offer to upgrade': {
    headers: ['Connection: close, Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AA'],
    body: TEXT,
  },
  // Bodies of requests.
  'a chunked body': { chunks: [TEXT.slice(0, 7), TEXT.slice(7, 8), TEXT.slice(8)] },
  'a chunked upload': { path: UPLOAD, chunks: ['\0', '\r\n', '\xff'] },
  trailers: {
    chunks: [TEXT],
    headers: ['Trailer: X-Sum', 'TE: trailers'],
    trailers: 'X-Sum: 1\r\n',
  },
  'a body that asks first': { headers: ['Expect: 100-continue'], body: TEXT },
  'an upload that asks first': { headers: ['Expect: 100-continue'], path: UPLOAD, body: 'abc' },
  'HTTP/1.0': { version: '1.0', body: TEXT, answer: { chunks: [CHUNK] } },
  'a byte order mark': { body: `\xef\xbb\xbf${TEXT}` },
  'white space around': { body: `\r\n\t ${TEXT} \r\n\n\t` },
  'NUL in strings, escaped and bare': { body: TEXT.replace('Hi', 'a\\u0000b\0c') },
  'a name twice': { body: TEXT.replace('{', '{"contents":[],"x":1,"x":2,') },
  'invalid UTF-8': { body: TEXT.replace('Hi', '\xff\xfe\xc3\xed\xa0\x80') },
  'half a surrogate pair': { body: TEXT.replace('Hi', '\\ud83d \\udc00\\ud83d') },
  'numbers of any size': {
    body: TEXT.replace('{', '{"n":[1e400,-0,123456789012345678901,1.0e-9],'),
  },
  'snake case and unknown fields': {
    body: '{"system_instruction":{"parts":[]},"no_such":{},"contents":[]}',
  },
  'an empty object': { body: '{}' },
  'text/plain': { headers: ['Content-Type: text/plain;charset=UTF-8'], body: TEXT },
  'another charset': {
    headers: ['content-type: application/json; charset="utf-8"; x=y'],
    body: TEXT,
  },
  'two content types': { headers: ['Content-Type: a/b', 'Content-Type: c/d'], body: TEXT },
  'a form': {
    path: '/v1beta/files',
    headers: ['Content-Type: application/x-www-form-urlencoded'],
    body: 'a=1&b=%32',
  },
  multipart: {
    path: '/upload/v1beta/files?uploadType=multipart',
    headers: ['Content-Type: multipart/related; boundary="a b"'],
    body: '--a b\r\nContent-Type: x/y\r\n\r\n{}\r\n--a b--',
  },
  'a body in gzip': { headers: [GZIP], body: gzipSync(TEXT) },
  'a body in deflate': { headers: ['content-encoding: Deflate'], body: deflateSync(TEXT) },
  'a body in bare deflate': { headers: ['content-encoding: deflate'], body: deflateRawSync(TEXT) },
  'a body in Brotli': {
    path: CHAT,
    headers: ['Content-Encoding: br'],
    body: brotliCompressSync(CHAT_TEXT),
  },
  'a body in an unknown coding': {
    headers: ['Content-Encoding: x-rot13'],
    body: '{"pbagragf":[]}',
  },
  'a body coded as itself': { headers: ['Content-Encoding: identity'], body: TEXT },
  'two members of gzip, and what follows': {
    headers: [GZIP],
    body: Buffer.concat([gzipSync(TEXT.slice(0, 9)), gzipSync(TEXT.slice(9)), Buffer.alloc(9)]),
  },
  // Status lines and headers of answers.
  '204': { method: 'DELETE', path: '/v1beta/files/x', answer: { status: '204 No Content' } },
  '304': { path: '/v1beta/files', answer: { status: '304 Not Modified', headers: ['ETag: "x"'] } },
  '302': {
    path: '/v1beta/files/x:download',
    answer: { status: '302 Found', headers: ['Location: /elsewhere?a=b%20c'], body: 'there' },
  },
  '201 of no bytes': { path: UPLOAD, body: 'x', answer: { status: '201 Created', body: '' } },
  '400': {
    body: '{"contents":3}',
    answer: { status: '400 Bad Request', body: '{\n "error": {} }\n' },
  },
  '404 in HTML': {
    path: '/v1beta/nowhere',
    answer: { status: '404 Not Found', headers: ['Content-Type: text/html'], body: '<p>404' },
  },
  '418': { body: TEXT, answer: { status: "418 I'm a teapot", body: 'short and stout' } },
  '429 in an array': {
    path: generate('gemini-a'),
    body: TEXT,
    answer: { status: '429 Too Many Requests', headers: ['Retry-After: 7'], body: REJECTION },
  },
  '429 in OpenAI’s paths': {
    path: CHAT,
    body: CHAT_TEXT.replace(MODEL, 'gemini-b'),
    answer: {
      status: '429 Too Many Requests',
      chunks: [REJECTION.slice(0, 50), REJECTION.slice(50)],
    },
  },
  '429 in gzip': {
    path: generate('gemini-c'),
    body: TEXT,
    answer: { status: '429 Too Many Requests', headers: [GZIP], body: gzipSync(REJECTION) },
  },
  '499': { body: TEXT, answer: { status: '499 Client Closed', body: '{}' } },
  '503': {
    body: TEXT,
    answer: {
      status: '503 Service Unavailable',
      headers: ['Retry-After: 1'],
      body: '{"error":{"code":503}}',
    },
  },
  '599': { body: TEXT, answer: { status: '599 Whatever', body: '\0' } },
  'a status that comes after others': {
    body: TEXT,
    answer: {
      before: 'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n',
      body: CHUNK,
    },
  },
  'spelling, order and duplicates in an answer': {
    body: TEXT,
    answer: {
      headers: [
        'X-b: 2',
        'Set-Cookie: a=1',
        'x-A: 1',
        'set-cookie: b=2',
        'X-B: 3',
        'Vary: Origin',
        'Vary: Referer',
      ],
      body: CHUNK,
    },
  },
  'Latin-1, empty and padded values in an answer': {
    body: TEXT,
    answer: { headers: ['X-Name: caf\xe9', 'X-Empty:', 'X-Padded:  \t a  b\t'], body: CHUNK },
  },
  'huge headers in an answer': {
    body: TEXT,
    answer: { headers: [`X-Huge: ${'h'.repeat(40_000)}`], body: CHUNK },
  },
  'where else it can be had': {
    body: TEXT,
    answer: {
      headers: ['Alt-Svc: h3=":443"', 'Strict-Transport-Security: max-age=9', 'X-After: 1'],
      body: CHUNK,
    },
  },
  'no headers at all': { path: '/v1beta/files', answer: { untilClose: true, body: 'x' } },
  'a date that is not now': {
    body: TEXT,
    answer: {
      headers: [
        'Date: Thu, 01 Jan 1970 00:00:00 GMT',
        'Server: scaffolding on HTTPServer2',
        'Age: 0',
      ],
      body: CHUNK,
    },
  },
  // Bodies of answers.
  'events with odd splits': {
    path: SSE,
    body: TEXT,
    answer: {
      headers: [SSE_TYPE],
      chunks: [
        ': hi\n',
        EVENT.slice(0, 3),
        EVENT.slice(3, -3),
        '\r',
        '\n',
        '\r\n',
        EVENT.replaceAll('\r', ''),
        'id: 1\revent: x\rdata:\r\r',
        EVENT.trimEnd(),
      ],
    },
  },
  'events of a fixed length': {
    path: SSE,
    body: TEXT,
    answer: { headers: [SSE_TYPE], body: EVENT },
  },
  'events until the end of the connection': {
    path: SSE,
    body: TEXT,
    answer: { headers: [SSE_TYPE], body: EVENT, untilClose: true, version: '1.0' },
  },
  'events in gzip': {
    path: SSE,
    body: TEXT,
    answer: {
      headers: [SSE_TYPE, GZIP],
      chunks: [gzipSync(EVENT).subarray(0, 20), gzipSync(EVENT).subarray(20)],
    },
  },
  'an array in pieces': {
    path: STREAM,
    body: TEXT,
    answer: { chunks: ['[', CHUNK, '\r\n', `,${CHUNK}`, '\n]\n'] },
  },
  'events of OpenAI': {
    path: CHAT,
    body: CHAT_TEXT.replace('{', '{"stream":true,'),
    answer: { headers: [SSE_TYPE], chunks: ['data: {"choices":[]}\n\n', 'data: [DONE]\n\n'] },
  },
  'an answer in gzip': {
    body: TEXT,
    headers: ['Accept-Encoding: gzip, br;q=0.5, *;q=0'],
    answer: { headers: [GZIP], body: gzipSync(CHUNK) },
  },
  'an answer in Brotli': {
    body: TEXT,
    answer: { headers: ['content-encoding: br'], chunks: [brotliCompressSync(CHUNK)] },
  },
  'an answer in an unknown coding': {
    body: TEXT,
    answer: { headers: ['Content-Encoding: zstd, x'], body: '(\xb5/\xfd' },
  },
  'an answer that is not what it says': { body: TEXT, answer: { headers: [GZIP], body: CHUNK } },
  'no answer body': { body: TEXT, answer: { body: '' } },
  'no answer body, in chunks': { body: TEXT, answer: { chunks: [] } },
  'an answer that is no JSON': { body: TEXT, answer: { body: '\xff\0{"usageMetadata":' } },
  'a file': {
    path: '/download/v1beta/files/x:download?alt=media',
    answer: {
      headers: ['Content-Type: video/mp4', 'Content-Disposition: attachment; filename="\xe9.mp4"'],
      body: latin1('\0\x01\xfe\xff'.repeat(30_000)),
    },
  },
};
