import t from 'tap';
import { ProxyError } from '../../src/errors.ts';
import { classify, type EndpointMethod } from '../../src/gemini/route.ts';

const VERSIONS = ['v1', 'v1beta', 'v1alpha'] as const;

/** Every POST that takes quota: below the version, its name, its model, and how its answer comes. */
const COUNTED: readonly [string, EndpointMethod, string | null, string][] = [
  ['models/m-1.5:generateContent', 'generateContent', 'm-1.5', 'no'],
  ['models/m:streamGenerateContent', 'streamGenerateContent', 'm', 'array'],
  ['models/m:streamGenerateContent?alt=sse', 'streamGenerateContent', 'm', 'sse'],
  ['models/m:streamGenerateContent?key=k&%24alt=sse', 'streamGenerateContent', 'm', 'sse'],
  ['models/m:streamGenerateContent?alt=json', 'streamGenerateContent', 'm', 'array'],
  ['models/m:generateContent?alt=sse', 'generateContent', 'm', 'no'],
  ['models/m:embedContent', 'embedContent', 'm', 'no'],
  ['models/m:batchEmbedContents', 'batchEmbedContents', 'm', 'no'],
  ['models/imagen-4.0:predict', 'predict', 'imagen-4.0', 'no'],
  ['models/veo-3.1:predictLongRunning', 'predictLongRunning', 'veo-3.1', 'no'],
  ['tunedModels/mine-x1:generateContent', 'generateContent', 'tunedModels/mine-x1', 'no'],
  ['tunedModels/t:streamGenerateContent', 'streamGenerateContent', 'tunedModels/t', 'array'],
  ['dynamic/d:generateContent', 'generateContent', 'dynamic/d', 'no'],
  ['interactions', 'interactions', null, 'body'],
  ['openai/chat/completions', 'chat.completions', null, 'body'],
  ['openai/embeddings', 'embeddings', null, 'no'],
  ['openai/images/generations', 'images.generations', null, 'no'],
];

/** What costs no quota of a minute, with the verbs that are sent to it. */
const PASSED: readonly [string, string][] = [
  ['GET', 'models'],
  ['GET', 'models?pageSize=5&pageToken=x'],
  ['GET', 'models/m'],
  ['GET', 'models/m/operations/o'],
  ['POST', 'models/m:countTokens'],
  ['POST', 'models/m:batchGenerateContent'],
  ['POST', 'models/m:asyncBatchEmbedContent'],
  ['POST', 'models/m:generateAnswer'],
  ['POST', 'models/m:generateMessage'],
  ['POST', 'models/m:generateText'],
  ['POST', 'models/m:embedText'],
  ['POST', 'models/m:countMessageTokens'],
  ['POST', 'models/m:somethingNew'],
  ['POST', 'models/m:generatecontent'],
  ['POST', 'models/m:generateContents'],
  ['POST', 'models/m:generateContent/more'],
  ['POST', 'models/m'],
  ['GET', 'models/m:generateContent'],
  ['OPTIONS', 'models/m:generateContent'],
  ['PUT', 'models/m:generateContent'],
  ['GET', 'tunedModels'],
  ['POST', 'tunedModels'],
  ['PATCH', 'tunedModels/t'],
  ['POST', 'tunedModels/t:transferOwnership'],
  ['POST', 'tunedModels/t/permissions'],
  ['DELETE', 'tunedModels/t/permissions/p'],
  ['POST', 'tuningJobs'],
  ['GET', 'operations'],
  ['GET', 'operations/o'],
  ['GET', 'batches'],
  ['POST', 'batches/b:cancel'],
  ['DELETE', 'batches/b'],
  ['GET', 'files'],
  ['POST', 'files:register'],
  ['DELETE', 'files/f'],
  ['GET', 'files/f:download?alt=media'],
  ['POST', 'cachedContents'],
  ['PATCH', 'cachedContents/c'],
  ['POST', 'fileSearchStores'],
  ['POST', 'fileSearchStores/s:importFile'],
  ['DELETE', 'fileSearchStores/s?force=true'],
  ['GET', 'fileSearchStores/s/upload/operations/o'],
  ['POST', 'corpora/c:query'],
  ['POST', 'auth_tokens'],
  ['GET', 'interactions/i?stream=true&last_event_id=e'],
  ['POST', 'interactions/i/cancel'],
  ['DELETE', 'interactions/i'],
  ['GET', 'interactions'],
  ['POST', 'agents'],
  ['POST', 'environments'],
  ['POST', 'triggers/t/executions'],
  ['POST', 'credentials'],
  ['GET', 'voices'],
  ['POST', 'webhooks/w:ping'],
  ['POST', 'webhooks/w:rotateSigningSecret'],
  ['POST', 'decisions'],
  ['GET', 'openai/models'],
  ['GET', 'openai/models/m'],
  ['POST', 'openai/videos'],
  ['GET', 'openai/videos/v'],
  ['POST', 'openai/files'],
  ['POST', 'openai/batches'],
  ['POST', 'openai/images/edits'],
  ['POST', 'openai/images'],
  ['GET', 'openai/chat/completions'],
  ['POST', 'openai/chat/completions/c'],
];

