/** A call that takes quota, and what it is to take. */
export interface CountedCall {
  readonly path: string;
  readonly body: object;
  /** As the quota knows it. */
  readonly model: string;
  /** Default 1. */
  readonly requests?: number;
  /** Whether the answer tells what it took; otherwise the estimate stands. Default true. */
  readonly isTold?: boolean;
  /** Default 200. */
  readonly status?: number;
}

/** A call that takes none. */
export interface PassedCall {
  /** As in `GET /v1beta/models`. */
  readonly line: string;
  readonly body?: object;
  /** Default 200. */
  readonly status?: number;
}

const TEXT = 'Describe the tides of the northern sea, and why sailors of old feared them so much.';
const contents = [{ role: 'user', parts: [{ text: `${TEXT} [[out:5]] [[think:7]]` }] }];
const messages = [
  { role: 'system', content: 'Be short.' },
  { role: 'user', content: `${TEXT} [[out:5]] [[think:7]]` },
];
const content = { parts: [{ text: TEXT }] };
const instances = [{ prompt: TEXT }];
const input = `${TEXT} [[out:5]] [[think:7]]`;
const weather = { type: 'function', name: 'get_weather', parameters: { type: 'object' } };
const items = (model: string, count: number) =>
  Array.from({ length: count }, () => ({ model: `models/${model}`, content }));

const CHAT = '/v1beta/openai/chat/completions';
const EMBEDDINGS = '/v1beta/openai/embeddings';
const IMAGES = '/v1beta/openai/images/generations';
const INTERACTIONS = '/v1beta/interactions';
const OLD = 'gemini-embedding-001';

/** Every surface that is counted; each has a model of its own. */
export const COUNTED_CALLS: Readonly<Record<string, CountedCall>> = {
  'one answer': {
    path: '/v1beta/models/unary:generateContent',
    body: { contents },
    model: 'unary',
  },
  'one answer of v1': {
    path: '/v1/models/first:generateContent',
    body: { contents },
    model: 'first',
  },
  'one answer of v1alpha': {
    path: '/v1alpha/models/alpha:generateContent',
    body: { contents },
    model: 'alpha',
  },
  'an escaped path': {
    path: '/v1beta/models%2Fescaped%3AgenerateContent',
    body: { contents },
    model: 'escaped',
  },
  'a stream of events': {
    path: '/v1beta/models/sse:streamGenerateContent?alt=sse',
    body: { contents },
    model: 'sse',
  },
  'a stream that is an array': {
    path: '/v1beta/models/array:streamGenerateContent',
    body: { contents },
    model: 'array',
  },
  'an answer to be continued': {
    path: '/v1beta/models/hops:generateContent',
    body: { contents: [{ parts: [{ text: `${TEXT} [[hops:1]]` }] }] },
    model: 'hops',
  },
  'a tuned model': {
    path: '/v1beta/tunedModels/mine:generateContent',
    body: { contents },
    model: 'tunedModels/mine',
  },
  'a dynamic model': {
    path: '/v1beta/dynamic/any:streamGenerateContent?alt=sse',
    body: { contents },
    model: 'dynamic/any',
  },
  'an embedding with usage': {
    path: '/v1beta/models/gemini-embedding-2:embedContent',
    body: { content },
    model: 'gemini-embedding-2',
  },
  'an embedding without usage': {
    path: `/v1/models/${OLD}:embedContent`,
    body: { content },
    model: OLD,
    isTold: false,
  },
  'a batch of embeddings with usage': {
    path: '/v1beta/models/many-2:batchEmbedContents',
    body: { requests: items('many-2', 3) },
    model: 'many-2',
    requests: 3,
  },
  'a batch of embeddings without usage': {
    path: '/v1beta/models/many-001:batchEmbedContents',
    body: { requests: items('many-001', 4) },
    model: 'many-001',
    requests: 4,
    isTold: false,
  },
  pictures: {
    path: '/v1beta/models/imagen:predict',
    body: { instances, parameters: { sampleCount: 2 } },
    model: 'imagen',
    isTold: false,
  },
  'a film': {
    path: '/v1beta/models/veo:predictLongRunning',
    body: { instances },
    model: 'veo',
    isTold: false,
  },
  'an interaction': { path: INTERACTIONS, body: { model: 'whole', input }, model: 'whole' },
  'an interaction as a stream': {
    path: INTERACTIONS,
    body: { model: 'models/events', input: [{ type: 'text', text: input }], stream: true },
    model: 'events',
  },
  'an interaction in the background': {
    path: INTERACTIONS,
    body: { model: 'later', input, background: true },
    model: 'later',
    isTold: false,
  },
  'an interaction with an agent': {
    path: '/v1/interactions',
    body: { agent: 'deep-research', input, background: true },
    model: 'deep-research',
    isTold: false,
  },
  'an interaction that calls a function': {
    path: INTERACTIONS,
    body: { model: 'acts', input: `${TEXT} [[call:get_weather city=Oslo]]`, tools: [weather] },
    model: 'acts',
  },
  'an interaction that calls a function in a stream': {
    path: INTERACTIONS,
    body: {
      model: 'acts-too',
      input: `${TEXT} [[call:get_weather city=Oslo]]`,
      tools: [weather],
      stream: true,
    },
    model: 'acts-too',
  },
  'an interaction to be continued': {
    path: INTERACTIONS,
    body: { model: 'goes-on', input: `${TEXT} [[hops:2]]`, stream: true },
    model: 'goes-on',
  },
  'a chat': { path: CHAT, body: { model: 'chat', messages }, model: 'chat' },
  'a chat of v1': {
    path: '/v1/openai/chat/completions',
    body: { model: 'models/chat-first', messages },
    model: 'chat-first',
  },
  'a chat in a stream with usage': {
    path: CHAT,
    body: { model: 'told', messages, stream: true, stream_options: { include_usage: true } },
    model: 'told',
  },
  'a chat in a stream without usage': {
    path: CHAT,
    body: { model: 'untold', messages, stream: true },
    model: 'untold',
    isTold: false,
  },
  'an OpenAI embedding': { path: EMBEDDINGS, body: { model: 'one', input: TEXT }, model: 'one' },
  'OpenAI embeddings': {
    path: EMBEDDINGS,
    body: { model: 'three', input: [TEXT, TEXT, TEXT], encoding_format: 'base64' },
    model: 'three',
    requests: 3,
  },
  'an OpenAI picture': {
    path: IMAGES,
    body: { model: 'paints', prompt: TEXT },
    model: 'paints',
    isTold: false,
  },
};

