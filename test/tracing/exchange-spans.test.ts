import t from 'tap';
import { spansOf } from '../../src/tracing/exchange-spans.ts';
import { RECORD } from '../support/exchange-record.ts';

const AROUND = { modelVersion: null, upstreamUrl: 'https://gemini.example' };

t.test('the parts lie before the end, the upstream last', async (t) => {
  const record = { ...RECORD, startedWallMs: 5_000 };
  const { whole, parts } = spansOf(record, AROUND);
  t.match(whole, { startMs: 5_000, endMs: 18_141, name: 'generate_content gemini-flash-latest' });
  t.match(parts, [
    { name: 'headgate.queue', startMs: 5_001, endMs: 17_301 },
    { name: 'headgate.upstream', startMs: 17_301, endMs: 18_141, events: [{ atMs: 18_101 }] },
  ]);
  t.match(whole.attributes, {
    'headgate.model': 'gemini-2.5-flash',
    'headgate.cost_usd': 0.0025,
    'headgate.estimated_tokens': 1180,
    'gen_ai.usage.input_tokens': 1204,
    'gen_ai.usage.output_tokens': 40,
    'gen_ai.usage.reasoning.output_tokens': 10,
    'gen_ai.usage.cache_read.input_tokens': 5,
    'server.address': 'gemini.example',
    'server.port': 443,
  });
});

t.test('no part begins before its call or ends after it', async (t) => {
  const { whole, parts } = spansOf({ ...RECORD, durationMs: 100 }, AROUND);
  for (const { startMs, endMs } of parts) {
    t.ok(startMs >= whole.startMs && startMs <= endMs && endMs <= whole.endMs);
  }
});

t.test('what took no time is no part, and a first byte among resends has no place', async (t) => {
  t.strictSame(spansOf({ ...RECORD, queuedMs: 0.4, upstreamMs: 0 }, AROUND).parts, []);
  const [, upstream] = spansOf({ ...RECORD, resends: 1 }, AROUND).parts;
  t.strictSame(upstream?.events, []);
});

t.test('each method has the name that the conventions give it', async (t) => {
  const names = {
    generateContent: 'generate_content',
    streamGenerateContent: 'generate_content',
    interactions: 'generate_content',
    predict: 'generate_content',
    embedContent: 'embeddings',
    batchEmbedContents: 'embeddings',
    embeddings: 'embeddings',
    'chat.completions': 'chat',
    live: 'live',
  };
  for (const [method, operation] of Object.entries(names)) {
    const { whole } = spansOf({ ...RECORD, method, requestedModel: 'm' }, AROUND);
    t.equal(whole.name, `${operation} m`);
  }
  t.equal(spansOf({ ...RECORD, requestedModel: '' }, AROUND).whole.name, 'generate_content');
});

t.test('the type of an error is a reason, a status, or how it ended', async (t) => {
  const typeOf = (part: Partial<typeof RECORD>) => {
    const { isError, attributes } = spansOf({ ...RECORD, ...part }, AROUND).whole;
    return isError ? attributes['error.type'] : null;
  };
  t.equal(typeOf({}), null);
  t.equal(typeOf({ outcome: 'upstream_error', status: 503 }), '503');
  t.equal(typeOf({ outcome: 'upstream_error', status: 200 }), 'upstream_error');
  t.equal(typeOf({ outcome: 'upstream_rejected', status: 429, reason: 'minute' }), '429');
  t.equal(typeOf({ outcome: 'refused', status: 429, reason: 'QUEUE_FULL' }), 'QUEUE_FULL');
  t.equal(typeOf({ outcome: 'failed', status: 0, reason: null }), 'failed');
  t.equal(typeOf({ outcome: 'cancelled', status: 0 }), 'cancelled');
});
