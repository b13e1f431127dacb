import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import { createProgram } from '../../src/cli/program.ts';
import { runCli, runInside } from '../support/cli.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const FIXTURES = join(ROOT, 'test/fixtures/config');

/** Every command, as one would type it: `check`, `limits set`. */
function commandNames(): string[] {
  const { env, stdin, stdout, stderr } = process;
  const program = createProgram({ env, cwd: ROOT, stdin, stdout, stderr, clock: systemClock });
  return program.commands.flatMap((command) =>
    command.commands.length === 0
      ? [command.name()]
      : command.commands.map((sub) => `${command.name()} ${sub.name()}`),
  );
}

t.test('Every command has help with an example, on stdout.', async (t) => {
  for (const name of ['', ...commandNames()]) {
    const { code, stdout, stderr } = await runInside(t, [
      ...name.split(' ').filter(Boolean),
      '--help',
    ]);
    t.equal(code, 0, name);
    t.match(stdout, new RegExp(`Usage: headgate ${name}`));
    t.match(stdout, /Examples:\n {2}headgate/, name);
    t.equal(stderr, '', name);
    for (const line of stdout.split('\n')) t.ok(line.length <= 100, line);
  }
});

t.test('docs/cli.md tells every command and every flag, and no other command.', async (t) => {
  const page = readFileSync(join(ROOT, 'docs/cli.md'), 'utf8');
  const told = [...page.matchAll(/^### `headgate ([a-z]+(?: [a-z]+)?)/gm)].map(([, name]) => name);
  t.same(new Set(told), new Set(commandNames()));
  const { env, stdin, stdout, stderr } = process;
  const program = createProgram({ env, cwd: ROOT, stdin, stdout, stderr, clock: systemClock });
  for (const { long } of program.options) t.match(page, `\`${long}`);
  // A flag stands in the command's own part, or before the commands that it is common to.
  const parts = new Map(
    page.split(/^## /m).flatMap((group) => {
      const [common = '', ...own] = group.split(/^### /m);
      return own.map((part) => {
        const name = /^`headgate ([a-z]+(?: [a-z]+)?)/.exec(part)?.[1] ?? '';
        return [name, common + part] as const;
      });
    }),
  );
  for (const command of program.commands) {
    const all = command.commands.length > 0 ? command.commands : [command];
    for (const one of all) {
      const name = one === command ? one.name() : `${command.name()} ${one.name()}`;
      for (const { long, hidden } of one.options) {
        if (!hidden) t.match(parts.get(name) ?? '', `\`${long}`, `${name} ${long}`);
      }
    }
  }
});

t.test('Mistakes in the command line exit with 2 and suggest what was meant.', async (t) => {
  const mistakes: [string[], RegExp][] = [
    [['chek'], /unknown command 'chek'\n\(Did you mean check\?\)/],
    [['xyzzy'], /unknown command 'xyzzy'\nCommands: serve, /],
    [['--simulat'], /unknown option '--simulat'\n\(Did you mean --simulate\?\)/],
    [['status', '--wach'], /unknown option '--wach'\n\(Did you mean --watch\?\)/],
    [['explain'], /missing required argument 'model'/],
    [['check', 'extra'], /too many arguments/],
    [['limits', 'set', 'm', 'rpm'], /'rpm' is no limit; say NAME=NUMBER/],
    [['limits', 'set', 'm', 'rpm=-1'], /'rpm=-1' is no limit/],
    [['limits', 'set', 'm'], /missing required argument 'limits'/],
    [['explain', 'm', '--tokens', 'many'], /--tokens is 'many'/],
    [['simulate', '--port', '99999'], /--port is '99999'/],
    [['status', '--url', 'nowhere'], /'nowhere' is no URL/],
    [['limits', 'st'], /unknown command 'st'/],
  ];
  for (const [argv, message] of mistakes) {
    const { code, stdout, stderr } = await runInside(t, argv);
    t.equal(code, 2, argv.join(' '));
    t.match(stderr, message);
    t.equal(stdout, '', 'nothing but data on stdout');
  }
});

t.test('--version prints the version of the package.', async (t) => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  t.match(await runCli(t, ['--version']), { code: 0, stdout: `${version}\n`, stderr: '' });
});

t.test('The exit code is that of the process.', async (t) => {
  t.equal((await runCli(t, ['chek'])).code, 2);
  const file = join(FIXTURES, 'unknown-key.yaml');
  const { code, stdout, stderr } = await runCli(t, ['--config', file]);
  t.match({ code, stdout }, { code: 78, stdout: '' });
  t.match(stderr, /unknown-key\.yaml:3:25: .*unknown key\. Did you mean rpm\?/);
});

t.test(
  'Without a daemon, whoever asks for one exits with 69 and is told how to start it.',
  async (t) => {
    const asking = [['status'], ['explain', 'm'], ['limits', 'list'], ['reload']];
    for (const argv of asking) {
      const { code, stdout, stderr } = await runInside(t, [...argv, '--url', 'http://127.0.0.1:1']);
      t.equal(code, 69, argv.join(' '));
      t.match(
        stderr,
        /no daemon answers at http:\/\/127\.0\.0\.1:1 .*ECONNREFUSED[^]*headgate serve/,
      );
      t.equal(stdout, '');
    }
  },
);

t.test(
  'check prints the place of every mistake of a bad configuration and exits with 78.',
  async (t) => {
    const names = readdirSync(FIXTURES).filter((name) => name.endsWith('.yaml'));
    t.ok(names.length > 30);
    for (const name of names) {
      const file = join(FIXTURES, name);
      const expected = readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line.startsWith('# expect: '))
        .map((line) => line.slice('# expect: '.length));
      const { code, stdout, stderr } = await runInside(t, ['check', '--config', file]);
      t.equal(code, 78, name);
      t.equal(stdout, '', name);
      const told = stderr.replaceAll(`${FIXTURES}/`, '').trimEnd().split('\n');
      const count = `${expected.length} mistake${expected.length === 1 ? '' : 's'}`;
      t.equal(told[0], `headgate: the configuration has ${count}`);
      t.same(
        told.slice(1),
        expected.map((line) => `  ${line}`),
        name,
      );
    }
  },
);

t.test(
  'check passes every shipped example and every profile, and says where limits come from.',
  async (t) => {
    const env = { HEADGATE_TOKEN: 'tok', GEMINI_API_KEY: 'k1', RESEARCH_KEY: 'k2' };
    const examples = join(ROOT, 'config/examples');
    for (const name of readdirSync(examples)) {
      // The file of limits that the example for MassGen reads is none of ours.
      if (name === 'rate_limits.yaml') continue;
      const { code, stdout, stderr } = await runInside(
        t,
        ['check', '--config', join(examples, name)],
        {
          env,
        },
      );
      t.equal(code, 0, name);
      t.match(stdout, /is good\.[^]*any other/, name);
      t.equal(stderr, '', name);
    }
    for (const profile of readdirSync(join(ROOT, 'config/profiles'))) {
      const name = profile.replace('.yaml', '');
      const config = t.testdir({ 'c.yaml': `rate_limits: { profile: ${name} }` });
      const { code, stdout } = await runInside(t, ['check', '--config', join(config, 'c.yaml')]);
      t.equal(code, 0, name);
      t.match(stdout, `profile ${name}`);
    }
  },
);

t.test('check --json holds every limit with its source.', async (t) => {
  const text =
    'rate_limits:\n  gemini:\n    mine: { rpm: 3, windows: [{ name: spend, unit: usd, limit: 5, per: day }] }\n';
  const file = join(t.testdir({ 'c.yaml': text }), 'c.yaml');
  const { code, stdout } = await runInside(t, ['check', '--json', '--config', file]);
  t.equal(code, 0);
  const view = JSON.parse(stdout);
  t.match(view, { file, origin: '--config', profile: 'massgen', mode: 'enforce', warnings: [] });
  const mine = view.limits.find((row: { model: string }) => row.model === 'mine');
  const [rpm, tpm, , spend] = mine.windows;
  t.match(rpm, { policy: 'rpm', limit: 3, limit_source: 'configured', source: 'c.yaml:3' });
  t.match(tpm, { policy: 'tpm', limit: 100_000, source: 'profile massgen' });
  t.match(spend, { policy: 'spend', unit: 'usd', limit: 5 });
});

t.test('Without a file, check says that the built-in defaults are in force.', async (t) => {
  const { code, stdout } = await runInside(t, ['check']);
  t.equal(code, 0);
  t.match(stdout, /No configuration file; the built-in defaults are in force/);
  t.match(stdout, /gemini-2\.5-flash +9 +240,000 +245 .*profile massgen/);
});

t.test('A scenario that is wrong or missing exits with 78.', async (t) => {
  const file = join(t.testdir({ 's.yaml': 'name: x\nmodles: {}\n' }), 's.yaml');
  const wrong = await runInside(t, ['simulate', '--scenario', file]);
  t.equal(wrong.code, 78);
  t.match(wrong.stderr, /s\.yaml:2:\d+: modles is not a known key/);
  t.equal((await runInside(t, ['simulate', '--scenario', 'nowhere.yaml'])).code, 78);
});
