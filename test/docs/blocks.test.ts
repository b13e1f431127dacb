import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { runInside } from '../support/cli.ts';
import { installCli } from '../support/doc-cli.ts';
import { type DocBlock, docPages, ROOT } from '../support/doc-pages.ts';
import { commandsOf, type DocShell, openShell } from '../support/doc-shell.ts';
import { type Gate, limits, startGate } from '../support/gate.ts';

const pages = docPages();
const ADDRESS = '127.0.0.1:4290';

/** Pages whose commands another test runs, with what they print. */
const RUN_ELSEWHERE: Readonly<Record<string, string>> = {
  'docs/sessions.md': 'test/daemon/sessions-docs.test.ts',
};

/** Commands that do not run here, whole, and why. */
const NOT_RUN: Readonly<Record<string, string>> = {
  'npm ci && npm run demo':
    'an installation is there already, and the demo is run by a test of its own',
  'export GEMINI_API_KEY=...': 'the key is the reader’s',
  'alias headgate="node $PWD/dist/main.js"': 'README.md is run as a whole by readme.test.ts',
};

/** Commands that go on until they are stopped: what runs in their place, and what they print then. */
const LASTING: Readonly<Record<string, { readonly runs: string; readonly prints: string }>> = {
  'npm start -- --simulate': {
    runs: 'headgate --simulate --listen 127.0.0.1:0',
    prints: 'listening on',
  },
  'npm start': { runs: 'headgate --listen 127.0.0.1:0', prints: 'listening on' },
  'headgate serve': { runs: 'headgate serve --listen 127.0.0.1:0', prints: 'listening on' },
};

/** What stands in for programs while a page's commands run. */
const PRELUDE = `
curl() { command curl --silent --show-error --fail-with-body "$@"; }
export -f curl
lasting() {
  local wanted=$1; shift
  "$@" > lasting.txt 2>&1 & local pid=$!
  until grep -q "$wanted" lasting.txt; do
    kill -0 $pid 2>/dev/null || { cat lasting.txt; return 1; }
    sleep 0.05
  done
  kill $pid; wait $pid; return 0
}
`;

const gates = new WeakMap<Test, Gate>();
const home = mkdtempSync(join(tmpdir(), 'headgate-blocks-'));
t.teardown(() => rmSync(home, { recursive: true, force: true }));

/** One daemon for all pages, in front of a simulated Gemini, with the sample session. */
async function daemon(): Promise<Gate> {
  const known = gates.get(t);
  if (known !== undefined) return known;
  const state = join(home, '.local/state/headgate');
  mkdirSync(state, { recursive: true });
  cpSync(join(ROOT, 'config'), join(home, 'config'), { recursive: true });
  cpSync(join(ROOT, 'config/samples'), join(home, 'my-logs'), { recursive: true });
  const gate = await startGate(t, {
    config: {
      upstream: { api_key: 'a-key-for-these-tests' },
      rate_limits: limits({ rpm: 1000 }),
      sessions: { roots: [join(home, 'sessions'), join(home, 'my-logs')], record: 'off' },
      storage: { path: join(state, 'headgate.db') },
    },
  });
  await installCli(t, join(home, 'bin'));
  gates.set(t, gate);
  return gate;
}

async function shellFor(t: Test): Promise<DocShell> {
  const gate = await daemon();
  return openShell(t, {
    cwd: home,
    prelude: PRELUDE,
    env: {
      PATH: `${join(home, 'bin')}:${process.env['PATH']}`,
      HOME: home,
      HEADGATE_URL: gate.url,
      HEADGATE_CONFIG: gate.file,
    },
  });
}

