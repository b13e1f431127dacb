import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { Test } from 'tap';
import t from 'tap';
import { type Clock, systemClock } from '../../src/clock.ts';
import { type Collector, type ReceivedSpan, startCollector } from '../support/collector.ts';
import { freePort } from '../support/daemon.ts';
import {
  call,
  generate,
  GENERATE,
  type Gate,
  type GateOptions,
  idle,
  limits,
  MODEL,
  passUntil,
  saying,
  send,
  startGate,
  STREAM,
  until,
  waiting,
} from '../support/gate.ts';
import { bodyOf, listen } from '../support/loopback.ts';
import { ManualClock } from '../support/manual-clock.ts';

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const SPAN_ID = 'b7ad6b7169203331';
const KEPT = `00-${TRACE_ID}-${SPAN_ID}-01`;
const NOT_KEPT = `00-${TRACE_ID}-${SPAN_ID}-00`;
const [INTERNAL, CLIENT] = [1, 3];
const ERROR = 2;

/** A daemon whose spans a collector takes. */
async function tracedGate(t: Test, options: GateOptions = {}, tracing: object = {}) {
  const collector = await startCollector(t);
  const gate = await startGate(t, {
    ...options,
    config: { ...options.config, tracing: { otlp_endpoint: collector.url, ...tracing } },
  });
  return { collector, gate };
}

/** Waits for so many spans of whole calls, stops the daemon, and gives all spans by name. */
async function spansAfter(gate: Gate, { spans }: Collector, count: number) {
  const named = (name: string) => spans.filter((span) => span.name === name);
  const wholes = () => named(`generate_content ${MODEL}`);
  await until(() => wholes().length >= count);
  await gate.stop();
  return { spans, wholes: wholes(), named };
}

/** Whether the library is there; prom-client loads its small part `api` in any case. */
function isLibraryLoaded(): boolean {
  return Object.keys(createRequire(import.meta.url).cache).some((file) =>
    file.includes('@opentelemetry/exporter-trace'),
  );
}

t.test('while off, nothing is loaded', async (t) => {
  const gate = await startGate(t);
  await call(gate, GENERATE, { body: saying('hi'), headers: { traceparent: KEPT } });
  await idle(gate);
  await gate.stop();
  t.equal(isLibraryLoaded(), false);
  const { collector, gate: traced } = await tracedGate(t);
  await call(traced, GENERATE, { body: saying('hi') });
  await spansAfter(traced, collector, 1);
  t.equal(isLibraryLoaded(), true);
});

t.test('a call is a span with what the conventions ask for, and its parts', async (t) => {
  const { collector, gate } = await tracedGate(t, {}, { headers: { 'x-tenant': 'gophers' } });
  const answer = await call(gate, `/agents/agent_a${GENERATE}`, {
    body: saying('a secret question'),
    headers: { 'x-goog-api-key': 'AIzaSyA-a-key-that-nobody-may-see-0000000' },
  });
  await idle(gate);
  const { spans, wholes } = await spansAfter(gate, collector, 1);
  t.equal(wholes.length, 1);
  const [whole] = wholes;
  const { usageMetadata, modelVersion } = JSON.parse(answer.text);
  t.match(whole, { kind: CLIENT, parentSpanId: undefined });
  t.match(whole?.attributes, {
    'gen_ai.operation.name': 'generate_content',
    'gen_ai.provider.name': 'gcp.gemini',
    'gen_ai.request.model': MODEL,
    'gen_ai.response.model': modelVersion,
    'gen_ai.usage.input_tokens': usageMetadata.promptTokenCount,
    'gen_ai.usage.output_tokens':
      usageMetadata.candidatesTokenCount + (usageMetadata.thoughtsTokenCount ?? 0),
    'http.response.status_code': 200,
    'server.address': '127.0.0.1',
    'server.port': Number(new URL(gate.simulator.url).port),
    'headgate.agent': 'agent_a',
    'headgate.project': 'default',
    'headgate.outcome': 'ok',
    'headgate.request_id': answer.headers['x-headgate-request-id'],
  });
  for (const name of ['headgate.queued_ms', 'headgate.estimated_tokens', 'headgate.cost_usd']) {
    t.type(whole?.attributes[name], 'number', name);
  }
  t.notOk('error.type' in (whole?.attributes ?? {}));
  const upstream = spans.find(({ name }) => name === 'headgate.upstream');
  t.match(upstream, { kind: INTERNAL, traceId: whole?.traceId, parentSpanId: whole?.spanId });
  t.strictSame(
    upstream?.events.map(({ name }) => name),
    ['first byte'],
  );
  t.match(collector.resources[0], { 'service.name': 'headgate' });
  t.match(collector.requests[0], { url: '/v1/traces', headers: { 'x-tenant': 'gophers' } });
  const sent = collector.bodies.join('\n');
  for (const secret of ['a secret question', 'AIzaSy', answerText(answer.text)]) {
    t.notMatch(sent, secret, 'neither prompt nor key nor answer');
  }
});

