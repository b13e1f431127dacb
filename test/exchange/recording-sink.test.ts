import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { ExchangeRecord, InboundCall, ReplySink } from '../../src/exchange/call.ts';
import { Exchange } from '../../src/exchange/exchange.ts';
import type { KeptExchange, UnkeptExchange } from '../../src/exchange/recording-sink.ts';
import type { Settings } from '../../src/exchange/settings.ts';
import type { UpstreamHandler } from '../../src/exchange/upstream.ts';
import { BodyScanner } from '../../src/gemini/body-scan.ts';
import { classify } from '../../src/gemini/route.ts';
import { ProxyError } from '../../src/errors.ts';
import { Calibration } from '../../src/quota/calibration.ts';
import { Scheduler } from '../../src/queue/scheduler.ts';
import { openConfined } from '../../src/sessions/confined-directory.ts';
import { headgateReader } from '../../src/sessions/readers/headgate.ts';
import { Recorder } from '../../src/sessions/recording/recorder.ts';
import { memoryLedgerUnderTest } from '../support/ledgers.ts';
import { deferred } from '../support/loopback.ts';
import type { ManualClock } from '../support/manual-clock.ts';
import { rulesWith } from '../support/quota-samples.ts';

const SETTINGS: Settings = {
  upstreamBaseUrl: 'http://upstream',
  upstreamApiKey: null,
  projectOf: () => 'p',
  resolveAlias: (model) => model,
  rules: () => rulesWith([]),
  tokenMargin: 1,
  countsOutput: false,
  mode: 'enforce',
  queue: { depthMax: 9, depthPerAgentMax: 9, bytesMax: 1e9, waitMsMax: 60_000, drainMs: 1 },
  price: () => 0,
};
const GENERATE = '/v1beta/models/gemini-2.5-flash:generateContent';
const STREAM = '/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse';
const ASKED = JSON.stringify({ contents: [{ role: 'user', parts: [{ text: 'q' }] }] });
const ANSWER = JSON.stringify({
  candidates: [{ content: { role: 'model', parts: [{ text: 'a' }] }, finishReason: 'STOP' }],
  usageMetadata: { promptTokenCount: 1, candidatesTokenCount: 1, totalTokenCount: 2 },
});

/** What a client gets, in order. */
class Client implements ReplySink {
  status = 0;
  readonly chunks: Buffer[] = [];
  readonly events: string[] = [];
  headSent = false;
  leave: () => void = () => undefined;

  get text(): string {
    return Buffer.concat(this.chunks).toString();
  }
  head(status: number): void {
    this.status = status;
    this.headSent = true;
  }
  write(chunk: Buffer): boolean {
    this.chunks.push(chunk);
    return true;
  }
  end(): void {
    this.events.push('end');
  }
  destroy(): void {
    this.events.push('cut');
  }
  onDrain(): void {
    // It is never slow.
  }
  onClose(listener: () => void): void {
    this.leave = listener;
  }
}

interface Stage {
  readonly exchange: Exchange;
  readonly clock: ManualClock;
  readonly client: Client;
  readonly kept: KeptExchange[];
  readonly unkept: UnkeptExchange[];
  readonly records: ExchangeRecord[];
  /** Sends a call; its upstream has it when this resolves. */
  call(path: string, more?: Partial<InboundCall>): Promise<UpstreamHandler>;
}

