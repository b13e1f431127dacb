import t from 'tap';
import { call, type Gate, idle, startGate, statusOf, windowOf } from '../support/gate.ts';
import { ManualClock } from '../support/manual-clock.ts';

const INTERACTIONS = '/v1beta/interactions';
const MODEL = 'gemini-3.8-flash';
const TEXT = 'Describe the tides of the northern sea.';

async function gateOf(t: Parameters<typeof startGate>[0]) {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock });
  const ask = async (line: string, body?: object) => {
    const [method = '', path = ''] = line.split(' ');
    const answer = await call(gate, path, { method, ...(body === undefined ? {} : { body }) });
    const isJson = /json/.test(answer.headers['content-type'] ?? '');
    return { ...answer, json: isJson ? JSON.parse(answer.text) : null };
  };
  return { clock, gate, ask };
}

async function requestsOf(gate: Gate): Promise<number> {
  await idle(gate);
  const { partitions } = await statusOf(gate);
  return partitions.length === 0 ? 0 : (await windowOf(gate, 'rpm', MODEL)).used;
}

/** The ids and types of a stream's events, and whether it came to its end mark. */
function eventsOf(text: string) {
  const frames = text.split('\n\n').filter((frame) => frame !== '');
  const isWhole = frames.at(-1)?.endsWith('data: [DONE]') === true;
  const events = (isWhole ? frames.slice(0, -1) : frames).map((frame) => {
    const data = frame.split('\n').find((line) => line.startsWith('data: '));
    return JSON.parse(data?.slice('data: '.length) ?? 'null');
  });
  return { isWhole, events };
}

t.test('an interaction in the background counts once, however often it is polled', async (t) => {
  const { clock, gate, ask } = await gateOf(t);
  const body = { model: MODEL, input: `${TEXT} [[sleep:9000]]`, background: true };
  const { json: begun } = await ask(`POST ${INTERACTIONS}`, body);
  t.match(begun, { id: String, object: 'interaction', status: 'in_progress', usage: undefined });
  const path = `${INTERACTIONS}/${begun.id}`;
  t.match((await ask(`GET ${path}`)).json, { status: 'in_progress', steps: undefined });
  const early = eventsOf((await ask(`GET ${path}?stream=true`)).text);
  t.equal(early.isWhole, false, 'a stream that is not over has no end mark');
  t.equal(early.events.length, 2);
  clock.advance(9000);
  const { json: done } = await ask(`GET ${path}`);
  t.match(done, { status: 'completed', usage: { total_input_tokens: Number } });
  const late = eventsOf((await ask(`GET ${path}?stream=true&last_event_id=${begun.id}_1`)).text);
  t.equal(late.isWhole, true);
  t.equal(late.events[0].event_id, `${begun.id}_2`, 'it goes on after what was seen');
  t.match(late.events.at(-1), { event_type: 'interaction.completed', interaction: done });
  t.equal((await ask(`DELETE ${path}`)).status, 200);
  const gone = await ask(`GET ${path}`);
  t.equal(gone.status, 404);
  t.match(gone.json, { error: { code: 'not_found' } });
  t.equal(await requestsOf(gate), 1);
});

t.test('an interaction is cancelled while it runs, and not after', async (t) => {
  const { clock, gate, ask } = await gateOf(t);
  const body = { model: MODEL, input: `${TEXT} [[sleep:9000]]`, background: true };
  const { json: begun } = await ask(`POST ${INTERACTIONS}`, body);
  const cancelled = await ask(`POST ${INTERACTIONS}/${begun.id}/cancel`);
  t.match(cancelled.json, { id: begun.id, status: 'cancelled' });
  clock.advance(9000);
  t.match((await ask(`GET ${INTERACTIONS}/${begun.id}`)).json, { status: 'cancelled' });
  const { json: done } = await ask(`POST ${INTERACTIONS}`, { model: MODEL, input: TEXT });
  const late = await ask(`POST ${INTERACTIONS}/${done.id}/cancel`);
  t.equal(late.status, 400);
  t.match(late.json, { error: { code: 'invalid_argument' } });
  t.equal(await requestsOf(gate), 2, 'cancelling counts nothing');
});

t.test('each hop of a continued interaction counts, with the prompt it reads again', async (t) => {
  const { gate, ask } = await gateOf(t);
  const body = { model: MODEL, input: `${TEXT} [[hops:2]] [[out:3]]` };
  let { json: hop } = await ask(`POST ${INTERACTIONS}`, body);
  let tokens: number = hop.usage.total_input_tokens;
  for (const left of [1, 0]) {
    t.match(hop, { status: 'requires_continuation', continuation_token: `hop-${left}-${hop.id}` });
    ({ json: hop } = await ask(`POST ${INTERACTIONS}`, {
      model: MODEL,
      previous_interaction_id: hop.id,
      continuation_token: hop.continuation_token,
    }));
    tokens += hop.usage.total_input_tokens;
  }
  t.match(hop, { status: 'completed', continuation_token: undefined });
  t.equal(await requestsOf(gate), 3);
  t.equal((await windowOf(gate, 'tpm', MODEL)).used, tokens);
});