t.test("the client's trace goes on in ours, and its headers upstream unchanged", async (t) => {
  const seen: (readonly string[])[] = [];
  const upstream = createServer((request, response) => {
    seen.push(request.rawHeaders);
    void bodyOf(request).then(() => response.end('{}'));
  });
  const upstreamUrl = `http://127.0.0.1:${await listen(upstream)}`;
  t.teardown(() => upstream.close());
  const { collector, gate } = await tracedGate(t, { upstreamUrl });
  const plain = await startGate(t, { upstreamUrl });
  const headers = { TraceParent: KEPT, tracestate: 'rojo=1, congo=t61rcWkgMzE' };
  for (const each of [gate, plain]) await call(each, GENERATE, { body: saying('hi'), headers });
  const { wholes } = await spansAfter(gate, collector, 1);
  t.match(wholes, [{ traceId: TRACE_ID, parentSpanId: SPAN_ID }]);
  t.match(wholes[0]?.traceState, 'rojo=1');
  t.equal(seen.length, 2);
  for (const raw of seen) {
    t.match(pairsOf(raw), { TraceParent: KEPT, tracestate: headers.tracestate });
  }
});

t.test('a stream is told of when it has ended', async (t) => {
  const { collector, gate } = await tracedGate(t);
  await call(gate, STREAM, { body: saying('hi') });
  await idle(gate);
  const { wholes } = await spansAfter(gate, collector, 1);
  t.match(wholes, [{ status: {}, attributes: { 'gen_ai.request.stream': true } }]);
  t.type(wholes[0]?.attributes['gen_ai.usage.output_tokens'], 'number');
});

t.test('a wait is a part, and says what for', async (t) => {
  const clock = new ManualClock();
  const config = { rate_limits: limits({ rpm: 1 }) };
  const { collector, gate } = await tracedGate(t, { clock, config });
  await passUntil(clock, call(gate, GENERATE, { body: saying('one') }), 1_000);
  await passUntil(clock, call(gate, GENERATE, { body: saying('two') }), 120_000);
  // The second call's spans are gathered and sent after those of the first.
  await until(() => {
    clock.advance(100);
    return collector.spans.some(({ name }) => name === 'headgate.queue');
  });
  const { wholes, named } = await spansAfter(gate, collector, 2);
  const [queue] = named('headgate.queue');
  const second = wholes.find(({ spanId }) => spanId === queue?.parentSpanId);
  t.match(queue?.attributes, { 'headgate.wait_reason': /requests per minute/ });
  t.match(second?.attributes, { 'headgate.wait_reason': /requests per minute/ });
  t.ok(Number(second?.attributes['headgate.queued_ms']) > 50_000);
  t.ok(lengthMs(queue) > 50_000 && lengthMs(queue) <= lengthMs(second));
});

t.test('a refusal, an error of the upstream and a client that left are errors', async (t) => {
  const scenario = { faults: [{ match: { nth: [1] }, answer: '500' as const }] };
  const { collector, gate } = await tracedGate(t, {
    scenario,
    config: { rate_limits: limits({ rpm: 1 }) },
  });
  await call(gate, GENERATE, { body: saying('one') });
  await call(gate, GENERATE, {
    body: saying('two'),
    headers: { 'x-headgate-max-wait': '1ms', traceparent: KEPT },
  });
  const leaving = send(gate, GENERATE, { body: saying('three') });
  await waiting(gate, 1);
  leaving.request.destroy();
  await waiting(gate, 0);
  const { wholes, named } = await spansAfter(gate, collector, 3);
  t.match(
    wholes.map(({ status, attributes }) => ({ ...attributes, code: status.code })),
    [
      { code: ERROR, 'error.type': '500', 'http.response.status_code': 500 },
      {
        code: ERROR,
        'headgate.outcome': 'refused',
        'headgate.refusal_reason': String,
        'http.response.status_code': 429,
      },
      { code: ERROR, 'error.type': 'cancelled', 'headgate.outcome': 'cancelled' },
    ],
  );
  t.equal(wholes[1]?.attributes['error.type'], wholes[1]?.attributes['headgate.refusal_reason']);
  t.equal(wholes[1]?.parentSpanId, SPAN_ID);
  t.notOk('http.response.status_code' in (wholes[2]?.attributes ?? {}));
  t.equal(named('headgate.upstream').length, 1, 'only the first got there');
});