function stage(t: Test, keep: () => Promise<void>, wants = true): Stage {
  const under = memoryLedgerUnderTest();
  const { clock } = under;
  const ledger = under.as(0);
  const timeline = { nowMs: () => under.nowMs(), upstreamOffsetMs: 0 };
  const rulesOf = () => rulesWith([]);
  const scheduler = new Scheduler({
    ledger,
    clock,
    nowMs: timeline.nowMs,
    rulesOf,
    bounds: () => SETTINGS.queue,
    othersLive: () => false,
    foreignChange: () => false,
    onLongWait: () => undefined,
    onError(error) {
      throw error;
    },
  });
  const kept: KeptExchange[] = [];
  const unkept: UnkeptExchange[] = [];
  const records: ExchangeRecord[] = [];
  let handed: (handler: UpstreamHandler) => void = () => undefined;
  const exchange = new Exchange({
    clock,
    timeline,
    ledger,
    scheduler,
    upstream: {
      send(_request, handler) {
        handler.sent();
        handed(handler);
        const abort = () => handler.error(new Error('aborted'));
        return { abort, pause: () => undefined, resume: () => undefined };
      },
      close: async () => undefined,
    },
    settings: () => SETTINGS,
    calibration: new Calibration([]),
    resolveModel: (model) => model,
    rulesOf,
    learnAlias: () => undefined,
    observeDate: () => undefined,
    events: {
      record: (record) => void records.push(record),
      rejected: () => undefined,
      parked: () => undefined,
      learned: () => undefined,
      aliased: () => undefined,
      shadowed: () => undefined,
      unkept: (exchange) => void unkept.push(exchange),
    },
    recording: {
      wants: () => wants,
      keep(exchange) {
        kept.push(exchange);
        return keep();
      },
    },
  });
  t.teardown(() => {
    exchange.close();
    under.close();
  });
  const client = new Client();
  return {
    exchange,
    clock,
    client,
    kept,
    unkept,
    records,
    async call(path, more = {}) {
      const scanner = new BodyScanner();
      const body = Buffer.from(ASKED);
      scanner.push(body);
      const call: InboundCall = {
        requestId: 'r-1',
        method: 'POST',
        path,
        headers: [],
        body: [body],
        bodyBytes: body.length,
        agentName: 'amy',
        sessionName: 'chat',
        receivedAtMs: clock.monotonicMs(),
        ...more,
      };
      return new Promise((resolve) => {
        handed = resolve;
        exchange.take(call, scanner.end(), classify('POST', path), client);
      });
    },
  };
}

const JSON_HEAD = ['content-type', 'application/json'];

