import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ERROR_CATALOGUE } from '../../src/errors.ts';
import { createMetrics } from '../../src/metrics/metrics.ts';
import {
  allFlags,
  argumentsIn,
  callsIn,
  commandNames,
  mistakeIn,
} from '../support/doc-commands.ts';
import { docPages, readPage, ROOT } from '../support/doc-pages.ts';

const pages = docPages();

/** Flags of other programs that pages speak of alone, and whose they are. */
const FOREIGN_FLAGS: Readonly<Record<string, string>> = {
  '--retry': 'curl',
  '--install-links': 'npm',
};
/** What begins with headgate's name and is no command, and what it is. */
const NO_COMMANDS: Readonly<Record<string, string>> = {
  headgate: 'a name',
  'headgate is stopping. Please connect again.': 'the close of a WebSocket',
};
/** Names that look like a metric, and what they are. */
const NO_METRICS: Readonly<Record<string, string>> = {
  headgate_pass: 'a parameter of addresses that headgate hands out',
};
/** Names in capitals that are no reason, and whose they are. */
const NO_REASONS: Readonly<Record<string, string>> = {
  RESOURCE_EXHAUSTED: 'a status of Google',
  API_KEY_INVALID: 'a reason of Google',
  HTTPS_PROXY: 'a variable of many programs',
  NO_COLOR: 'a variable of terminals',
  LOG_DIR: 'a word of the reader',
  SSL_CERT_FILE: 'a variable of OpenSSL',
};
const VARIABLE = /^(GEMINI|GOOGLE|OPENAI|HEADGATE|OTEL|XDG|MASSGEN|GENAI)_/;