t.test('a key that a client writes into a name is blacked out', async (t) => {
  const key = 'AIzaSyA-a-key-that-nobody-may-see-0000000';
  const own = 'only-we-know-that-this-is-one';
  const config = { upstream: { api_key: own } };
  const { collector, gate } = await tracedGate(t, { config });
  await call(gate, generate(`gemini-${key}`), { body: saying('hi') });
  await call(gate, `/agents/${own}${generate('gemini-x')}`, { body: saying('hi') });
  await until(() => collector.spans.filter(({ kind }) => kind === CLIENT).length === 2);
  await gate.stop();
  t.notMatch(collector.bodies.join('\n'), key);
  t.notMatch(collector.bodies.join('\n'), own);
  const first = collector.spans.find(({ kind }) => kind === CLIENT);
  t.match(first?.name, 'gemini-[redacted]');
});

t.test("of the calls without a trace the ratio is taken, a client's own decides", async (t) => {
  const { collector, gate } = await tracedGate(t, {}, { sample_ratio: 0 });
  await call(gate, GENERATE, { body: saying('hi') });
  await call(gate, GENERATE, { body: saying('hi'), headers: { traceparent: NOT_KEPT } });
  await call(gate, GENERATE, { body: saying('hi'), headers: { traceparent: KEPT } });
  await idle(gate);
  const { wholes } = await spansAfter(gate, collector, 1);
  t.match(wholes, [{ parentSpanId: SPAN_ID }]);
  t.equal(wholes.length, 1);
});

t.test('traces are switched on and off by a reload, and are off without a word', async (t) => {
  const collector = await startCollector(t);
  const gate = await startGate(t);
  const ask = async () => {
    await call(gate, GENERATE, { body: saying('hi') });
    await idle(gate);
  };
  await ask();
  gate.configure({
    tracing: { otlp_endpoint: `${collector.url}/v1/traces`, service_name: 'gate' },
  });
  gate.daemon.reload();
  await ask();
  await until(() => collector.spans.length > 0);
  gate.configure({ tracing: { otlp_endpoint: '' } });
  gate.daemon.reload();
  await ask();
  const { wholes } = await spansAfter(gate, collector, 1);
  t.equal(wholes.length, 1);
  t.match(collector.resources, [{ 'service.name': 'gate' }]);
  t.equal(collector.requests[0]?.url, '/v1/traces', 'the path is not added twice');
});

t.test('what is left at the stop is sent', async (t) => {
  // Neither the gathering nor the bound of the stop comes to its end.
  const clock: Clock = {
    ...systemClock,
    after: (delayMs, fire) =>
      delayMs === 1_000 || delayMs === 2_000
        ? { cancel: () => undefined }
        : systemClock.after(delayMs, fire),
  };
  const { collector, gate } = await tracedGate(t, { clock });
  for (const text of ['one', 'two']) await call(gate, GENERATE, { body: saying(text) });
  await idle(gate);
  t.equal(collector.requests.length, 0);
  await gate.stop();
  const wholes = collector.spans.filter(({ kind }) => kind === CLIENT);
  t.equal(wholes.length, 2);
  t.equal(collector.requests.length, 1, 'together');
});

for (const kind of ['dead', 'mute'] as const) {
  t.test(`a ${kind} collector holds neither calls nor the stop`, async (t) => {
    const clock = new ManualClock();
    const endpoint =
      kind === 'dead'
        ? `http://127.0.0.1:${await freePort()}`
        : (await startCollector(t, { mute: true })).url;
    const gate = await startGate(t, { clock, config: { tracing: { otlp_endpoint: endpoint } } });
    for (const text of ['one', 'two', 'three']) {
      t.equal((await call(gate, GENERATE, { body: saying(text) })).status, 200);
    }
    await idle(gate);
    const stoppedAtMs = clock.monotonicMs();
    await gate.stop();
    t.ok(clock.monotonicMs() - stoppedAtMs <= 2_500, 'the stop waits for two seconds');
    const warnings = gate.log.filter((line) => line.includes('traces cannot be sent'));
    t.equal(warnings.length, 1);
    t.match(warnings[0], /Those of 3 calls are dropped/);
  });
}

function answerText(body: string): string {
  return JSON.parse(body).candidates[0].content.parts[0].text;
}

function pairsOf(raw: readonly string[]): Record<string, string> {
  const pairs = raw.flatMap((name, at) => (at % 2 === 0 ? [[name, raw[at + 1] ?? '']] : []));
  return Object.fromEntries(pairs);
}

function lengthMs(span: ReceivedSpan | undefined): number {
  if (span === undefined) return Number.NaN;
  return Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1_000_000;
}