/** Mistakes that the upstream finds; each is a request that it has counted. */
export const FAILING_CALLS: Readonly<Record<string, CountedCall>> = {
  'an unknown model': failing(1, '/v1beta/models/gone-1:generateContent', { contents }),
  'a stream of an unknown model': failing(2, '/v1/models/gone-2:streamGenerateContent', {
    contents,
  }),
  'events of an unknown model': failing(3, '/v1/models/gone-3:streamGenerateContent?alt=sse', {
    contents,
  }),
  'an unknown embedding model': failing(4, '/v1beta/models/gone-4:embedContent', { content }),
  'an interaction with an unknown model': failing(5, INTERACTIONS, { model: 'gone-5', input }),
  'an interaction after one that nobody knows': failing(6, INTERACTIONS, {
    model: 'gone-6',
    input,
    previous_interaction_id: 'nobody',
  }),
  'a chat with an unknown model': failing(7, CHAT, { model: 'gone-7', messages }),
  'an OpenAI embedding of an unknown model': failing(8, EMBEDDINGS, { model: 'gone-8', input }),
  'a chat without messages': failing(9, CHAT, { model: 'gone-9', messages: [] }, 400),
  'an interaction without input': failing(10, INTERACTIONS, { model: 'gone-10' }, 400),
};

function failing(nth: number, path: string, body: object, status = 404): CountedCall {
  return { path, body, model: `gone-${nth}`, status, isTold: false };
}

const batch = {
  displayName: 'night shift',
  inputConfig: { requests: { requests: [{ request: { contents }, metadata: { key: 'a' } }] } },
};
const generateContentRequest = { model: 'models/m', contents, systemInstruction: content };

