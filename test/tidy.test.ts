import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parseSource } from './support/source-file.ts';
import {
  badNames,
  deadLinks,
  differences,
  foldersDrawn,
  FUNCTION_LINES_MAX,
  functionsTooLong,
  importCycles,
  importsAgainstOrder,
  importTable,
  importsOutOfPlace,
  LINES_MAX,
  MAY_IMPORT,
  machineTraces,
  sqlOutsideStore,
  timeReads,
  tooLong,
  usesOutside,
} from './support/tidy-rules.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Made by tools, or not ours to keep tidy. */
const SKIPPED = new Set(['.git', '.tap', '.venv', 'node_modules', 'dist', 'coverage']);

/** Where time may be read besides src/clock.ts, and why. */
const TIME_ALLOWED: Readonly<Record<string, string>> = {
  'src/clock.ts': 'the one reader of time',
  'src/dashboard/': "it runs in a browser, where the daemon's clock is not",
};

const tree = readdirSync(ROOT, { recursive: true, withFileTypes: true })
  .map((entry) => ({
    path: join(entry.parentPath, entry.name).slice(ROOT.length).replaceAll('\\', '/'),
    isFolder: entry.isDirectory(),
  }))
  .filter(({ path }) => !path.split('/').some((segment) => SKIPPED.has(segment)));

const paths = tree.filter(({ isFolder }) => !isFolder).map(({ path }) => path);
const sources = paths
  .filter((path) => /^((src|test|bench)\/.*\.ts|src\/dashboard\/.*\.js)$/.test(path))
  .filter((path) => !path.startsWith('test/fixtures/'))
  .map((path) => parseSource(path, readFileSync(join(ROOT, path), 'utf8')));
const inSrc = sources.filter(({ path }) => path.startsWith('src/'));

t.test('imports follow the one-way order of the folders', async (t) => {
  const bad = [
    parseSource('src/quota/x.ts', "import { a } from '../http/a.ts';"),
    parseSource('src/cli/x.ts', "export { a } from '../queue/a.ts';"),
    parseSource('src/store/x.ts', "const a = await import('../../test/a.ts');"),
    parseSource('src/unheard-of/x.ts', ''),
  ];
  t.equal(bad.flatMap(importsAgainstOrder).length, bad.length, 'each bad sample is found');
  const good = parseSource('src/queue/x.ts', "import '../quota/a.ts'; import '../clock.ts';");
  t.strictSame(importsAgainstOrder(good), [], 'a good sample is not');
  t.strictSame(inSrc.flatMap(importsAgainstOrder), []);
});

