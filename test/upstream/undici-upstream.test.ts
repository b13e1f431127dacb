import { createServer, type RequestListener } from 'node:http';
import { createServer as createNetServer, type Socket } from 'node:net';
import { PassThrough, Readable } from 'node:stream';

import t, { type Test } from 'tap';

import { ProxyError } from '../../src/errors.ts';
import type { UpstreamCall, UpstreamRequest } from '../../src/exchange/upstream.ts';
import { createUpstream } from '../../src/upstream/undici-upstream.ts';
import { bodyOf, deferred, listen } from '../support/loopback.ts';

const REQUEST: Omit<UpstreamRequest, 'baseUrl'> = {
  method: 'POST',
  path: '/v1beta/models/m:generateContent?alt=sse&key=k',
  headers: [],
  body: null,
  bodyBytes: null,
  headersTimeoutMs: 0,
  bodyTimeoutMs: 0,
};

/** Everything a call reported, in order. */
class Collected {
  readonly events: string[] = [];
  status = 0;
  headers: readonly string[] = [];
  readonly chunks: Buffer[] = [];
  failure: Error | null = null;
  readonly #ended = deferred();
  readonly #head = deferred();
  onChunk: ((chunk: Buffer) => void) | null = null;

  sent(): void {
    this.events.push('sent');
  }
  head(status: number, headers: readonly string[]): void {
    this.events.push('head');
    this.status = status;
    this.headers = headers;
    this.#head.resolve();
  }
  data(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.onChunk?.(chunk);
  }
  end(): void {
    this.events.push('end');
    this.#ended.resolve();
  }
  error(error: Error): void {
    this.events.push('error');
    this.failure = error;
    this.#ended.resolve();
  }
  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }
  get ended(): Promise<void> {
    return this.#ended.promise;
  }
  get headCame(): Promise<void> {
    return this.#head.promise;
  }
}

async function serveHttp(
  t: Test,
  listener: (...args: Parameters<RequestListener>) => unknown,
): Promise<string> {
  const server = createServer((request, response) => void listener(request, response));
  const port = await listen(server);
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${port}`;
}

async function serveRaw(t: Test, onSocket: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createNetServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    onSocket(socket);
  });
  const port = await listen(server);
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${port}`;
}

function start(t: Test, baseUrl: string, request: Partial<UpstreamRequest> = {}) {
  const upstream = createUpstream();
  t.teardown(() => upstream.close());
  const collected = new Collected();
  const call: UpstreamCall = upstream.send({ ...REQUEST, baseUrl, ...request }, collected);
  return { collected, call, upstream };
}

t.test('what goes out is what was handed over, byte for byte', async (t) => {
  const body = [Buffer.from('{"a":"\u00e4'), Buffer.alloc(300_000, 0xff), Buffer.from('"}')];
  const bodyBytes = body.reduce((sum, chunk) => sum + chunk.length, 0);
  let seen: { url: string; headers: string[]; body: Buffer } | null = null;
  const url = await serveHttp(t, async (request, response) => {
    seen = { url: request.url ?? '', headers: request.rawHeaders, body: await bodyOf(request) };
    response.end();
  });
  const { collected } = start(t, `${url}/base`, {
    headers: ['X-Case', 'kept', 'x-twice', '1', 'x-twice', '2', 'x-latin', 'caf\u00e9'],
    body,
    bodyBytes,
  });
  await collected.ended;
  t.strictSame(collected.events, ['sent', 'head', 'end']);
  t.ok(seen);
  const { url: path, headers, body: bytes } = seen!;
  t.equal(path, '/base/v1beta/models/m:generateContent?alt=sse&key=k');
  t.ok(bytes.equals(Buffer.concat(body)));
  const text = JSON.stringify(headers);
  t.match(text, '"X-Case","kept","x-twice","1","x-twice","2","x-latin","caf\u00e9"');
  t.match(text, `"content-length","${bodyBytes}"`);
  t.notMatch(text, /transfer-encoding/i);
});

t.test(
  'what comes back is what the server sent, with duplicate headers and their case',
  async (t) => {
    const url = await serveRaw(t, (socket) => {
      socket.once('data', () =>
        socket.end(
          Buffer.from(
            'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n' +
              'HTTP/1.1 203 Odd\r\nSet-Cookie: a\r\nsEt-CoOkIe: b\r\nX-Latin: caf\u00e9\r\nContent-Length: 4\r\n\r\n\x00\xff\r\n',
            'latin1',
          ),
        ),
      );
    });
    const { collected } = start(t, url, { method: 'GET' });
    await collected.ended;
    t.equal(collected.status, 203);
    t.strictSame(collected.headers, [
      'Set-Cookie',
      'a',
      'sEt-CoOkIe',
      'b',
      'X-Latin',
      'caf\u00e9',
      'Content-Length',
      '4',
    ]);
    t.equal(collected.text, '\x00\xff\r\n');
  },
);

t.test('a chunk is passed on before the next one is sent', async (t) => {
  const server: { finish?: () => void } = {};
  const url = await serveHttp(t, (_request, response) => {
    response.write('data: one\r\n\r\n');
    server.finish = () => void response.end('data: two\r\n\r\n');
  });
  const { collected } = start(t, url);
  // The server withholds the second chunk until the first has been seen here.
  collected.onChunk = () => server.finish?.();
  await collected.ended;
  t.strictSame(
    collected.chunks.map((chunk) => chunk.toString()),
    ['data: one\r\n\r\n', 'data: two\r\n\r\n'],
  );
});

