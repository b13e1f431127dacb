import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { parseDuration, parseSize } from '../../src/config/durations.ts';
import { expandEnv } from '../../src/config/env.ts';
import { generatedFiles } from '../../src/config/generate.ts';
import { parseListen } from '../../src/config/listen.ts';
import { isSameConfig, loadConfig, type LoadFlags } from '../../src/config/load.ts';
import { locateConfig } from '../../src/config/locate.ts';
import { ConfigError } from '../../src/config/problems.ts';
import { PROFILES } from '../../src/config/schema.ts';
import { shippedFile } from '../../src/config/sources.ts';

const FIXTURES = fileURLToPath(new URL('../fixtures/config/', import.meta.url));
const ENV = {
  HOME: '/users/me',
  HEADGATE_TOKEN: 'tok',
  GEMINI_API_KEY: 'k1',
  RESEARCH_KEY: 'k2',
};

function load(file: string | null, flags: LoadFlags = {}, env: NodeJS.ProcessEnv = ENV) {
  return loadConfig({ file, env, cwd: '/cwd', flags });
}

/** Loads text as a file of its own. */
function loadText(t: Test, text: string, flags: LoadFlags = {}, env: NodeJS.ProcessEnv = ENV) {
  const directory = t.testdir({ 'config.yaml': text });
  return load(join(directory, 'config.yaml'), flags, env);
}

function problemsOf(load: () => unknown): readonly string[] {
  try {
    load();
  } catch (error) {
    if (error instanceof ConfigError) return error.message.replaceAll(FIXTURES, '').split('\n');
    throw error;
  }
  return [];
}

t.test('Every fixture gives exactly the messages written at its end.', async (t) => {
  const names = readdirSync(FIXTURES).filter((name) => name.endsWith('.yaml'));
  t.ok(names.length > 30);
  for (const name of names) {
    const expected = readFileSync(join(FIXTURES, name), 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('# expect: '))
      .map((line) => line.slice('# expect: '.length));
    t.ok(expected.length > 0, name);
    t.same(
      problemsOf(() => load(join(FIXTURES, name), {}, { HOME: '/h' })),
      expected,
      name,
    );
  }
});

t.test('A problem carries its place, field, message and hint.', async (t) => {
  try {
    load(join(FIXTURES, 'unknown-key.yaml'));
    t.fail('nothing was thrown');
  } catch (error) {
    t.type(error, ConfigError);
    t.same((error as ConfigError).problems, [
      {
        file: join(FIXTURES, 'unknown-key.yaml'),
        line: 3,
        column: 25,
        field: 'rate_limits.gemini.gemini-2.5-flash.rmp',
        message: 'unknown key',
        hint: 'Did you mean rpm?',
      },
    ]);
  }
});

t.test('No message shows what a secret or a variable holds.', async (t) => {
  const env = { HOME: '/h', SECRET: 'hunter2' };
  const text =
    'listen: ${SECRET}\nupstream: { base_url: "${SECRET}" }\nadmin: { token: [hunter2] }\n';
  const problems = problemsOf(() => loadText(t, text, {}, env));
  t.equal(problems.length, 3);
  t.notMatch(problems.join('\n'), /hunter2/);
});

t.test('Every profile and every example loads without a warning.', async (t) => {
  for (const profile of PROFILES) {
    const config = loadText(t, `rate_limits: { profile: ${profile} }`);
    t.equal(config.profile, profile);
    t.same(config.warnings, []);
  }
  const examples = shippedFile('examples');
  for (const name of readdirSync(examples)) {
    if (name !== 'rate_limits.yaml') t.same(load(join(examples, name)).warnings, [], name);
  }
});

t.test('The shipped file says what no file says, and names every key.', async (t) => {
  const shipped = load(shippedFile('headgate.yaml'));
  const builtIn = loadText(t, '');
  t.equal(shipped.hash, builtIn.hash);
  const text = readFileSync(shippedFile('headgate.yaml'), 'utf8');
  const page = generatedFiles().get('docs/configuration.md') ?? '';
  const fields = [...page.matchAll(/^- \*\*`([a-z_.]+)`\*\*/gm)].map(([, field]) => field ?? '');
  t.ok(fields.length > 35);
  for (const field of fields) t.match(text, `${field.split('.').at(-1)}:`, field);
});

t.test('The editor schema and the key reference are up to date.', async (t) => {
  for (const [path, content] of generatedFiles()) {
    const file = new URL(`../../${path}`, import.meta.url);
    t.equal(readFileSync(file, 'utf8'), content, `${path}: run npm run generate`);
  }
});

