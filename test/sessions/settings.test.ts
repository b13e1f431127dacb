import fc from 'fast-check';
import t from 'tap';
import { ProxyError } from '../../src/errors.ts';
import { parseConfigFile } from '../../src/sessions/continuation/config.ts';
import { inputRoom, isForeignModel } from '../../src/sessions/continuation/limits.ts';
import {
  backendOf,
  bodyFields,
  fitToModel,
  mergeLayers,
} from '../../src/sessions/continuation/settings.ts';
import type { ConfigSource } from '../../src/sessions/contracts.ts';
import { readSettings } from '../../src/sessions/continuation/settings-map.ts';
import { PROPERTY_RUNS } from '../support/runs.ts';

const SOURCES: readonly ConfigSource[] = ['request', 'config', 'config_path', 'session'];

function merge(said: Partial<Record<ConfigSource, Record<string, unknown>>>) {
  return mergeLayers(SOURCES.map((from) => ({ from, settings: readSettings(said[from] ?? {}) })));
}

function bodyOf(session: Record<string, unknown>, model = 'gemini-2.5-flash') {
  return bodyFields(fitToModel(merge({ session }), model));
}

t.test('settings go where the API wants them, in its spelling', async (t) => {
  const expected = {
    systemInstruction: { parts: [{ text: 'Be brief.' }] },
    tools: [{ googleSearch: {} }, { codeExecution: {} }],
    toolConfig: { functionCallingConfig: { mode: 'NONE' } },
    safetySettings: [{ category: 'c', threshold: 't' }],
    generationConfig: {
      maxOutputTokens: 100,
      temperature: 0,
      topP: 0.9,
      topK: 40,
      candidateCount: 1,
      stopSequences: ['END'],
      seed: -7,
      presencePenalty: 0.1,
      frequencyPenalty: -0.1,
      responseMimeType: 'application/json',
      responseSchema: { type: 'OBJECT', properties: { max_tokens: {} } },
      thinkingConfig: { thinkingBudget: -1, includeThoughts: true },
    },
  };
  const massgen = {
    type: 'gemini',
    model: 'gemini-2.5-flash',
    system_message: 'Be brief.',
    enable_web_search: true,
    enable_code_execution: true,
    tool_config: { functionCallingConfig: { mode: 'NONE' } },
    safety_settings: [{ category: 'c', threshold: 't' }],
    max_tokens: 100,
    temperature: 0,
    top_p: 0.9,
    top_k: 40,
    candidate_count: 1,
    stop_sequences: ['END'],
    seed: -7,
    presence_penalty: 0.1,
    frequency_penalty: -0.1,
    response_mime_type: 'application/json',
    response_schema: { type: 'OBJECT', properties: { max_tokens: {} } },
    thinking_config: { thinking_budget: -1, include_thoughts: true },
  };
  t.strictSame(bodyOf(massgen), expected);
  const { tools: _, ...more } = expected;
  const gemini = { ...more, tools: [{ google_search: {} }, { codeExecution: {} }] };
  t.strictSame(bodyOf({ ...gemini, enable_web_search: true }), gemini, 'a tool is there once');
  const flat = { ...more.generationConfig, systemInstruction: 'Be brief.' };
  t.strictSame(bodyOf(flat)['generationConfig'], expected.generationConfig, 'without nesting');
});

t.test('the settings in force are written down by the keys of MassGen', async (t) => {
  const settings = merge({
    session: {
      systemInstruction: 'x',
      maxOutputTokens: 5,
      thinkingConfig: { thinkingLevel: 'low' },
    },
  });
  t.strictSame(backendOf(settings, 'gemini-3-pro'), {
    type: 'gemini',
    model: 'gemini-3-pro',
    max_tokens: 5,
    thinking_config: { thinking_level: 'low' },
  });
});

t.test('a stronger source wins, and the conflict is said for people', async (t) => {
  const { values, conflicts } = merge({
    config: { temperature: 0.2, topP: 0.5 },
    config_path: { temperature: 0.4, top_p: 0.5 },
    session: { temperature: 0.7, seed: 1 },
  });
  t.strictSame(values.get('temperature'), { from: 'config', value: 0.2 });
  t.strictSame(values.get('seed'), { from: 'session', value: 1 });
  t.strictSame(conflicts, [
    {
      key: 'temperature',
      used: { from: 'config', value: 0.2 },
      ignored: { from: 'config_path', value: 0.4 },
      message: 'temperature: 0.2 (config) instead of 0.4 (config_path)',
    },
    {
      key: 'temperature',
      used: { from: 'config', value: 0.2 },
      ignored: { from: 'session', value: 0.7 },
      message: 'temperature: 0.2 (config) instead of 0.7 (session)',
    },
  ]);
});

t.test('null takes a setting back', async (t) => {
  const { values, conflicts } = merge({
    config: { temperature: null, thinking_config: null, seed: null },
    session: { temperature: 0.7, thinking_config: { thinking_budget: 5 }, top_k: null },
  });
  t.equal(values.size, 0);
  t.strictSame(
    conflicts.map(({ message }) => message),
    [
      'temperature: removed (config) instead of 0.7 (session)',
      'thinking_budget: removed (config) instead of 5 (session)',
    ],
  );
});