t.test('an aborted call is seen by the server and reports once', async (t) => {
  const closed = deferred();
  const url = await serveHttp(t, (_request, response) => {
    response.on('close', () => closed.resolve());
    response.write('x');
  });
  const { collected, call } = start(t, url);
  collected.onChunk = () => call.abort();
  await collected.ended;
  await closed.promise;
  call.abort();
  t.strictSame(collected.events, ['sent', 'head', 'error']);
});

t.test('a call aborted before it is connected never reaches the server', async (t) => {
  let requests = 0;
  const url = await serveHttp(t, (_request, response) => {
    requests += 1;
    response.end();
  });
  const { collected, call, upstream } = start(t, url);
  call.abort();
  await collected.ended;
  t.strictSame(collected.events, ['error']);
  const second = new Collected();
  upstream.send({ ...REQUEST, baseUrl: url }, second);
  await second.ended;
  t.equal(second.status, 200);
  t.equal(requests, 1);
});

t.test('a paused call holds the server back, and resumes without loss', async (t) => {
  const chunk = Buffer.alloc(1024 * 1024, 7);
  const total = 32 * chunk.length;
  const url = await serveHttp(t, (_request, response) => {
    Readable.from(Array.from({ length: 32 }, () => chunk)).pipe(response);
  });
  const { collected, call, upstream } = start(t, url);
  const bytes = (): number => collected.chunks.reduce((sum, { length }) => sum + length, 0);
  collected.onChunk = () => call.pause();
  await collected.headCame;
  // Another answer of the same length comes through whole meanwhile.
  const other = new Collected();
  upstream.send({ ...REQUEST, baseUrl: url }, other);
  await other.ended;
  t.ok(bytes() < 1024 * 1024, 'the paused one has stood still');
  collected.onChunk = null;
  call.resume();
  await collected.ended;
  t.equal(bytes(), total);
  t.strictSame(collected.events, ['sent', 'head', 'end']);
});

t.test('an interim 100 Continue is not taken for the answer', async (t) => {
  const url = await serveHttp(t, (request, response) => {
    response.writeProcessing();
    request.pipe(response);
  });
  const { collected } = start(t, url, { body: [Buffer.from('hello')], bodyBytes: 5 });
  await collected.ended;
  t.strictSame(collected.events, ['sent', 'head', 'end']);
  t.equal(collected.text, 'hello');
});

t.test('a stream of unknown length is sent chunked, one of known length with it', async (t) => {
  const seen: string[][] = [];
  const client: { finish?: () => void } = {};
  const url = await serveHttp(t, (request, response) => {
    seen.push(request.rawHeaders);
    client.finish?.();
    request.pipe(response);
  });
  for (const bodyBytes of [null, 5]) {
    const stream = new PassThrough();
    client.finish = () => void stream.end('llo');
    const { collected } = start(t, url, { body: stream, bodyBytes });
    stream.write('he');
    await collected.ended;
    t.equal(collected.text, 'hello');
  }
  t.match(JSON.stringify(seen[0]), '"transfer-encoding","chunked"');
  t.match(JSON.stringify(seen[1]), '"content-length","5"');
});

t.test('no answer becomes an error that says why', async (t) => {
  const closed = await serveHttp(t, () => {});
  const gone = createNetServer();
  const refusedPort = await listen(gone);
  gone.close();
  const reset = await serveRaw(t, (socket) => socket.once('data', () => socket.resetAndDestroy()));
  const hangsUp = await serveRaw(t, (socket) => socket.once('data', () => socket.end()));
  const cases = [
    { url: `http://127.0.0.1:${refusedPort}`, reason: 'UPSTREAM_UNREACHABLE', says: /refused/ },
    { url: reset, reason: 'UPSTREAM_UNREACHABLE', says: /reset/ },
    { url: hangsUp, reason: 'UPSTREAM_UNREACHABLE', says: /closed/ },
    { url: closed, reason: 'UPSTREAM_TIMEOUT', says: /in time/ },
  ];
  await Promise.all(
    cases.map(async ({ url, reason, says }) => {
      const { collected } = start(t, url, { headersTimeoutMs: 400 });
      await collected.ended;
      t.ok(collected.failure instanceof ProxyError, url);
      t.match(collected.failure, { reason, message: says, cause: Error });
      t.notOk(collected.events.includes('head'));
    }),
  );
});

t.test('an answer cut short is an error after its head', async (t) => {
  const reset = await serveRaw(t, (socket) =>
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf', () =>
        socket.resetAndDestroy(),
      );
    }),
  );
  const short = await serveRaw(t, (socket) =>
    socket.once('data', () => {
      socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n');
    }),
  );
  const stalled = await serveRaw(t, (socket) =>
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf')),
  );
  for (const url of [reset, short, stalled]) {
    const { collected } = start(t, url, { bodyTimeoutMs: 400 });
    await collected.ended;
    t.strictSame(collected.events, ['sent', 'head', 'error']);
    t.notOk(collected.failure instanceof ProxyError);
  }
});

t.test('one upstream serves several origins and leaves no connection when closed', async (t) => {
  const urls = await Promise.all(
    ['a', 'b'].map((name) => serveHttp(t, (_request, response) => void response.end(name))),
  );
  const upstream = createUpstream({ connections: 2 });
  const calls = urls.flatMap((baseUrl) =>
    Array.from({ length: 4 }, () => {
      const collected = new Collected();
      upstream.send({ ...REQUEST, baseUrl }, collected);
      return collected;
    }),
  );
  await upstream.close();
  t.equal(calls.map((call) => call.text).join(''), 'aaaabbbb', 'running calls were waited for');
  const late = new Collected();
  upstream.send({ ...REQUEST, baseUrl: urls[0]! }, late);
  await late.ended;
  t.match(late.failure, { reason: 'UPSTREAM_UNREACHABLE' });
});
