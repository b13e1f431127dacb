import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { effectiveLimits, projectOf, resolveAlias, rulesFor } from '../../src/config/limits.ts';
import { loadConfig, type LoadFlags } from '../../src/config/load.ts';
import type { LoadedConfig } from '../../src/config/loaded.ts';
import { price } from '../../src/config/pricing.ts';
import { settingsFrom } from '../../src/config/settings.ts';
import type { Settings } from '../../src/exchange/settings.ts';

const MASSGEN = fileURLToPath(
  new URL('../fixtures/config/massgen/rate_limits.yaml', import.meta.url),
);

function load(t: Test, text: string, flags: LoadFlags = {}): LoadedConfig {
  const file = join(t.testdir({ 'config.yaml': text }), 'config.yaml');
  return loadConfig({ file, env: { HOME: '/users/me' }, cwd: '/cwd', flags });
}

/** rpm, tpm and rpd of a model of the default project. */
function limitsOf(config: LoadedConfig, model: string, project = 'default') {
  const { policies } = rulesFor(config, project, model);
  return policies.slice(0, 3).map(({ limit }) => limit);
}

function sourcesOf(config: LoadedConfig, model: string) {
  return rulesFor(config, 'default', model).policies.map(({ source }) => source);
}

t.test(
  "The default profile has MassGen's rows and the free tier's for newer models.",
  async (t) => {
    const config = load(t, '');
    const expected = {
      'gemini-2.5-flash': [9, 240_000, 245],
      'gemini-2.5-pro': [2, 120_000, 48],
      'gemini-3.8-flash': [5, 250_000, 20],
      'gemini-3.5-flash-lite': [15, 250_000, 500],
      'gemini-2.5-flash-preview-tts': [3, 10_000, 10],
      'gemini-3.1-pro-preview': [2, 120_000, 48],
      'gemini-embedding-001': [100, 30_000, 1000],
      'something-new': [7, 100_000, 100],
    };
    for (const [model, limits] of Object.entries(expected)) {
      t.same(limitsOf(config, model), limits, model);
    }
    t.same(sourcesOf(config, 'gemini-2.5-pro'), Array(3).fill('profile massgen'));
  },
);

t.test('A model takes its exact key, else the longest that matches or is contained.', async (t) => {
  const config = load(
    t,
    `rate_limits:
  profile: none
  gemini:
    gemini-2.5: { rpm: 1 }
    "gemini-*-lite": { rpm: 2 }
    gemini-2.5-flash: { rpm: 3 }
    gemini-2.5-flash-lite-exact: { rpm: 4 }
    "tuned*": { rpm: 5 }
    default: { rpm: 6 }
`,
  );
  const rpm = (model: string) => limitsOf(config, model)[0];
  t.equal(rpm('gemini-2.5-pro'), 1);
  t.equal(rpm('gemini-2.0-lite'), 2);
  t.equal(rpm('gemini-2.5-flash'), 3);
  t.equal(rpm('gemini-2.5-flash-lite'), 3);
  t.equal(rpm('gemini-2.5-flash-lite-exact'), 4);
  t.equal(rpm('tunedModels/mine'), 5);
  t.equal(rpm('GEMINI-2.5-FLASH'), 6);
  t.equal(rpm('default'), 6);
  t.same(limitsOf(config, 'x'), [6, null, null]);
  t.equal(sourcesOf(config, 'x')[1], 'no row names it');
});

t.test('Each limit comes from the first source whose row names it.', async (t) => {
  const config = load(
    t,
    `rate_limits:
  file: ${MASSGEN}
  gemini:
    gemini-2.5-flash: { rpm: 20 }
    "gemini-3*": { rpd: null }
    default: { rpm: 1, tpm: 1, rpd: 1 }
`,
  );
  t.same(limitsOf(config, 'gemini-2.5-flash'), [20, 240_000, 245]);
  t.same(sourcesOf(config, 'gemini-2.5-flash'), [
    'config.yaml:4',
    'rate_limits.yaml:5',
    'rate_limits.yaml:6',
  ]);
  t.same(limitsOf(config, 'gemini-3.8-flash'), [5, 250_000, null]);
  t.same(limitsOf(config, 'gemini-2.5-flash-lite'), [20, 240_000, 245]);
  t.same(limitsOf(config, 'unheard-of'), [1, 1, 1]);
  t.match(config.warnings.join('\n'), /gemini\.default holds only for models/);
});

t.test(
  "MassGen's file is read as it is, null included, and its other parts are told.",
  async (t) => {
    const config = load(t, `rate_limits: { profile: none, file: "${MASSGEN}" }`);
    t.same(limitsOf(config, 'gemini-2.5-flash'), [9, 240_000, 245]);
    t.same(limitsOf(config, 'models/gemini-2.5-pro'), [2, 120_000, 48]);
    t.same(limitsOf(config, 'gemini-9'), [7, 100_000, null]);
    t.same(limitsOf(config, 'gpt-4'), [7, 100_000, null]);
    t.same(config.warnings, [`${MASSGEN}:3: not read: burst of gemini-2.5-flash`]);
  },
);