t.test('what takes quota is known in every version, with its model and its form', async (t) => {
  for (const version of VERSIONS) {
    for (const [path, method, model, streams] of COUNTED) {
      const expected = { counted: true, method, model, streams };
      t.match(classify('POST', `/${version}/${path}`), expected, `${version}/${path}`);
    }
  }
});

t.test('the model is in the body exactly where the path has none', async (t) => {
  for (const [path, , model] of COUNTED) {
    const { modelIn } = classify('POST', `/v1beta/${path}`);
    t.equal(modelIn, model === null ? 'body' : 'path', path);
  }
});

t.test('each surface has its own dialect of errors', async (t) => {
  for (const [path] of COUNTED) {
    const surface = /^(openai|interactions)/.exec(path)?.[1] ?? 'gemini';
    t.equal(classify('POST', `/v1beta/${path}`).surface, surface, path);
  }
});

t.test('what may be sent again after a 5xx leaves nothing behind', async (t) => {
  const lasting = ['predict', 'predictLongRunning', 'interactions', 'images.generations'];
  for (const [path, method] of COUNTED) {
    const { resendable } = classify('POST', `/v1beta/${path}`);
    t.equal(resendable, !lasting.includes(method), path);
  }
});

t.test('no spelling of a path gets by the count', async (t) => {
  for (const [path, method, model] of COUNTED) {
    const [resource = '', query] = path.split('?');
    const tail = query === undefined ? '' : `?${query}`;
    const spellings = [
      `/v1beta/${resource.replaceAll(':', '%3A')}${tail}`,
      `/v1beta/${resource.replaceAll(':', '%3a')}${tail}`,
      `/v1beta/${resource.replaceAll('/', '%2F')}${tail}`,
      `/v1beta%2F${resource}${tail}`,
      `/v1beta/${everyLetterEscaped(resource)}${tail}`,
      `/v1beta/${resource}/${tail}`,
      `/v1beta//${resource.replaceAll('/', '//')}${tail}`,
    ];
    for (const spelling of spellings) {
      t.match(classify('POST', spelling), { counted: true, method, model }, spelling);
    }
    t.match(classify('post', `/v1beta/${path}`), { method }, 'and no spelling of POST');
  }
});

t.test('what takes none passes in every version', async (t) => {
  for (const version of VERSIONS) {
    for (const [method, path] of PASSED) {
      const expected = { counted: false, method: 'pass', surface: 'pass', model: null };
      t.match(classify(method, `/${version}/${path}`), expected, `${method} ${version}/${path}`);
      t.match(classify(method, `/${version}/${path.replaceAll(':', '%3A')}`), expected);
    }
  }
});

t.test('uploads and downloads pass whatever is in their names', async (t) => {
  for (const [method, path] of [
    ['POST', '/upload/v1beta/files'],
    ['POST', '/upload/v1beta/files?upload_id=x&upload_protocol=resumable'],
    ['POST', '/upload/v1beta/fileSearchStores/s:uploadToFileSearchStore'],
    ['PUT', '/upload/v1beta/environments/e/files/models/m:generateContent'],
    ['GET', '/download/v1beta/files/f:download?alt=media'],
    ['POST', '/v1beta/%zz'],
    ['POST', '/v1beta/'],
    ['POST', '/'],
  ] as const) {
    t.match(classify(method, path), { counted: false, method: 'pass' }, path);
  }
});

t.test('Live sessions are known by their path in every version', async (t) => {
  for (const version of VERSIONS) {
    for (const verb of [
      'BidiGenerateContent',
      'BidiGenerateContentConstrained',
      'BidiGenerateMusic',
    ]) {
      const path = `/ws/google.ai.generativelanguage.${version}.GenerativeService.${verb}`;
      t.match(classify('GET', `${path}?key=k`), { counted: true, method: 'live' }, path);
    }
  }
});

t.test('a model that no model can be called costs nothing', async (t) => {
  for (const [path, reason] of [
    ['models/:predict', 'MODEL_MISSING'],
    ['models/%20:embedContent', 'MODEL_MISSING'],
    ['tunedModels/:generateContent', 'MODEL_MISSING'],
    [':batchEmbedContents', 'MODEL_MISSING'],
    ['models/a/b:predictLongRunning', 'BAD_REQUEST'],
    ['models/..%2Fm:generateContent', 'BAD_REQUEST'],
    ['corpora/c:generateContent', 'BAD_REQUEST'],
    ['models/m:x:generateContent', 'BAD_REQUEST'],
  ] as const) {
    try {
      classify('POST', `/v1beta/${path}`);
      t.fail(`${path} was taken`);
    } catch (error) {
      t.ok(error instanceof ProxyError);
      t.match(error, { reason, where: 'path' }, path);
    }
  }
});

function everyLetterEscaped(resource: string): string {
  return resource.replace(/[a-z]/gi, (letter) => `%${letter.charCodeAt(0).toString(16)}`);
}