t.test('Built-in defaults have the documented values, paths and units.', async (t) => {
  const config = loadText(t, '# nothing\nqueue:\n', {}, { HOME: '/users/me' });
  t.match(config, {
    mode: 'enforce',
    profile: 'massgen',
    listen: { host: '127.0.0.1', port: 4290, isLoopback: true },
    simulate: false,
    secrets: [],
    upstream: { baseUrl: 'https://generativelanguage.googleapis.com', apiKey: null },
    queue: {
      depthMax: 1000,
      depthPerAgentMax: 200,
      bytesMax: 512 * 1024 * 1024,
      waitMsMax: 1_800_000,
      drainMs: 30_000,
    },
    storage: { path: '/users/me/.local/state/headgate/headgate.db' },
    retention: { eventsMs: 90_000_000, rollupsMs: 400 * 86_400_000 },
    log: { level: 'info', format: 'auto' },
  });
  t.same(config.sessions.roots, [
    '/cwd/.massgen/massgen_logs',
    '/cwd/.massgen/sessions',
    '/cwd/massgen_logs',
    '/cwd/sessions',
    '/users/me/.gemini/tmp',
  ]);
  t.match(config.hash, /^[0-9a-f]{12}$/);
});

t.test('State goes under XDG_STATE_HOME when that is absolute.', async (t) => {
  const at = (home: string) =>
    loadText(t, '', {}, { HOME: '/h', XDG_STATE_HOME: home }).storage.path;
  t.equal(at('/state'), '/state/headgate/headgate.db');
  t.equal(at('state'), '/h/.local/state/headgate/headgate.db');
});

t.test('Paths in a file start at the file, those of flags at the working directory.', async (t) => {
  const text =
    'sessions: { roots: [logs, ~/tmp, /abs], record_dir: rec }\nstorage: { path: ./x.db }\n';
  const config = loadText(t, text);
  t.same(config.sessions.roots, [join(t.testdirName, 'logs'), '/users/me/tmp', '/abs']);
  t.equal(config.sessions.recordDir, join(t.testdirName, 'rec'));
  t.equal(config.storage.path, join(t.testdirName, 'x.db'));
  t.same(loadText(t, text, { sessions: ['here'] }).sessions.roots, ['/cwd/here']);
});

t.test('Flags win over the file.', async (t) => {
  const text = 'listen: 127.0.0.1:1\nenable_rate_limit: false\nlog: { level: warn }\n';
  t.match(loadText(t, text), { mode: 'off', listen: { port: 1 }, log: { level: 'warn' } });
  const flags = { listen: '[::1]:0', rateLimit: true, simulate: true, logLevel: 'debug' };
  t.match(loadText(t, text, flags), {
    mode: 'enforce',
    simulate: true,
    listen: { host: '::1', port: 0, isLoopback: true },
    log: { level: 'debug' },
  });
  t.equal(loadText(t, 'mode: shadow', { rateLimit: true }).mode, 'shadow');
  t.equal(loadText(t, 'mode: shadow', { rateLimit: false }).mode, 'off');
  t.same(
    problemsOf(() => loadText(t, '', { listen: '0.0.0.0:80', logLevel: 'loud' })),
    [
      '--listen: 0.0.0.0 can be reached from other machines. Set admin.token, or listen on 127.0.0.1',
      '--log-level: expected one of trace, debug, info, warn, error, fatal, silent, got loud',
    ],
  );
});

t.test('Listening beyond loopback is allowed with a token.', async (t) => {
  const text = 'listen: 0.0.0.0:4290\nadmin: { token: "${HEADGATE_TOKEN}" }\n';
  t.match(loadText(t, text), { listen: { isLoopback: false }, admin: { token: 'tok' } });
});

t.test('Secrets are listed, and neither they nor comments change the hash.', async (t) => {
  const text = (key: string, rpm = 5) =>
    `upstream: { api_key: ${key} }\nprojects: { a: { keys: [${key}-a] } }\n# comment\nrate_limits: { gemini: { m: { rpm: ${rpm} } } }\n`;
  const one = loadText(t, text('one'));
  t.same([...one.secrets].toSorted(), ['one', 'one-a']);
  const two = loadText(t, text('two'));
  t.equal(two.hash, one.hash);
  t.not(isSameConfig(one, two), true);
  t.equal(isSameConfig(one, loadText(t, text('one'))), true);
  t.equal(loadText(t, `\n\n${text('one')}`).hash, one.hash);
  t.not(loadText(t, text('one', 6)).hash, one.hash);
});