t.test("A project's own rows, its default included, win over everything else.", async (t) => {
  const config = load(
    t,
    `upstream: { api_key: key-b }
projects:
  team-b:
    keys: [key-b, key-b2]
    rate_limits: { gemini: { default: { rpm: 60 }, gemini-2.5-pro: { rpm: 9 } } }
`,
  );
  t.same(limitsOf(config, 'gemini-2.5-flash', 'team-b'), [60, 240_000, 245]);
  t.same(limitsOf(config, 'gemini-2.5-pro', 'team-b'), [9, 120_000, 48]);
  t.same(limitsOf(config, 'gemini-2.5-flash'), [9, 240_000, 245]);
  t.equal(projectOf(config, 'key-b2'), 'team-b');
  t.equal(projectOf(config, 'unknown'), 'default');
  t.equal(projectOf(config, null), 'team-b');
  t.equal(projectOf(load(t, ''), null), 'default');
});

t.test('rpm, tpm and rpd come first and mean what the modes say.', async (t) => {
  const windows = (text: string) =>
    rulesFor(load(t, text), 'default', 'm').policies.map(({ name, unit, window, guardMs }) => ({
      name,
      unit,
      window,
      guardMs,
    }));
  const minute = { kind: 'sliding', spanMs: 60_000 };
  const zone = 'America/Los_Angeles';
  t.same(windows(''), [
    { name: 'rpm', unit: 'requests', window: minute, guardMs: 1000 },
    { name: 'tpm', unit: 'input_tokens', window: minute, guardMs: 1000 },
    { name: 'rpd', unit: 'requests', window: { kind: 'sliding_day', zone }, guardMs: 1000 },
  ]);
  const utc = { kind: 'calendar', period: 'minute', zone: 'UTC' };
  t.same(
    windows('rate_limits: { minute: utc, day: pacific, tpm_counts: total, window_guard: 0s }'),
    [
      { name: 'rpm', unit: 'requests', window: utc, guardMs: 0 },
      { name: 'tpm', unit: 'total_tokens', window: utc, guardMs: 0 },
      {
        name: 'rpd',
        unit: 'requests',
        window: { kind: 'calendar', period: 'day', zone },
        guardMs: 0,
      },
    ],
  );
  t.same(windows('rate_limits: { minute_span: 6s }')[0]?.window, { kind: 'sliding', spanMs: 6000 });
});

t.test("A profile's day holds unless the file says otherwise.", async (t) => {
  const dayOf = (text: string) => load(t, text).rateLimits.day;
  t.equal(dayOf('rate_limits: { profile: free }'), 'pacific');
  t.equal(dayOf('rate_limits: { profile: free, day: sliding }'), 'sliding');
  t.equal(dayOf('rate_limits: { profile: massgen }'), 'sliding');
});

t.test('Free windows count any unit over any time, dollars in millionths.', async (t) => {
  const config = load(
    t,
    `rate_limits:
  gemini:
    my-model:
      windows:
        - { name: burst, unit: requests, limit: 3, per: 10s }
        - { name: spend, unit: usd, limit: 0.25, per: day }
        - { name: hourly, unit: total_tokens, limit: 9, per: hour }
        - { name: monthly, unit: usd, limit: 5, per: month }
        - { name: minutely, unit: input_tokens, limit: 7, per: minute }
      max_concurrent: 4
`,
  );
  const rules = rulesFor(config, 'default', 'my-model');
  const zone = 'America/Los_Angeles';
  t.equal(rules.maxConcurrent, 4);
  t.same(
    rules.policies.slice(3).map(({ name, limit, window, source }) => [name, limit, window, source]),
    [
      ['burst', 3, { kind: 'sliding', spanMs: 10_000 }, 'config.yaml:5'],
      ['spend', 250_000, { kind: 'sliding_day', zone }, 'config.yaml:6'],
      ['hourly', 9, { kind: 'sliding', spanMs: 3_600_000 }, 'config.yaml:7'],
      ['monthly', 5_000_000, { kind: 'calendar', period: 'month', zone }, 'config.yaml:8'],
      ['minutely', 7, { kind: 'sliding', spanMs: 60_000 }, 'config.yaml:9'],
    ],
  );
  t.equal(rulesFor(config, 'default', 'other').policies.length, 3);
  t.equal(settingsFrom(config, () => 0).countsOutput, true);
  t.equal(settingsFrom(load(t, ''), () => 0).countsOutput, false);
});