/** In an order that makes sense: what is asked for was made before. */
export const PASSED_CALLS: readonly PassedCall[] = [
  { line: 'POST /v1beta/models/m:countTokens', body: { contents } },
  { line: 'POST /v1/models/m:countTokens', body: { generateContentRequest } },
  { line: 'GET /v1beta/models?pageSize=2' },
  { line: 'GET /v1beta/models?pageSize=2&pageToken=2' },
  { line: 'GET /v1/models/gemini-2.5-pro' },
  { line: 'GET /v1beta/models/gone-1', status: 404 },
  { line: 'POST /v1beta/models/m:batchGenerateContent', body: { batch } },
  { line: 'POST /v1beta/models/m:batchGenerateContent', body: {}, status: 400 },
  { line: 'POST /v1beta/models/m:asyncBatchEmbedContent', body: { batch } },
  { line: 'GET /v1beta/batches' },
  { line: 'GET /v1beta/batches/sim1' },
  { line: 'POST /v1beta/batches/sim2:cancel' },
  { line: 'DELETE /v1beta/batches/sim2' },
  { line: 'GET /v1beta/batches/sim2', status: 404 },
  { line: 'POST /v1beta/models/aqa:generateAnswer', body: { contents } },
  { line: 'POST /v1beta/models/bison:generateText', body: { prompt: { text: TEXT } } },
  { line: 'POST /v1beta/models/bison:generateMessage', body: { prompt: { messages } } },
  { line: 'POST /v1beta/models/bison:countMessageTokens', body: { prompt: { messages } } },
  { line: 'POST /v1beta/models/gecko:embedText', body: { text: TEXT } },
  { line: 'POST /v1beta/models/m:somethingNew', body: {}, status: 404 },
  { line: 'GET /v1beta/models/m/operations/nobody', status: 404 },
  { line: 'GET /v1beta/operations/anything' },
  { line: 'POST /v1beta/fileSearchStores', body: { displayName: 'Charts' } },
  { line: 'GET /v1beta/fileSearchStores?pageSize=10' },
  { line: 'GET /v1beta/fileSearchStores/sim000001' },
  { line: 'POST /v1beta/fileSearchStores/sim000001:importFile', body: { fileName: 'files/x' } },
  { line: 'GET /v1beta/fileSearchStores/sim000001/operations/sim2' },
  { line: 'GET /v1beta/fileSearchStores/sim000001/upload/operations/sim2' },
  { line: 'POST /v1beta/fileSearchStores/sim000001/documents', body: { displayName: 'Chart' } },
  { line: 'GET /v1beta/fileSearchStores/sim000001/documents' },
  { line: 'DELETE /v1beta/fileSearchStores/sim000001', status: 400 },
  { line: 'DELETE /v1beta/fileSearchStores/sim000001?force=true' },
  { line: 'POST /v1beta/tunedModels', body: { displayName: 'Mine' } },
  { line: 'PATCH /v1beta/tunedModels/sim000004', body: { displayName: 'Yours' } },
  { line: 'POST /v1beta/tunedModels/sim000004/permissions', body: { role: 'READER' } },
  { line: 'POST /v1beta/tunedModels/sim000004:transferOwnership', body: { emailAddress: 'a@b' } },
  { line: 'GET /v1beta/tunedModels' },
  { line: 'GET /v1beta/tuningJobs' },
  { line: 'GET /v1beta/corpora' },
  { line: 'POST /v1alpha/auth_tokens', body: { uses: 1 } },
  { line: 'POST /v1beta/agents', body: { base_agent: 'deep-research' } },
  { line: 'POST /v1beta/environments', body: {} },
  { line: 'POST /v1beta/triggers', body: { schedule: 'daily' } },
  { line: 'POST /v1beta/triggers/sim000009/executions', body: {} },
  { line: 'GET /v1beta/triggers/sim000009/executions' },
  { line: 'GET /v1beta/credentials' },
  { line: 'GET /v1beta/voices' },
  { line: 'POST /v1beta/webhooks', body: { uri: 'https://example.com' } },
  { line: 'POST /v1beta/webhooks/sim000011:ping' },
  { line: 'GET /v1beta/decisions' },
  { line: 'GET /v1beta/interactions/nobody', status: 404 },
  { line: 'GET /v1beta/openai/models' },
  { line: 'GET /v1beta/openai/models/gemini-2.5-pro' },
  { line: 'GET /v1beta/openai/models/gone-1', status: 404 },
  { line: 'GET /v1beta/openai/files' },
  { line: 'GET /v1beta/openai/batches' },
  { line: 'POST /v1beta/openai/videos', body: { model: 'veo', prompt: TEXT } },
  { line: 'POST /v1beta/openai/images/edits', body: { model: 'paints' }, status: 404 },
  { line: 'GET /v1beta/openai/chat/completions', status: 404 },
  { line: 'GET /v1beta/openai/videos/video-1' },
  { line: 'POST /v1beta/webhooks/sim000011:rotateSigningSecret' },
  { line: 'PATCH /v1beta/webhooks/sim000011', body: { uri: 'https://example.org' } },
  { line: 'DELETE /v1beta/webhooks/sim000011' },
  { line: 'GET /v1beta/tunedModels/sim000004/permissions' },
  { line: 'DELETE /v1beta/tunedModels/sim000004?force=true' },
  { line: 'POST /v1beta/cachedContents', body: { model: 'models/m', contents, ttl: '60s' } },
  { line: 'GET /v1beta/cachedContents?pageSize=5' },
  { line: 'GET /v1/cachedContents/sim000012' },
  { line: 'PATCH /v1beta/cachedContents/sim000012?updateMask=ttl', body: { ttl: '90s' } },
  { line: 'DELETE /v1beta/cachedContents/sim000012' },
  { line: 'GET /v1beta/cachedContents/sim000012', status: 404 },
  { line: 'POST /v1beta/corpora', body: { displayName: 'Old' } },
  { line: 'POST /v1beta/corpora/sim000013/documents', body: {} },
  { line: 'GET /v1beta/corpora/sim000013/documents/sim000014' },
  { line: 'POST /v1beta/credentials', body: { name: 'mine' } },
  { line: 'POST /v1beta/voices', body: {} },
  { line: 'POST /v1beta/decisions', body: {} },
  { line: 'GET /v1beta/agents' },
  { line: 'DELETE /v1beta/agents/sim000007' },
  { line: 'GET /v1beta/environments/sim000008' },
  { line: 'GET /v1beta/environments/sim000008/files/none', status: 404 },
  { line: 'DELETE /v1beta/environments/sim000008' },
  { line: 'POST /v1beta/files:register', body: { uris: ['gs://bucket/sea.mp4'] } },
  { line: 'GET /v1beta/files?pageSize=1' },
  { line: 'GET /v1beta/files/sim000000001' },
  { line: 'DELETE /v1beta/files/sim000000001' },
  { line: 'GET /v1beta/files/sim000000001', status: 404 },
  { line: 'GET /v1beta/nothing/of/this', status: 404 },
  { line: 'GET /v1beta/triggers/sim000009' },
  { line: 'GET /v1beta/triggers/sim000009/executions/sim000010' },
  { line: 'DELETE /v1beta/triggers/sim000009?force=true' },
  { line: 'GET /v1beta/credentials/sim000015' },
  { line: 'DELETE /v1beta/credentials/sim000015' },
  { line: 'GET /v1beta/voices/sim000016' },
  { line: 'GET /v1beta/decisions/sim000017' },
  { line: 'POST /v1beta/tuningJobs', body: { baseModel: 'models/m' } },
  { line: 'GET /v1beta/tuningJobs/sim000018' },
  { line: 'GET /v1beta/files/batch-sim3:download?alt=media', status: 404 },
  {
    line: 'POST /v1beta/models/m:batchGenerateContent',
    body: { batch: { inputConfig: { fileName: 'files/questions' } } },
  },
  { line: 'GET /v1beta/batches/sim3' },
  { line: 'GET /v1beta/files/batch-sim3:download?alt=media' },
  { line: 'GET /download/v1beta/files/batch-sim3:download?alt=media' },
  { line: 'POST /v1beta/openai/files', body: { purpose: 'batch' } },
  { line: 'GET /v1beta/openai/files/file-1' },
  { line: 'POST /v1beta/openai/batches', body: { input_file_id: 'file-1' } },
  { line: 'GET /v1beta/openai/batches/batch-1' },
  { line: 'DELETE /v1beta/openai/batches/batch-1', status: 404 },
];
