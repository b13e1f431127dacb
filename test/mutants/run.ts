/**
 * Breaks the engine in one place at a time and demands that its tests notice.
 *
 *   npm run mutants              all of them
 *   npm run mutants -- guard     those whose fault has the word
 */
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Mutant } from './mutants.ts';
import { MUTANTS } from './mutants.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** What the tests of the engine need of the tree. */
const COPIED = ['src', 'test', 'migrations', 'config', 'package.json', 'tsconfig.json'];
/** A mutant that loops for ever has been noticed, too. */
const TEST_MS_MAX = 120_000;

const word = process.argv[2] ?? '';
const wanted = MUTANTS.filter(({ fault }) => fault.includes(word));
const directory = mkdtempSync(join(tmpdir(), 'headgate-mutants-'));
try {
  const survivors = await runAll();
  say(`${wanted.length - survivors.length} of ${wanted.length} mutants noticed`);
  process.exitCode = survivors.length > 0 || wanted.length === 0 ? 1 : 0;
} finally {
  rmSync(directory, { recursive: true, force: true });
}

/** Those that no test has noticed. */
async function runAll(): Promise<Mutant[]> {
  const sound = copyTree('sound');
  await onEachCore(new Set(wanted.flatMap(({ tests }) => tests)), async (test) => {
    if (!(await passes(sound, test))) throw new Error(`${test} fails without any fault`);
  });
  const survivors: Mutant[] = [];
  await onEachCore(wanted.entries(), async ([index, mutant]) => {
    const isNoticed = await notices(String(index), mutant);
    say(`${isNoticed ? 'noticed' : 'SURVIVED'}: ${mutant.fault}`);
    if (!isNoticed) survivors.push(mutant);
  });
  return survivors;
}

/** Each core takes the next one as it is free. */
async function onEachCore<T>(items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const workers = Array.from({ length: availableParallelism() }, async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) await work(next);
  });
  await Promise.all(workers);
}

async function notices(name: string, { file, search, replace, tests }: Mutant): Promise<boolean> {
  const tree = copyTree(name);
  const path = join(tree, file);
  const source = readFileSync(path, 'utf8');
  const parts = source.split(search);
  if (parts.length !== 2) throw new Error(`${file} has ${parts.length - 1} times: ${search}`);
  writeFileSync(path, parts.join(replace));
  for (const test of tests) if (!(await passes(tree, test))) return true;
  return false;
}

function copyTree(name: string): string {
  const tree = join(directory, name);
  // Clients of other makers may be installed below test, and weigh more than all the rest.
  const filter = (path: string): boolean => !path.endsWith('node_modules');
  for (const part of COPIED) {
    cpSync(join(ROOT, part), join(tree, part), { recursive: true, filter });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'), 'dir');
  return tree;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Always the same cases, so that a mutant is noticed always or never. */
function passes(tree: string, test: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import=@tapjs/typescript/import', test], {
      cwd: tree,
      stdio: 'ignore',
      timeout: TEST_MS_MAX,
      env: { ...process.env, TS_NODE_TRANSPILE_ONLY: '1', HEADGATE_PROPERTY_SEED: '1' },
    });
    child.on('error', reject);
    child.on('exit', (code) => {
      resolve(code === 0);
    });
  });
}