t.test('a function that an interaction asks for is answered in the next one', async (t) => {
  const { gate, ask } = await gateOf(t);
  const tools = [{ type: 'function', name: 'get_weather', parameters: { type: 'object' } }];
  const first = { model: MODEL, input: `${TEXT} [[call:get_weather city=Oslo]]`, tools };
  const { json: asked } = await ask(`POST ${INTERACTIONS}`, first);
  t.match(asked, {
    status: 'requires_action',
    steps: [{ type: 'function_call', name: 'get_weather', arguments: { city: 'Oslo' } }],
  });
  const { id: call_id, name } = asked.steps[0];
  const input = [{ type: 'function_result', call_id, name, result: '[[call:get_weather x=y]]' }];
  const { json: answered } = await ask(`POST ${INTERACTIONS}`, {
    model: MODEL,
    previous_interaction_id: asked.id,
    input,
    tools,
  });
  t.match(answered, { status: 'completed', previous_interaction_id: asked.id });
  const known = asked.usage.total_input_tokens + asked.usage.total_output_tokens;
  t.ok(answered.usage.total_input_tokens >= known, 'the earlier one is read again');
  t.equal(await requestsOf(gate), 2);
});

t.test('an interaction that is not to be stored cannot be built upon', async (t) => {
  const { ask } = await gateOf(t);
  const { json } = await ask(`POST ${INTERACTIONS}`, { model: MODEL, input: TEXT, store: false });
  t.equal((await ask(`GET ${INTERACTIONS}/${json.id}`)).status, 404);
  const next = { model: MODEL, input: TEXT, previous_interaction_id: json.id };
  t.equal((await ask(`POST ${INTERACTIONS}`, next)).status, 404);
});

t.test('a film counts once, is polled until it is done, and can be fetched', async (t) => {
  const { clock, gate, ask } = await gateOf(t);
  const body = {
    instances: [{ prompt: `${TEXT} [[sleep:40000]]` }],
    parameters: { sampleCount: 2 },
  };
  const begun = await ask(`POST /v1beta/models/${MODEL}:predictLongRunning`, body);
  const { name } = begun.json;
  t.match(name, /^models\/gemini-3\.8-flash\/operations\/[^/]+$/);
  t.strictSame((await ask(`GET /v1beta/${name}`)).json, { name });
  clock.advance(40_000);
  const { json } = await ask(`GET /v1beta/${name}`);
  t.match(json, { name, done: true });
  const samples = json.response.generateVideoResponse.generatedSamples;
  t.equal(samples.length, 2);
  const { protocol, pathname, search } = new URL(samples[1].video.uri);
  t.equal(protocol, 'http:', 'an address that stands alone');
  const film = await ask(`GET ${pathname}${search}`);
  t.equal(film.status, 200);
  t.equal(film.headers['content-type'], 'video/mp4');
  t.equal(film.body.toString('latin1', 4, 8), 'ftyp');
  t.equal(await requestsOf(gate), 1);
});

t.test('an answer that ends at the limit of one request is continued by another', async (t) => {
  const { gate, ask } = await gateOf(t);
  const contents = [{ role: 'user', parts: [{ text: `${TEXT} [[hops:1]]` }] }];
  const path = `POST /v1beta/models/${MODEL}:generateContent`;
  const { json: first } = await ask(path, { contents });
  const [{ finishReason, continuationToken }] = first.candidates;
  t.equal(finishReason, 'CONTINUATION');
  const { json: second } = await ask(path, { contents, continuationToken });
  t.match(second.candidates, [{ finishReason: 'STOP', continuationToken: undefined }]);
  t.equal(await requestsOf(gate), 2);
  const { promptTokenCount } = first.usageMetadata;
  t.equal((await windowOf(gate, 'tpm', MODEL)).used, 2 * promptTokenCount, 'billed again');
});

t.test('a batch is done when it is asked for, with an answer for each request', async (t) => {
  const { gate, ask } = await gateOf(t);
  const requests = [
    { request: { contents: [{ parts: [{ text: TEXT }] }] }, metadata: { key: 'sea' } },
    { request: {}, metadata: { key: 'nothing' } },
  ];
  const batch = { displayName: 'night', inputConfig: { requests: { requests } } };
  const path = `/v1beta/models/${MODEL}:batchGenerateContent`;
  const { json: begun } = await ask(`POST ${path}`, { batch });
  t.match(begun, { name: /^batches\//, metadata: { state: 'BATCH_STATE_PENDING' } });
  const { json: done } = await ask(`GET /v1beta/${begun.name}`);
  t.match(done, {
    done: true,
    metadata: { state: 'BATCH_STATE_SUCCEEDED', batchStats: { requestCount: '2' } },
    response: {
      inlinedResponses: {
        inlinedResponses: [
          { metadata: { key: 'sea' }, response: { candidates: [{ finishReason: 'STOP' }] } },
          { metadata: { key: 'nothing' }, error: { code: 400 } },
        ],
      },
    },
  });
  t.equal(await requestsOf(gate), 0, 'batches have quotas of their own');
});