/** Lets promises that are settled take their effect. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

t.test('the end of an answer waits until the exchange is kept, its quota does not', async (t) => {
  const disk = deferred();
  const { call, client, kept, records, exchange, clock } = stage(t, () => disk.promise);
  const upstream = await call(GENERATE);
  clock.advance(100);
  upstream.head(200, [...JSON_HEAD, 'content-encoding', 'identity']);
  upstream.data(Buffer.from(ANSWER));
  t.equal(client.text, ANSWER, 'bytes pass as they come');
  upstream.end();
  await settled();
  t.strictSame(client.events, []);
  t.match(records, [{ outcome: 'ok', usage: { totalTokens: 2 } }], 'settled');
  t.equal(exchange.running, 1, 'whoever stops the daemon waits for it');
  disk.resolve();
  await settled();
  t.strictSame(client.events, ['end']);
  t.equal(exchange.running, 0);
  t.match(kept, [
    {
      name: 'chat',
      agent: 'amy',
      requestId: 'r-1',
      model: 'gemini-2.5-flash',
      contentType: 'application/json',
      contentEncoding: 'identity',
    },
  ]);
  t.equal(kept[0]?.request.toString(), ASKED);
  t.equal(kept[0]?.answer.toString(), ANSWER);
  t.equal((kept[0]?.endedAtMs ?? 0) - (kept[0]?.startedAtMs ?? 0), 100);
});

t.test('of an answer with a length, the last byte is its end', async (t) => {
  const disk = deferred();
  const { call, client } = stage(t, () => disk.promise);
  const upstream = await call(GENERATE);
  upstream.head(200, [...JSON_HEAD, 'Content-Length', String(ANSWER.length)]);
  upstream.data(Buffer.from(ANSWER.slice(0, 9)));
  upstream.data(Buffer.from(ANSWER.slice(9)));
  upstream.end();
  await settled();
  t.equal(client.text, ANSWER.slice(0, -1));
  disk.resolve();
  await settled();
  t.equal(client.text, ANSWER);
  t.strictSame(client.events, ['end']);
});

t.test('an exchange that cannot be kept is told, and the answer is whole', async (t) => {
  const { call, client, unkept } = stage(t, () => Promise.reject(new Error('disk')));
  const upstream = await call(STREAM, { sessionName: null });
  upstream.head(200, ['content-type', 'text/event-stream']);
  upstream.data(Buffer.from(`data: ${ANSWER}\r\n\r\n`));
  upstream.end();
  await settled();
  t.strictSame(client.events, ['end']);
  t.match(unkept, [{ requestId: 'r-1', session: null, agent: 'amy', error: { message: 'disk' } }]);
});

t.test('a slow disk holds an answer for five seconds at most', async (t) => {
  const disk = deferred();
  const { call, client, clock, unkept } = stage(t, () => disk.promise);
  const upstream = await call(GENERATE);
  upstream.head(200, JSON_HEAD);
  upstream.data(Buffer.from(ANSWER));
  upstream.end();
  await settled();
  clock.advance(4_999);
  t.strictSame(client.events, []);
  clock.advance(1);
  t.strictSame(client.events, ['end']);
  t.match(unkept, [{ error: { reason: 'TURN_NOT_WRITTEN', message: /within 5000 ms/ } }]);
  disk.resolve();
  await settled();
  t.strictSame(client.events, ['end'], 'once');
});

t.test('a daemon that stops gives the answer its end', async (t) => {
  const { call, client, exchange } = stage(t, () => deferred().promise);
  const upstream = await call(GENERATE);
  upstream.head(200, [...JSON_HEAD, 'content-length', String(ANSWER.length)]);
  upstream.data(Buffer.from(ANSWER));
  upstream.end();
  await settled();
  exchange.cutAll();
  t.equal(client.text, ANSWER);
  t.strictSame(client.events, ['end']);
  t.equal(exchange.running, 0);
});

t.test('errors, cut answers and those whose client has left are not kept', async (t) => {
  const ends: readonly (readonly [string, (upstream: UpstreamHandler, client: Client) => void])[] =
    [
      ['an error', (upstream) => (upstream.head(400, JSON_HEAD), upstream.end())],
      ['a 429', (upstream) => (upstream.head(429, JSON_HEAD), upstream.end())],
      ['no answer', (upstream) => upstream.error(new ProxyError('UPSTREAM_TIMEOUT', 'x'))],
      [
        'a cut answer',
        (upstream) => {
          upstream.head(200, JSON_HEAD);
          upstream.data(Buffer.from(ANSWER));
          upstream.error(new Error('reset'));
        },
      ],
      [
        'a client that leaves',
        (upstream, client) => {
          upstream.head(200, JSON_HEAD);
          upstream.data(Buffer.from(ANSWER));
          client.leave();
        },
      ],
    ];
  for (const [name, end] of ends) {
    const { call, kept, client } = stage(t, async () => undefined);
    end(await call(GENERATE, { headers: ['x-headgate-max-wait', '1ms'] }), client);
    await settled();
    t.strictSame(kept, [], name);
  }
});

t.test('only conversations that are wanted are kept', async (t) => {
  const paths = [
    '/v1beta/models/m:embedContent',
    '/v1beta/models/m:predict',
    '/v1beta/models/m:batchEmbedContents',
  ];
  for (const path of [...paths, GENERATE]) {
    const { call, kept, client } = stage(t, async () => undefined, path !== GENERATE);
    const upstream = await call(path);
    upstream.head(200, JSON_HEAD);
    upstream.data(Buffer.from(ANSWER));
    upstream.end();
    await settled();
    t.strictSame([kept, client.text, client.events], [[], ANSWER, ['end']], path);
  }
});

t.test('an answer that is too long passes and is not kept', async (t) => {
  const { call, kept, unkept, client } = stage(t, async () => undefined);
  const upstream = await call(GENERATE);
  upstream.head(200, JSON_HEAD);
  const chunk = Buffer.alloc(16 * 1024 * 1024, 32);
  for (let count = 0; count < 5; count += 1) upstream.data(chunk);
  upstream.end();
  await settled();
  t.equal(client.chunks.length, 5);
  t.strictSame([kept, client.events], [[], ['end']]);
  t.match(unkept, [{ error: { message: /longer than 67108864 bytes/ } }]);
});

t.test('what is kept is a session that can be read', async (t) => {
  const directory = t.testdir({});
  const recorder = new Recorder({ directory: () => directory });
  const { call, kept, client } = stage(t, async () => kept.forEach((one) => recorder.record(one)));
  const upstream = await call(GENERATE);
  upstream.head(200, JSON_HEAD);
  upstream.data(Buffer.from(ANSWER));
  upstream.end();
  await settled();
  t.strictSame(client.events, ['end']);
  const { turns } = headgateReader.read(openConfined(join(directory, 'chat')));
  t.match(turns, [{ question: 'q', answer: 'a', winner: 'amy' }]);
});
