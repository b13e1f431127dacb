import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { sampleSession } from '../../src/cli/sample-session.ts';
import { openConfined } from '../../src/sessions/confined-directory.ts';
import { massgenReader } from '../../src/sessions/readers/massgen.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PAGE = readFileSync(join(ROOT, 'docs/sessions.md'), 'utf8');
/** Where the page says that the daemon listens. */
const PORT = '127.0.0.1:4290';
/** Stands between the outputs of two blocks. */
const MARK = '@@@@ end of block\n';

/** Where commands run. */
interface Place {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
}

/** A block of commands, and what the page says that they print. */
interface Example {
  readonly commands: string;
  readonly printed: { readonly language: string; readonly text: string } | null;
}

function examplesOf(page: string): Example[] {
  const blocks = [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(
    ([, language = '', text = '']) => ({ language, text }),
  );
  return blocks.flatMap(({ language, text }, at) => {
    if (language !== 'sh') return [];
    const next = blocks[at + 1];
    return [
      { commands: text, printed: next === undefined || next.language === 'sh' ? null : next },
    ];
  });
}

/** `...` stands for any text; objects of the page may leave keys out. */
function agrees(shown: unknown, real: unknown): boolean {
  if (typeof shown === 'string') return typeof real === 'string' && pattern(shown).test(real);
  if (typeof shown !== 'object' || shown === null) return shown === real;
  if (typeof real !== 'object' || real === null) return false;
  if (Array.isArray(shown) && !(Array.isArray(real) && real.length === shown.length)) return false;
  const found = new Map<string, unknown>(Object.entries(real));
  return Object.entries(shown).every(([key, value]) => agrees(value, found.get(key)));
}

function pattern(text: string): RegExp {
  const parts = text
    .trim()
    .split('...')
    .map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
  return new RegExp(`^\\s*${parts.join('[\\s\\S]*')}\\s*$`);
}

t.test('the sample session reads without a single warning', async (t) => {
  const directory = openConfined(sampleSession());
  t.ok(massgenReader.claims(directory));
  const session = massgenReader.read(directory);
  t.strictSame(session.warnings, []);
  t.match(session.turns, [
    { number: 1, winner: 'agent_a', answered: true, degraded: false },
    { number: 2, winner: 'agent_b', answered: true, degraded: false },
  ]);
  t.strictSame(
    session.agents.map(({ type }) => type),
    ['gemini', 'gemini'],
  );
  t.equal(session.nextTurn, 3);
});

t.test('what docs/sessions.md shows does what it says', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'headgate-docs-'));
  t.teardown(() => rmSync(home, { recursive: true, force: true }));
  symlinkSync(join(ROOT, 'config'), join(home, 'config'));
  mkdirSync(join(home, 'bin'));
  const command = join(home, 'bin', 'headgate');
  writeFileSync(command, `#!/bin/sh\nexec '${process.execPath}' '${ROOT}dist/main.js' "$@"\n`);
  chmodSync(command, 0o755);
  const config = join(home, 'config.yaml');
  // The page is about sessions; waiting for a minute to pass shows nothing.
  writeFileSync(config, '{ rate_limits: { profile: none }, cooldown: null }');
  const env = {
    PATH: `${join(home, 'bin')}:${process.env['PATH']}`,
    HOME: home,
    HEADGATE_CONFIG: config,
  };

  const examples = examplesOf(PAGE);
  const serving = examples.findIndex(({ commands }) => commands.startsWith('headgate serve'));
  const before = examples.slice(0, serving);
  const after = examples.slice(serving + 1);
  t.ok(before.length === 1 && after.length >= 10, 'the pattern finds the examples');

  const prepared = await runBlocks(before, { cwd: home, env });
  t.equal(prepared.code, 0, prepared.stderr);
  const address = await serve(t, examples[serving]?.commands ?? '', { cwd: home, env });
  const moved = after.map((example) => ({
    ...example,
    commands: example.commands.replaceAll(PORT, address),
  }));
  const { code, stdout, stderr } = await runBlocks(moved, { cwd: home, env });
  t.equal(code, 0, stderr);
  const outputs = stdout.split(MARK);
  for (const [at, { commands, printed }] of moved.entries()) {
    const output = outputs[at] ?? '';
    const [title = ''] = commands.split('\n');
    if (printed === null) {
      t.notMatch(output, /"status":\s?[45]\d\d/, title);
    } else if (printed.language === 'json') {
      const real: unknown = JSON.parse(output);
      t.ok(agrees(JSON.parse(printed.text), real), title, { real });
    } else {
      t.match(output, pattern(printed.text), title);
    }
  }
});

/** Runs the page's own command on a free port until the test ends; resolves with where it listens. */
async function serve(t: Test, commands: string, options: Place): Promise<string> {
  const script = `exec ${commands.trim()} --listen 127.0.0.1:0`;
  const daemon = spawn('bash', ['-c', script], { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => daemon.kill('SIGKILL'));
  let printed = '';
  return new Promise((resolve, reject) => {
    daemon.stderr.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
      const [, address] = /listening on http:\/\/([\d.:]+)/.exec(printed) ?? [];
      if (address !== undefined) resolve(address);
    });
    daemon.once('close', () => reject(new Error(`the daemon has ended:\n${printed}`)));
  });
}

/** All in one shell, as somebody who reads the page would. */
async function runBlocks(
  blocks: readonly Example[],
  options: Place,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const script = blocks.map(({ commands }) => `${commands}\nprintf '%s' '${MARK}'\n`).join('');
  const shell = spawn('bash', ['-e', '-o', 'pipefail', '-c', script], {
    ...options,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    shell[name].setEncoding('utf8').on('data', (text: string) => {
      printed[name] += text;
    });
  }
  const [code] = await once(shell, 'close');
  return { code: typeof code === 'number' ? code : null, ...printed };
}