t.test(
  'what the API does not take is dropped and said, and a weaker good value is used',
  async (t) => {
    const bad: Record<string, unknown> = {
      temperature: 'hot',
      max_tokens: 0,
      top_k: 1.5,
      candidate_count: 2,
      stop_sequences: 'END',
      response_schema: [],
      safety_settings: [1],
      enable_web_search: 'yes',
      system_message: 5,
      model: '../../x',
      frobnicate: 1,
      constructor: 1,
      thinking_config: { frobnicate: 1 },
      generation_config: 3,
    };
    for (const [key, value] of Object.entries(bad)) {
      const { values, conflicts } = merge({ config: { [key]: value } });
      t.equal(values.size, 0, key);
      t.equal(conflicts.length, 1, key);
      t.equal(conflicts[0]?.used, null);
      t.equal(conflicts[0]?.ignored.from, 'config');
    }
    const { values, conflicts } = merge({
      config: { temperature: 'hot' },
      session: { temperature: 1 },
    });
    t.equal(values.get('temperature')?.value, 1);
    t.equal(
      conflicts[0]?.message,
      'temperature: hot (config) is not a number; 1 (session) is used',
    );
    t.match(
      merge({ config: { frobnicate: 1 } }).conflicts[0]?.message,
      /not known to the API; it is left out/,
    );
    t.match(
      merge({ config: { max_tokens: 1, maxOutputTokens: 2 } }).conflicts[0]?.message,
      /second time/,
    );
  },
);

t.test('a mapping that holds itself is no setting', async (t) => {
  const knot: Record<string, unknown> = {};
  knot['knot'] = knot;
  const { values, conflicts } = merge({
    session: { response_schema: knot, tools: [knot], unknown: knot, mcp_servers: knot },
  });
  t.equal(values.size, 0);
  t.equal(conflicts.length, 3);
});

t.test('keys of MassGen are not sent; those that a user would miss are named', async (t) => {
  const { values, unusable, notCarried, remarks } = readSettings({
    type: 'gemini',
    _config_path: 'x',
    instance_id: 'i',
    enable_rate_limit: true,
    cwd: 'workspace',
    mcp_servers: { s: { env: { TOKEN: 'secret' } } },
    context_paths: [],
    command_line_allowed_commands: ['ls'],
    enable_image_generation: false,
    cached_content: 'cachedContents/1',
    http_options: { headers: { 'x-key': 'secret' } },
    api_key: 'secret',
    base_url: 'http://127.0.0.1:4290',
  });
  t.equal(values.size + unusable.length, 0);
  t.strictSame(notCarried, ['cwd', 'mcp_servers', 'command_line_allowed_commands']);
  t.equal(remarks.length, 4);
  t.notMatch(remarks.join(), /secret|cachedContents/);
});

t.test('no conflict tells a secret', async (t) => {
  const { conflicts } = merge({
    session: {
      openai_key: 'secret-1',
      extra_headers: { Authorization: 'secret-2', list: [{ password: 'secret-3' }] },
      note: `sk-${'a'.repeat(20)}`,
      other: `AIza${'b'.repeat(35)}`,
      long: 'x'.repeat(5_000),
    },
  });
  t.equal(conflicts.length, 5);
  t.notMatch(JSON.stringify(conflicts), /secret-|sk-a|AIzab|x{100}/);
});

t.test('a model gets only what its generation takes', async (t) => {
  const kept = (model: string, settings: Record<string, unknown>): string[] => {
    const fitted = fitToModel(merge({ session: settings }), model);
    t.equal(fitted.conflicts.length, Object.keys(settings).length - fitted.values.size, model);
    t.ok(fitted.conflicts.every(({ used }) => used === null));
    return [...fitted.values.keys()];
  };
  const both = { thinking_budget: 100, thinking_level: 'low' };
  t.strictSame(kept('gemini-2.0-flash', { ...both, include_thoughts: true }), []);
  t.strictSame(kept('gemini-2.5-flash', both), ['thinking_budget']);
  t.strictSame(kept('gemini-2.5-pro', { thinking_budget: 0 }), []);
  t.strictSame(kept('gemini-2.5-flash', { thinking_budget: 0 }), ['thinking_budget']);
  t.strictSame(kept('gemini-3-pro', both), ['thinking_level']);
  t.strictSame(kept('gemini-3-pro', { thinking_budget: 100 }), ['thinking_budget']);
  t.strictSame(kept('gemini-4-argon', both), ['thinking_level']);
  t.strictSame(kept('gemini-4-argon', { thinking_level: 'MINIMAL', presence_penalty: 1 }), []);
  t.strictSame(kept('gemini-flash-latest', { thinking_level: 'low' }), ['thinking_level']);
  t.strictSame(kept('gemma-3-27b-it', { system_message: 'x', temperature: 1 }), ['temperature']);
  const { values } = fitToModel(
    merge({ config: { thinking_budget: 0 }, session: { thinking_level: 'low' } }),
    'gemini-3-flash',
  );
  t.strictSame([...values.keys()], ['thinking_budget'], 'the stronger source wins');
});

