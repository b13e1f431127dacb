import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { MUTANTS } from './mutants.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

t.test('every fault has exactly one place in the engine', async (t) => {
  for (const { fault, file, search, replace } of MUTANTS) {
    const found = readFileSync(`${ROOT}${file}`, 'utf8').split(search).length - 1;
    t.equal(found, 1, `${fault}: ${file} has the text ${found} times`);
    t.not(replace, search, fault);
  }
  t.ok(MUTANTS.length >= 8);
  t.equal(new Set(MUTANTS.map(({ fault }) => fault)).size, MUTANTS.length);
});

const isAsked = process.env['HEADGATE_MUTANTS'] === '1';
const skip = isAsked ? false : 'takes minutes: npm run mutants, or HEADGATE_MUTANTS=1';

t.test('every fault is noticed by the tests', { skip }, async (t) => {
  t.setTimeout(600_000);
  const run = fileURLToPath(new URL('run.ts', import.meta.url));
  const { status, stdout } = spawnSync(
    process.execPath,
    ['--import=@tapjs/typescript/import', run],
    { cwd: ROOT, encoding: 'utf8', env: { ...process.env, TS_NODE_TRANSPILE_ONLY: '1' } },
  );
  t.equal(status, 0, stdout);
});