t.test('The first configuration file that exists wins, a named one before all.', async (t) => {
  const home = t.testdir({ '.config': { headgate: { 'config.yaml': 'mode: shadow' } } });
  const file = join(home, '.config/headgate/config.yaml');
  const locate = (named: string | null, env: NodeJS.ProcessEnv) =>
    locateConfig({ file: named, env: { HOME: home, ...env }, cwd: '/cwd' });
  t.match(locate('a.yaml', { HEADGATE_CONFIG: '/b.yaml' }), {
    file: '/cwd/a.yaml',
    origin: '--config',
  });
  t.match(locate(null, { HEADGATE_CONFIG: '/b.yaml' }), { file: '/b.yaml' });
  t.match(locate(null, { HEADGATE_CONFIG: '' }), { file, origin: 'user' });
  t.same(locate(null, { XDG_CONFIG_HOME: '/none' }).candidates, [
    '/none/headgate/config.yaml',
    '/etc/headgate/config.yaml',
  ]);
  t.equal(load(null, {}, { HOME: home }).mode, 'shadow');
});

t.test('A file of the working directory is never read.', async (t) => {
  const cwd = t.testdir({
    'config.yaml': 'mode: shadow',
    'headgate.yaml': 'mode: shadow',
    headgate: { 'config.yaml': 'mode: shadow' },
  });
  const env = { HOME: join(cwd, 'nobody'), XDG_CONFIG_HOME: '.' };
  t.equal(loadConfig({ file: null, env, cwd, flags: {} }).mode, 'enforce');
});

t.test('A file that cannot be read says why and who named it.', async (t) => {
  const directory = t.testdir({ sub: {} });
  writeFileSync(join(directory, 'latin1.yaml'), Buffer.from([0x61, 0x3a, 0xe9]));
  const told = (name: string) =>
    problemsOf(() => load(join(directory, name))).map((line) => line.replace(directory, ''));
  t.same(told('none.yaml'), [
    '/none.yaml: cannot be read: there is no such file. --config names it',
  ]);
  t.same(told('sub'), ['/sub: cannot be read: it is a directory. --config names it']);
  t.same(told('latin1.yaml'), ['/latin1.yaml: cannot be read: not UTF-8 text. --config names it']);
});

t.test('Environment variables are content, with defaults as in a shell.', async (t) => {
  const expand = (text: string) => expandEnv(text, { A: 'x', EMPTY: '', LOOP: '${A}' }).text;
  t.equal(expand('${A}-${A}'), 'x-x');
  t.equal(expand('[${EMPTY}]'), '[]');
  t.equal(expand('${EMPTY:-d}${NONE:-}${NONE:-a b}'), 'da b');
  t.equal(expand('${LOOP}'), '${A}');
  t.equal(expand('$A costs $5'), '$A costs $5');
  const env = { HOME: '/h', KEY: 'a: [b, # c' };
  t.equal(loadText(t, 'upstream: { api_key: "${KEY}" }', {}, env).upstream.apiKey, 'a: [b, # c');
  t.equal(loadText(t, '', {}, { HOME: '/h', GEMINI_API_KEY: 'g' }).upstream.apiKey, 'g');
});

t.test('Durations and sizes need a unit and give whole numbers.', async (t) => {
  const durations = { '60s': 60_000, '250ms': 250, '1.5h': 5_400_000, '25h': 90_000_000, '0s': 0 };
  for (const [text, ms] of Object.entries(durations)) t.equal(parseDuration(text), ms, text);
  for (const text of ['60', '0', 's', '-1s', '1 s', '1e3s', '4000d', '']) {
    t.equal(parseDuration(text), null, text);
  }
  t.equal(parseSize('512MiB'), 536_870_912);
  t.equal(parseSize('1.5KB'), 1500);
  t.equal(parseSize('512'), null);
});

t.test('A listen address is a host and a port, and only this machine is loopback.', async (t) => {
  t.same(parseListen('127.8.0.1:0'), { host: '127.8.0.1', port: 0, isLoopback: true });
  t.same(parseListen('localhost:80')?.isLoopback, true);
  t.same(parseListen('[::]:80'), { host: '::', port: 80, isLoopback: false });
  t.same(parseListen('127.example.org:80')?.isLoopback, false);
  for (const text of ['4290', ':4290', '::1:80', '[127.0.0.1]:1', '1.2.3:80', 'a b:1', 'a:99999']) {
    t.equal(parseListen(text), null, text);
  }
});

t.test('Every file that was read is told, and those that would win.', async (t) => {
  const directory = t.testdir({ 'config.yaml': 'rate_limits: { file: m/r.yaml }' });
  mkdirSync(join(directory, 'm'));
  writeFileSync(join(directory, 'm/r.yaml'), 'gemini: { m: { rpm: 1 } }');
  t.same(load(join(directory, 'config.yaml')).watchedFiles, [
    join(directory, 'config.yaml'),
    shippedFile('profiles/massgen.yaml'),
    join(directory, 'm/r.yaml'),
    shippedFile('pricing.yaml'),
  ]);
});