t.test('Starts are spaced by kind of model and capped just below rpm.', async (t) => {
  const startOf = (config: LoadedConfig, model: string) => rulesFor(config, 'default', model).start;
  const config = load(t, '');
  const idleMs = 600_000;
  t.same(startOf(config, 'gemini-2.5-flash'), { cooldownMs: 3000, perMinute: 8, idleMs });
  t.same(startOf(config, 'gemini-2.5-pro'), { cooldownMs: 10_000, perMinute: 1, idleMs });
  t.same(startOf(config, 'gemini-embedding-1'), { cooldownMs: 5000, perMinute: 100, idleMs });
  const own = load(
    t,
    `rate_limits: { profile: none }
cooldown:
  startup: { "gemini-*": 1s, "gemini-*-flash": 250ms }
  starts_per_minute: { "gemini-*": 4, "gemini-3*-pro": null }
`,
  );
  t.match(startOf(own, 'gemini-3-flash'), { cooldownMs: 250, perMinute: 4 });
  t.match(startOf(own, 'gemini-3-pro'), { cooldownMs: 1000, perMinute: null });
  t.match(startOf(own, 'gpt'), { cooldownMs: 5000, perMinute: null });
});

t.test('Without rate limit nothing is held, and without cooldown no start is.', async (t) => {
  const rules = (text: string, flags: LoadFlags = {}) =>
    rulesFor(load(t, text, flags), 'default', 'gemini-2.5-flash');
  t.match(rules(''), { enforce: true, learn: true, start: { cooldownMs: 3000 } });
  t.match(rules('cooldown: null'), { enforce: true, start: null });
  t.match(rules('mode: shadow'), { enforce: false, start: { cooldownMs: 3000 } });
  t.match(rules('', { rateLimit: false }), { enforce: false, start: null });
  t.match(rules('rate_limits: { learn: false }'), { learn: false });
});

t.test('Aliases are followed to their end.', async (t) => {
  const config = load(t, 'rate_limits: { aliases: { a: b, b: gemini-2.5-pro } }');
  t.equal(resolveAlias(config, 'a'), 'gemini-2.5-pro');
  t.equal(resolveAlias(config, 'c'), 'c');
  t.equal(resolveAlias(load(t, ''), 'gemini-flash-latest'), 'gemini-3.8-flash');
});

t.test('Prices follow their dates, long prompts and cached tokens.', async (t) => {
  const config = load(t, '');
  const tokens = { input: 1000, output: 100, cached: 0 };
  const before = Date.UTC(2026, 11, 31, 23, 59);
  const after = Date.UTC(2027, 0, 1);
  t.equal(price(config, 'gemini-3.8-flash', tokens, before), 750 + 375);
  t.equal(price(config, 'gemini-3.8-flash', tokens, after), 1500 + 750);
  t.equal(price(config, 'gemini-3.6-flash', tokens, after), 1500 + 750);
  t.equal(price(config, 'gemini-3.8-flash', { ...tokens, cached: 400 }, before), 450 + 30 + 375);
  const long = { input: 200_001, output: 0, cached: 0 };
  t.equal(price(config, 'gemini-2.5-pro', long, before), Math.round(200_001 * 2.5));
  t.equal(price(config, 'gemini-2.5-pro', { ...long, input: 200_000 }, before), 250_000);
  t.equal(price(config, 'gemini-2.5-flash-preview-09-2026', tokens, before), 300 + 250);
  t.equal(price(config, 'my-model', tokens, before), 0);
  const settings: Settings = settingsFrom(config, () => after);
  t.equal(settings.price('gemini-4-argon', tokens), 4000 + 2000);
});

t.test('Every configured key is told with its limits and their sources.', async (t) => {
  const config = load(
    t,
    `rate_limits: { profile: free, gemini: { my-model: { rpm: 3 } } }
projects: { b: { rate_limits: { gemini: { my-model: { rpm: 4 } } } }, c: {} }
`,
  );
  const rows = effectiveLimits(config);
  const find = (project: string, key: string) =>
    rows.find((row) => row.project === project && row.key === key);
  t.same(
    find('default', 'my-model')?.policies.map(({ limit, source }) => [limit, source]),
    [
      [3, 'config.yaml:1'],
      [250_000, 'profile free'],
      [20, 'profile free'],
    ],
  );
  t.equal(find('b', 'my-model')?.policies[0]?.limit, 4);
  t.match(find('default', 'gemini-3*'), { isPattern: true });
  t.match(find('default', 'default'), { isPattern: true });
  t.equal(find('c', 'my-model'), undefined);
});

t.test('Rules are made once for a model, whatever names callers invent.', async (t) => {
  const config = load(t, '');
  const rules = rulesFor(config, 'default', 'gemini-2.5-pro');
  t.equal(rulesFor(config, 'default', 'gemini-2.5-pro'), rules);
  for (let n = 0; n < 5000; n += 1) rulesFor(config, 'default', `invented-${n}`);
  t.same(rulesFor(config, 'default', 'gemini-2.5-pro'), rules);
});