/** Of each page what is typed, and the same without its comment, which the lists above name. */
const commandsByPage = pages.map(({ path, blocks }) => ({
  path,
  commands: blocks
    .filter(({ language }) => language === 'sh')
    .flatMap(({ text, place }) =>
      commandsOf(text).map((command) => ({
        place,
        command,
        bare: command.replace(/\s+#.*$/, '').trim(),
      })),
    ),
}));

for (const { path, commands } of commandsByPage) {
  if (commands.length === 0) continue;
  const elsewhere = RUN_ELSEWHERE[path];
  if (elsewhere !== undefined) {
    t.test(`the commands of ${path} are run by ${elsewhere}`, async (t) => {
      t.match(readFileSync(join(ROOT, elsewhere), 'utf8'), path);
    });
    continue;
  }
  t.test(`the commands of ${path} do what they are for`, async (t) => {
    const shell = await shellFor(t);
    const { url } = await daemon();
    for (const { command, bare, place } of commands) {
      if (Object.hasOwn(NOT_RUN, bare)) continue;
      const tool = missingTool(bare);
      if (tool !== null) {
        t.pass(`${place}: ${bare}`, { skip: `there is no ${tool} on this machine` });
        continue;
      }
      const lasting = LASTING[bare];
      const line = lasting === undefined ? command : `lasting '${lasting.prints}' ${lasting.runs}`;
      const { code, printed } = await shell.run(line.replaceAll(ADDRESS, new URL(url).host));
      t.equal(code, 0, `${place}: ${bare}`, { printed });
    }
  });
}

t.test('what is declared as not run stands in a page', async (t) => {
  const told = new Set(commandsByPage.flatMap(({ commands }) => commands.map(({ bare }) => bare)));
  for (const line of [...Object.keys(NOT_RUN), ...Object.keys(LASTING)]) t.ok(told.has(line), line);
});

const CHECKERS: Readonly<Record<string, (t: Test, block: DocBlock) => Promise<void>>> = {
  headgate: isConfiguration,
  'massgen-limits': isLimitsOfMassGen,
  'massgen-agents': isAgentsOfMassGen,
  litellm: isModelListOfLiteLlm,
  pricing: isPriceList,
  prometheus: isConfigurationOfPrometheus,
  'prometheus-rules': isRulesOfPrometheus,
};

for (const { path, blocks } of pages) {
  const files = blocks.filter(({ language }) => language === 'yaml' || language === 'yml');
  if (files.length === 0) continue;
  t.test(`the files in ${path} are good as they are`, async (t) => {
    for (const block of files) {
      const name = block.check ?? 'headgate';
      // The reason stands behind it.
      if (/^none, \w+/.test(name)) {
        t.doesNotThrow(() => parse(block.text), block.place);
        continue;
      }
      const check = CHECKERS[name];
      if (check === undefined) t.fail(`${block.place}: there is no check ${name}`);
      else await check(t, block);
    }
  });
}

t.test('a configuration with a mistake is not taken for a good one', async (t) => {
  const { code } = await checked(t, 'rate_limits:\n  profil: massgen\n');
  t.equal(code, 78);
});

async function isConfiguration(t: Test, { text, place }: DocBlock): Promise<void> {
  const { code, stderr } = await checked(t, text);
  t.equal(code, 0, place, { stderr });
}

async function isLimitsOfMassGen(t: Test, { text, place }: DocBlock): Promise<void> {
  const { code, stdout, stderr } = await checked(
    t,
    'rate_limits: { profile: none, file: ./rate_limits.yaml }',
    { 'rate_limits.yaml': text },
  );
  t.equal(code, 0, place, { stderr });
  t.match(stdout, 'rate_limits.yaml:2', 'its rows are in force');
}

/** `headgate check` of a text, with further files beside it. */
async function checked(t: Test, text: string, files: Readonly<Record<string, string>> = {}) {
  const directory = mkdtempSync(join(home, 'check-'));
  copyFileSync(join(ROOT, 'config/examples/rate_limits.yaml'), join(directory, 'rate_limits.yaml'));
  for (const [name, content] of Object.entries({ ...files, 'config.yaml': text })) {
    writeFileSync(join(directory, name), content);
  }
  const env = Object.fromEntries(
    [...text.matchAll(/\$\{([A-Z0-9_]+)\}/g)].map(([, name = '']) => [name, `of-${name}`]),
  );
  return runInside(t, ['check', '--config', join(directory, 'config.yaml')], { env });
}

/** As much of MassGen's configuration as tells agents apart. */
async function isAgentsOfMassGen(t: Test, { text, place }: DocBlock): Promise<void> {
  const { agents } = parse(text);
  t.ok(agents.length > 0, place);
  for (const { id, backend } of agents) {
    t.equal(backend.type, 'gemini', place);
    t.equal(backend.http_options.headers['x-headgate-agent'], id, place);
  }
}

async function isPriceList(t: Test, { text, place }: DocBlock): Promise<void> {
  const config = 'pricing: ./prices.yaml\n';
  const { code, stderr } = await checked(t, config, { 'prices.yaml': text });
  t.equal(code, 0, place, { stderr });
  const wrong = await checked(t, config, { 'prices.yaml': text.replace('cached', 'cashed') });
  t.match(wrong, { code: 78, stderr: /prices\.yaml:\d+:\d+/ }, 'its keys are looked at');
}

async function isModelListOfLiteLlm(t: Test, { text, place }: DocBlock): Promise<void> {
  for (const { litellm_params: given } of parse(text).model_list) {
    t.match(given, { model: /^gemini\//, api_base: /\/v1beta$/, api_key: /./ }, place);
  }
}

async function isConfigurationOfPrometheus(t: Test, block: DocBlock): Promise<void> {
  promtool(t, ['check', 'config', '--syntax-only'], block);
}

async function isRulesOfPrometheus(t: Test, block: DocBlock): Promise<void> {
  promtool(t, ['check', 'rules'], block);
}

function promtool(t: Test, argv: readonly string[], { text, place }: DocBlock): void {
  if (missingTool('promtool') !== null) {
    t.pass(place, { skip: 'there is no promtool on this machine' });
    return;
  }
  const file = join(mkdtempSync(join(home, 'promtool-')), 'prometheus.yml');
  writeFileSync(file, text);
  const { status, stderr } = spawnSync('promtool', [...argv, file], { encoding: 'utf8' });
  t.equal(status, 0, place, { stderr });
}

/** Tools that are not on every machine, where a command needs one. */
function missingTool(command: string): string | null {
  const [tool] = /\b(sqlite3|jq|promtool)\b/.exec(command) ?? [];
  if (tool === undefined) return null;
  return spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0 ? null : tool;
}