t.test('a model has room for its answer beside the input', async (t) => {
  t.equal(inputRoom('gemini-4-argon', null), 1_048_576 - 65_536);
  t.equal(inputRoom('gemini-2.5-flash', 1_000), 1_048_576 - 1_000);
  t.equal(inputRoom('gemma-3-27b-it', null), 131_072 - 32_768);
  t.ok(isForeignModel('gpt-5') && isForeignModel('o1') && !isForeignModel('my-model'));
});

t.test(
  'for each key the strongest usable value is in force, and all that differ are conflicts',
  async () => {
    const value = fc.constantFrom(undefined, null, 'bad', 1, 2);
    const said = fc.record({ request: value, config: value, config_path: value, session: value });
    fc.assert(
      fc.property(said, (said) => {
        const { values, conflicts } = merge(
          Object.fromEntries(SOURCES.map((from) => [from, { temperature: said[from] }])),
        );
        const usable = SOURCES.filter((from) => said[from] !== undefined && said[from] !== 'bad');
        const first = usable[0];
        const inForce = first === undefined ? null : said[first];
        const losers = usable
          .slice(1)
          .filter((from) => said[from] !== null && said[from] !== inForce);
        const bad = SOURCES.filter((from) => said[from] === 'bad');
        return (
          (values.get('temperature')?.value ?? null) === inForce &&
          (inForce === null || values.get('temperature')?.from === first) &&
          conflicts.map(({ ignored }) => ignored.from).join() === [...losers, ...bad].join()
        );
      }),
      { numRuns: PROPERTY_RUNS },
    );
  },
);

t.test('a configuration of MassGen is read, as YAML and as JSON', async (t) => {
  const yaml = `
agents:
  - id: one
    system_message: Be brief.
    backend: { type: gemini, model: gemini-2.5-pro, temperature: 0.5 }
  - backend: { model: x }
orchestrator: { snapshot_storage: s }
ui: { display_type: simple }
`;
  const file = parseConfigFile(yaml, 'c.yaml');
  t.match(file.agents[0], {
    id: 'one',
    type: 'gemini',
    model: 'gemini-2.5-pro',
    systemMessage: 'Be brief.',
  });
  t.match(file.agents[1], { id: 'agent2', type: null, model: 'x', systemMessage: null });
  t.strictSame(Object.keys(file.settings), ['orchestrator']);
  const single = { agent: { id: 7, backend: { type: 'gemini', model: 'm' } } };
  t.match(parseConfigFile(JSON.stringify(single), 'c.json').agents, [{ id: '7', model: 'm' }]);
  const recorded = parseConfigFile(JSON.stringify({ query: 'q', config: single }), 'r.yaml');
  t.match(recorded.agents, [{ id: '7' }], 'as MassGen records it');
  t.strictSame(recorded.settings, {});
});

t.test('a flat mapping is read, and its agent is a name', async (t) => {
  const file = parseConfigFile(
    'agent: b\ntemperature: 0.1\nstop_sequences: [on, 2001-01-01]\n',
    's',
  );
  t.strictSame(file.agents, []);
  t.strictSame(file.settings, {
    agent: 'b',
    temperature: 0.1,
    stop_sequences: ['on', '2001-01-01'],
  });
});

t.test('a mistake in a configuration is told with its place', async (t) => {
  const knot = 'a: &a\n  b: *a\n';
  const bomb = `a: &a [x,x]\n${'bcdefgh'
    .split('')
    .map((k, i) => `${k}: &${k} [${`*${'abcdefgh'[i]},`.repeat(9)}]\n`)
    .join('')}`;
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['', '1:1', /mapping/],
    ['- 1\n', '1:1', /mapping/],
    ['a: [1', '1:6', /neither YAML nor JSON/],
    ['{"a": 1,\n "b" 2}', '2:6', /./],
    ['a: 1\na: 2\n', '2:1', /twice/],
    ['\ta: 1\n', '1:1', /./],
    ['a: *x\n', '1:1', /alias/i],
    [knot, '1:1', /circular/i],
    [bomb, '1:1', /alias/i],
    ['agents: 3\n', '1:9', /list/],
    ['agents:\n  - id: a\n  - 4\n', '3:5', /mapping/],
    ['agents:\n  - id: a\n    backend: [1]\n', '3:14', /backend/],
    ['agents:\n  - id: a\n  - id: a\n', '3:9', /two agents "a"/],
    ['config:\n  agents: x\n', '2:11', /list/],
  ];
  for (const [text, place, message] of cases) {
    try {
      parseConfigFile(text, 'dir/c.yaml');
      t.fail(`nothing was wrong with ${text}`);
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      t.equal(error.reason, 'CONFIG_INVALID');
      t.equal(error.where, `dir/c.yaml:${place}`, text);
      t.ok(error.message.startsWith(`dir/c.yaml:${place}: `));
      t.match(error.message, message);
    }
  }
});