t.test('ARCHITECTURE.md tells the import table as it is', async (t) => {
  const sample = '| Part | May import |\n|---|---|\n| `a`, `b` | nothing |\n| `c` | `a`, `b` |\n';
  t.strictSame(importTable(sample), { a: [], b: [], c: ['a', 'b'] });
  const table = importTable(readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8'));
  t.strictSame({ 'clock.ts': [], 'errors.ts': [], ...table }, MAY_IMPORT);
});

t.test('no imports go in a circle at run time', async (t) => {
  const circle = [
    parseSource('src/quota/a.ts', "import { b } from './b.ts';"),
    parseSource('src/quota/b.ts', "import { c } from './c.ts';"),
    parseSource('src/quota/c.ts', "import { a } from './a.ts';"),
  ];
  t.strictSame(importCycles(circle), [
    'src/quota/a.ts -> src/quota/b.ts -> src/quota/c.ts -> src/quota/a.ts',
  ]);
  const types = [
    parseSource('src/quota/a.ts', "import type { B } from './b.ts';"),
    parseSource('src/quota/b.ts', "import { a } from './a.ts';"),
  ];
  t.strictSame(importCycles(types), [], 'a circle through a type is none');
  t.strictSame(importCycles(inSrc), []);
});

t.test('a library has one place, and pure folders reach for nothing', async (t) => {
  const bad = [
    parseSource('src/http/x.ts', "import Database from 'better-sqlite3';"),
    parseSource('src/exchange/x.ts', "import { request } from 'undici';"),
    parseSource('src/quota/x.ts', "import { readFileSync } from 'node:fs';"),
  ];
  t.equal(bad.flatMap(importsOutOfPlace).length, bad.length);
  t.strictSame(inSrc.flatMap(importsOutOfPlace), []);
});

t.test('only the clock reads time', async (t) => {
  const samples = [
    'Date.now()',
    'new Date()',
    'performance.now()',
    'setTimeout(f, 1)',
    'process.hrtime.bigint()',
    "import { setTimeout as sleep } from 'node:timers/promises';",
  ];
  for (const text of samples) {
    t.equal(timeReads(parseSource('src/quota/x.ts', text), TIME_ALLOWED).length > 0, true, text);
  }
  const harmless = parseSource('src/quota/x.ts', "// Date.now()\nnew Date(ms); 'setTimeout';");
  t.strictSame(timeReads(harmless, TIME_ALLOWED), [], 'comments, strings and given instants');
  t.strictSame(
    inSrc.flatMap((file) => timeReads(file, TIME_ALLOWED)),
    [],
  );
});

t.test('only main ends the process, only the daemon draws lots', async (t) => {
  const exits = parseSource('src/cli/x.ts', 'process.exit(1);');
  t.equal(usesOutside(exits, 'process.exit', 'src/main.ts').length, 1);
  const draws = parseSource('src/queue/x.ts', 'const random = Math.random;');
  t.equal(usesOutside(draws, 'Math.random', 'src/daemon.ts').length, 1);
  t.strictSame(
    inSrc.flatMap((file) => usesOutside(file, 'process.exit', 'src/main.ts')),
    [],
  );
  t.strictSame(
    inSrc.flatMap((file) => usesOutside(file, 'Math.random', 'src/daemon.ts')),
    [],
  );
});

t.test('SQL stays in the store', async (t) => {
  for (const text of [
    'db.prepare(`SELECT units\n FROM ${table}`);',
    "db.exec('DELETE FROM event');",
    "db.pragma('PRAGMA user_version');",
  ]) {
    t.equal(sqlOutsideStore(parseSource('src/http/x.ts', text)).length, 1, text);
  }
  const prose = parseSource('src/http/x.ts', "'select a model from the list'");
  t.strictSame(sqlOutsideStore(prose), []);
  t.strictSame(inSrc.flatMap(sqlOutsideStore), []);
});

t.test('files are short', async (t) => {
  t.equal(tooLong(parseSource('src/quota/x.ts', 'a;\n'.repeat(LINES_MAX))).length, 0);
  t.equal(tooLong(parseSource('src/quota/x.ts', 'a;\n'.repeat(LINES_MAX + 1))).length, 1);
  t.strictSame(sources.flatMap(tooLong), []);
});

t.test('functions are short, not counting the functions they hold', async (t) => {
  const body = 'a;\n'.repeat(FUNCTION_LINES_MAX - 2);
  const short = `function f() {\n${body}}`;
  const closure = `function g() {\n${short}\n${short.replace('f()', 'h()')}\n}`;
  const long = `const f = () => {\n${body}a;\n};`;
  const lengths = (text: string): number =>
    functionsTooLong(parseSource('src/quota/x.ts', text)).length;
  t.strictSame([lengths(short), lengths(closure), lengths(long)], [0, 0, 1]);
  t.strictSame(inSrc.flatMap(functionsTooLong), []);
});

t.test('names are nouns of the domain, in kebab-case, and exported by name', async (t) => {
  const bad = [
    parseSource('src/quota/index.ts', ''),
    parseSource('src/quota/usageEvent.ts', ''),
    parseSource('src/dashboard/queueTable.js', ''),
    parseSource('src/quota/window-utils.ts', ''),
    parseSource('src/quota/x.ts', 'export class QuotaManager {}'),
    parseSource('src/quota/x.ts', 'export default function f() {}'),
    parseSource('src/quota/x.ts', 'const a = 1; export { a as default };'),
  ];
  for (const file of bad) t.not(badNames(file).length, 0, file.path);
  t.strictSame(badNames(parseSource('src/quota/x.ts', 'export const utility = 1;')), []);
  t.strictSame(sources.flatMap(badNames), []);
});

t.test('no file names a machine or a package registry', async (t) => {
  const slash = '/';
  for (const sample of [
    ['', 'home', 'alice', 'x'].join(slash),
    ['', 'root', '.npmrc'].join(slash),
    ['at ', 'work', 'main'].join(slash),
    ['https://registry', 'npmjs', 'org'].join('.'),
    ['x', '-', 'x-1.0.0.tgz'].join(slash),
  ]) {
    t.equal(machineTraces('x', sample).length, 1, sample);
  }
  t.strictSame(machineTraces('x', '/home/node/app and https://a.example/root/b'), []);
  const texts = paths.filter((path) => !/\.(png|ico|gz|br|jpe?g|pdf|db|bin|log)$/.test(path));
  t.strictSame(
    texts.flatMap((path) => machineTraces(path, readFileSync(join(ROOT, path), 'utf8'))),
    [],
  );
});

t.test('the lock file says what to install, and not from where', async (t) => {
  const lock = readFileSync(join(ROOT, 'package-lock.json'), 'utf8');
  t.notMatch(lock, /"resolved": "http/);
  t.notMatch(lock, /"deprecated"/, 'nothing that npm ci would warn of');
});

t.test('links between pages lead somewhere', async (t) => {
  const sample = '[a](b.md#c) [d](../e.md) [f](https://g.example/h) [i](#j)';
  const known = new Set(['docs/b.md']);
  t.strictSame(
    deadLinks('docs/a.md', sample, (path) => known.has(path)),
    ['docs/a.md: links to ../e.md, which does not exist'],
  );
  const all = new Set(tree.map(({ path }) => path));
  const pages = paths.filter((path) => path.endsWith('.md') && !path.startsWith('test/'));
  t.strictSame(
    pages.flatMap((path) =>
      deadLinks(path, readFileSync(join(ROOT, path), 'utf8'), (target) => all.has(target)),
    ),
    [],
  );
});

t.test('what the image and compose.yaml are made from exists', async (t) => {
  const all = new Set(tree.map(({ path }) => path));
  const compose = readFileSync(join(ROOT, 'compose.yaml'), 'utf8');
  const mounts = [...compose.matchAll(/- \.\/([\w./-]+):/g)].map(([, path = '']) => path);
  const dockerfile = readFileSync(join(ROOT, 'Dockerfile'), 'utf8');
  const copies = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(
    ([, sources = '']) => sources.split(' '),
  );
  t.ok(mounts.length >= 1 && copies.length >= 8, 'the patterns find what they look for');
  t.strictSame(
    [...mounts, ...copies].filter((path) => !all.has(path)),
    [],
  );
});

t.test('ARCHITECTURE.md draws every folder, and no other', async (t) => {
  t.strictSame(foldersDrawn('```text\nsrc/  all\n  a/   one\n    b/ two\ndocs/ c/ d\n```'), [
    'src',
    'src/a',
    'src/a/b',
    'docs',
  ]);
  t.strictSame(differences(['a', 'b'], ['b', 'c']), { missing: ['c'], stale: ['a'] });

  const folders = tree
    .filter(({ path, isFolder }) => isFolder && (!path.includes('/') || path.startsWith('src/')))
    .map(({ path }) => path);
  const drawn = foldersDrawn(readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8')).filter(
    (path) => !path.includes('/') || path.startsWith('src/'),
  );
  t.strictSame(differences(drawn, folders), { missing: [], stale: [] });
});