t.test('blocks, their marks, and words in backquotes are found', async (t) => {
  const sample =
    'Say `a`.\n\n<!-- check: none, hers -->\n\n```yaml\na: 1\n```\n\n```sh\nx\n```\n\n```\n```\n`b\nc`\n';
  const { blocks, spans } = readPage('p.md', sample);
  t.strictSame(blocks, [
    { place: 'p.md:6', language: 'yaml', text: 'a: 1\n', check: 'none, hers' },
    { place: 'p.md:10', language: 'sh', text: 'x\n', check: null },
    { place: 'p.md:14', language: '', text: '', check: null },
  ]);
  t.strictSame(spans, ['a', 'b c']);
  t.ok(pages.length >= 12);
  const fences = pages.map(({ text }) => (text.match(/^ *```/gm) ?? []).length);
  t.strictSame(
    pages.map(({ blocks: found }) => 2 * found.length),
    fences,
    'no fence is left over',
  );
});

t.test('every command and flag that a page names is there', async (t) => {
  t.strictSame(callsIn('a | headgate x --y "b c" > d\nexport A="$(headgate env q)"'), [
    ['x', '--y', '"b c"'],
    ['env', 'q'],
  ]);
  t.match(mistakeIn(['serv']), /no command serv/);
  t.match(mistakeIn(['limits', 'st']), /no command st/);
  t.match(mistakeIn(['status', '--wach']), /status has no flag --wach/);
  t.equal(mistakeIn(['continue', '[LOG_DIR]', '-m', 'TEXT']), null);
  let calls = 0;
  for (const { path, blocks, spans } of pages) {
    const told = [
      ...blocks.filter(({ language }) => language === 'sh').flatMap(({ text }) => callsIn(text)),
      ...spans.flatMap((span) => {
        const words = Object.hasOwn(NO_COMMANDS, span) ? null : argumentsIn(span);
        // A reason of an error may follow the name, as in the close of a WebSocket.
        const isReason = Object.hasOwn(ERROR_CATALOGUE, (words?.[0] ?? '').replace(/\W+$/, ''));
        return words === null || isReason ? [] : [words];
      }),
    ];
    calls += told.length;
    for (const words of told) t.equal(mistakeIn(words), null, `${path}: ${words.join(' ')}`);
  }
  t.ok(calls > 60, `${calls} calls are found`);

  const flags = allFlags();
  for (const { path, spans } of pages) {
    for (const span of spans.filter((one) => one.startsWith('--'))) {
      const [flag = ''] = span.split(/[ =]/);
      t.ok(flags.has(flag) || Object.hasOwn(FOREIGN_FLAGS, flag), `${path}: ${span}`);
    }
  }
});

t.test('the table in README.md names every command, and no other', async (t) => {
  const readme = pages.find(({ path }) => path === 'README.md');
  const [, table = ''] = readme?.text.split('\n## Commands\n') ?? [];
  const cells = [...table.matchAll(/^\| (`.+?`) \|/gm)].map(([, cell = '']) => cell);
  const told = cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, one = '']) => one));
  t.ok(told.length > 15);
  for (const line of told) {
    const words = argumentsIn(`headgate ${line}`) ?? [];
    t.equal(mistakeIn(words), null, line);
  }
  const named = new Set(told.map((line) => line.split(' ')[0]));
  for (const name of commandNames()) t.ok(named.has(name), name);
});

t.test('every route that a page names is in docs/openapi.json', async (t) => {
  const { paths } = JSON.parse(readFileSync(join(ROOT, 'docs/openapi.json'), 'utf8'));
  const routes = Object.entries<Record<string, unknown>>(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => ({
      method: method.toUpperCase(),
      segments: path.split('/'),
    })),
  );
  const isThere = (method: string | null, path: string): boolean => {
    const segments = path.replace(/[?#].*$/, '').split('/');
    return routes.some(
      (route) =>
        (method === null || route.method === method) &&
        route.segments.length === segments.length &&
        route.segments.every((one, at) => one.startsWith('{') || one === segments[at]),
    );
  };
  t.equal(isThere('GET', '/sessions/latest/history?x=1'), true);
  t.equal(isThere('PATCH', '/limits'), false);
  const firstSegments = new Set(routes.map(({ segments }) => segments[1]));
  let found = 0;
  for (const { path, spans } of pages) {
    for (const span of spans) {
      const named = /^(?:(GET|POST|PATCH|PUT|DELETE) )?(\/[\w.:%{}?=&/-]*)$/.exec(span);
      if (named === null) continue;
      const [, method = null, route = ''] = named;
      const isOurs = firstSegments.has(route.split('/')[1]?.replace(/\?.*$/, ''));
      // Without a method it may be a path of the Gemini API, or a prefix of one.
      if (method === null && (!isOurs || /^\/sessions\/[^/]+\/record$/.test(route))) continue;
      found += 1;
      t.ok(isThere(method, route), `${path}: ${span}`);
    }
  }
  t.ok(found > 15, `${found} routes are found`);
});

t.test('every metric that a page names is exported', async (t) => {
  const exposition = await createMetrics({ version: '1', snapshot: () => [] }).render();
  const exported = new Set([...exposition.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
  t.ok(exported.has('headgate_queue_depth'));
  for (const { path, text } of pages) {
    for (const [name] of text.matchAll(/\bheadgate_[a-z_]+[a-z]/g)) {
      if (Object.hasOwn(NO_METRICS, name)) continue;
      const base = name.replace(/_(bucket|sum|count)$/, '');
      t.ok(exported.has(name) || exported.has(base), `${path}: ${name}`);
    }
  }
});

t.test('every reason of an error that a page names is in the catalogue', async (t) => {
  let found = 0;
  for (const { path, spans } of pages) {
    for (const span of spans.filter((one) => /^[A-Z]+(_[A-Z0-9]+)+$/.test(one))) {
      if (Object.hasOwn(NO_REASONS, span) || VARIABLE.test(span)) continue;
      found += 1;
      t.ok(Object.hasOwn(ERROR_CATALOGUE, span), `${path}: ${span}`);
    }
  }
  t.ok(found > 40);
});

t.test('every block of JSON can be read', async (t) => {
  for (const { blocks } of pages) {
    for (const { language, text, place } of blocks) {
      if (language === 'json') t.doesNotThrow(() => JSON.parse(text), place);
    }
  }
});

t.test('docs/troubleshooting.md quotes messages as headgate says them', async (t) => {
  const names = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' });
  const source = names
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFileSync(join(ROOT, 'src', name), 'utf8'))
    .join('\n')
    // A message that goes on in the next line is one.
    .replaceAll(/['"`]\s*\+\s*['"`]/g, '')
    .replaceAll('\\n', '\n');
  const page = pages.find(({ path }) => path === 'docs/troubleshooting.md');
  const quoted = (page?.blocks ?? [])
    .filter(({ language }) => language === 'text')
    .flatMap(({ text, place }) =>
      text
        .trimEnd()
        .split('\n')
        .map((line) => ({ line, place })),
    );
  t.ok(quoted.length > 25);
  for (const { line, place } of quoted) {
    const parts = line
      .split('...')
      .map((part) => part.replace(/^[\s:;,]+/, ''))
      .filter((part) => part !== '');
    t.ok(parts.length > 0, `${place} says something`);
    for (const part of parts) t.ok(source.includes(part), `${place}: ${part}`);
  }
});
