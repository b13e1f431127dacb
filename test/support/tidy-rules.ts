import { posix } from 'node:path';
import type { SourceFile } from './source-file.ts';

/** A rule takes what it looks at and answers with one sentence for each breach. */
export type Finding = string;

/** Files that everything may import. */
const COMMON = new Set(['clock.ts', 'errors.ts']);

/**
 * What a part of src may import beyond itself and the common files. A part is a folder, or a file
 * directly in src. An entry that names a file allows that file only.
 */
export const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'clock.ts': [],
  'errors.ts': [],
  'version.ts': [],
  'log.ts': ['exchange', 'gemini'],
  gemini: [],
  quota: [],
  queue: ['quota'],
  exchange: ['gemini', 'quota', 'queue'],
  store: ['quota', 'sessions'],
  upstream: ['exchange', 'gemini'],
  config: ['quota'],
  sessions: ['gemini'],
  metrics: ['exchange', 'quota'],
  tracing: ['exchange', 'gemini'],
  http: ['exchange', 'sessions', 'metrics', 'quota', 'gemini', 'config'],
  operation: [
    'log.ts',
    'config',
    'exchange',
    'http',
    'metrics',
    'quota',
    'queue',
    'store',
    'sessions',
    'gemini',
  ],
  simulator: ['gemini'],
  dashboard: [],
  cli: [
    'daemon.ts',
    'version.ts',
    'log.ts',
    'config',
    'store',
    'sessions',
    'operation',
    'simulator',
    'http',
  ],
  'daemon.ts': [
    'version.ts',
    'log.ts',
    'gemini',
    'quota',
    'queue',
    'exchange',
    'store',
    'upstream',
    'config',
    'metrics',
    'tracing',
    'http',
    'operation',
    'sessions',
    'simulator',
  ],
  'main.ts': ['cli'],
};

/** One third-party library, one place: who may import it. */
const LIBRARY_HOME: Readonly<Record<string, readonly string[]>> = {
  'better-sqlite3': ['store'],
  undici: ['upstream', 'cli'],
  'prom-client': ['metrics'],
  commander: ['cli'],
  pino: ['log.ts'],
  '@opentelemetry/api': ['tracing'],
  '@opentelemetry/exporter-trace-otlp-http': ['tracing'],
  '@opentelemetry/resources': ['tracing'],
  '@opentelemetry/sdk-trace-base': ['tracing'],
  ws: ['http', 'upstream', 'simulator'],
};

/** Folders that compute and nothing else. */
const PURE = new Set(['gemini', 'quota', 'queue']);

/** Modules through which a pure folder would touch the world. */
const WORLD =
  /^node:(fs|net|tls|dgram|dns|http|http2|https|child_process|cluster|worker_threads|os|process|timers|perf_hooks)\b/;

/** Everything that reads the time, or waits for it. */
const TIME_READERS = [
  'Date.now',
  'new Date()',
  'Date()',
  'performance.now',
  'performance.timeOrigin',
  'process.hrtime',
  'process.uptime',
  'setTimeout',
  'setInterval',
  'AbortSignal.timeout',
];

/** Words that fit anything, and so name nothing. */
const NAME_WORDS_BANNED = new Set(['manager', 'service', 'helper', 'util', 'utils', 'processor']);

/** Most lines of a file. Above it there is a second noun in the file. */
export const LINES_MAX = 400;

/** Most lines of a function, not counting functions inside it: a closure may hold several. */
export const FUNCTION_LINES_MAX = 70;

/** `src/quota/window.ts` is of the part `quota`, `src/daemon.ts` of `daemon.ts`. */
export function partOf(path: string): string | null {
  return /^src\/([^/]+)/.exec(path)?.[1] ?? null;
}

/** Imports that go against the one-way order of the folders. */
export function importsAgainstOrder(file: SourceFile): Finding[] {
  const from = partOf(file.path);
  if (from === null) return [];
  const allowed = MAY_IMPORT[from];
  if (allowed === undefined) return [`${file.path}: src/${from} has no row in the import table`];
  return projectImports(file).flatMap((target) => {
    const to = partOf(target);
    if (to === null) return [`${file.path}: imports ${target}, which is outside src`];
    if (to === from || COMMON.has(to) || allowed.includes(to)) return [];
    if (allowed.some((entry) => target === `src/${entry}`)) return [];
    return [`${file.path}: ${from} may not import ${to} (${target})`];
  });
}

/** Cycles of imports that exist at run time; cycles between types cost nothing and are let be. */
export function importCycles(files: readonly SourceFile[]): Finding[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const state = new Map<string, 'open' | 'done'>();
  const trail: string[] = [];
  const findings: Finding[] = [];

  const walk = (path: string): void => {
    const file = byPath.get(path);
    if (file === undefined || state.get(path) === 'done') return;
    if (state.get(path) === 'open') {
      findings.push([...trail.slice(trail.indexOf(path)), path].join(' -> '));
      return;
    }
    state.set(path, 'open');
    trail.push(path);
    for (const target of projectImports(file, { values: true })) walk(target);
    trail.pop();
    state.set(path, 'done');
  };
  for (const { path } of files) walk(path);
  return findings;
}

/** Libraries outside their one place, and a pure folder that reaches for the world. */
export function importsOutOfPlace(file: SourceFile): Finding[] {
  const part = partOf(file.path);
  if (part === null) return [];
  return file.imports.flatMap(({ specifier }) => {
    const homes = LIBRARY_HOME[specifier];
    if (homes !== undefined && !homes.includes(part)) {
      return [`${file.path}: ${specifier} belongs to ${homes.join(', ')}`];
    }
    if (PURE.has(part) && WORLD.test(specifier)) {
      return [`${file.path}: ${part} is pure and may not import ${specifier}`];
    }
    return [];
  });
}

/** Readers of time outside src/clock.ts. `allowed` maps a path or a folder to the reason. */
export function timeReads(file: SourceFile, allowed: Readonly<Record<string, string>>): Finding[] {
  if (Object.keys(allowed).some((prefix) => file.path.startsWith(prefix))) return [];
  const imported = file.imports
    .filter(({ specifier }) => /^(node:)?(timers|perf_hooks)\b/.test(specifier))
    .map(({ specifier }) => specifier);
  return [...TIME_READERS.filter((name) => file.uses.has(name)), ...imported].map(
    (name) => `${file.path}: ${name} belongs to src/clock.ts`,
  );
}

/** `name`, such as `process.exit`, used in src elsewhere than in `home`. */
export function usesOutside(file: SourceFile, name: string, home: string): Finding[] {
  if (partOf(file.path) === null || file.path === home || !file.uses.has(name)) return [];
  return [`${file.path}: ${name} belongs to ${home}`];
}

export function tooLong(file: SourceFile): Finding[] {
  if (file.lineCount <= LINES_MAX) return [];
  return [`${file.path}: ${file.lineCount} lines, at most ${LINES_MAX}`];
}

export function functionsTooLong(file: SourceFile): Finding[] {
  return file.functions
    .filter(({ lineCount }) => lineCount > FUNCTION_LINES_MAX)
    .map(
      ({ name, lineCount }) =>
        `${file.path}: ${name} has ${lineCount} lines, at most ${FUNCTION_LINES_MAX}`,
    );
}

/** File names and exported names. */
export function badNames(file: SourceFile): Finding[] {
  const base = posix.basename(file.path);
  const findings: Finding[] = [];
  if (/^index\.[jt]s$/.test(base)) findings.push(`${file.path}: name the noun, not index`);
  if (!/^[a-z0-9]+(-[a-z0-9]+)*(\.test\.ts|\.ts|\.js)$/.test(base)) {
    findings.push(`${file.path}: file names are kebab-case`);
  }
  if (file.exports.includes('default')) findings.push(`${file.path}: no default exports`);
  for (const name of [base.replace(/(\.test)?\.[jt]s$/, ''), ...file.exports]) {
    const banned = words(name).find((word) => NAME_WORDS_BANNED.has(word));
    if (banned !== undefined) findings.push(`${file.path}: '${banned}' in '${name}' says nothing`);
  }
  return findings;
}

/** SQL statements outside store/. */
export function sqlOutsideStore(file: SourceFile): Finding[] {
  const part = partOf(file.path);
  if (part === null || part === 'store') return [];
  const statement =
    /\b(SELECT\s[\s\S]*\sFROM|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|(CREATE|ALTER|DROP)\s+(TABLE|INDEX|VIEW)|BEGIN\s+IMMEDIATE|PRAGMA\s+\w+)\b/;
  return file.strings
    .filter((text) => statement.test(text))
    .map((text) => `${file.path}: SQL belongs to src/store: ${text.trim().slice(0, 60)}`);
}

/** Paths of somebody's machine, and hosts of package registries, in any text. */
export function machineTraces(path: string, text: string): Finding[] {
  const traces = [
    // A home directory other than the ones that examples use.
    /(?<![\w.$}])\/home\/(?!user\b|node\b|you\b|me\b)[a-z]\w*/,
    /(?<![\w.$}])\/Users\/(?!you\b|me\b|user\b)\w+/,
    /(?<![\w.$}:/-])\/(root|work)\/[\w.-]/,
    /\bregistry\.[a-z-]+\.(org|com|io|net)\b/,
    /\/-\/[\w.-]+\.tgz\b/,
  ];
  return traces.flatMap((trace) => {
    const found = trace.exec(text)?.[0];
    return found === undefined ? [] : [`${path}: names ${found}`];
  });
}

/**
 * The folders that a drawing of the tree names: lines of a fenced block that begin with `name/`,
 * nested by two spaces.
 */
export function foldersDrawn(markdown: string): string[] {
  const drawing = /```text\n([\s\S]*?)```/.exec(markdown)?.[1] ?? '';
  const open: string[] = [];
  return drawing.split('\n').flatMap((line) => {
    const entry = /^( *)([\w.-]+)\/(?=\s|$)/.exec(line);
    if (entry === null) return [];
    const [, indent = '', name = ''] = entry;
    open.length = indent.length / 2;
    open.push(name);
    return [open.join('/')];
  });
}

/** The import table of a page: rows of one or more parts and what they may import. */
export function importTable(markdown: string): Record<string, string[]> {
  const table = /\| Part \| May import \|\n\|[-|]+\|\n((?:\|.*\n)+)/.exec(markdown)?.[1] ?? '';
  const rows = table
    .trim()
    .split('\n')
    .map((row) => row.split('|').map(codeSpans))
    .flatMap(([, parts = [], targets = []]) => parts.map((part) => [part, targets] as const));
  return Object.fromEntries(rows.map(([part, targets]) => [part, [...targets]]));
}

/** Links of a page to files that `exists` does not know. Links to the web are not followed. */
export function deadLinks(
  path: string,
  markdown: string,
  exists: (path: string) => boolean,
): Finding[] {
  const targets = [...markdown.matchAll(/\]\(([^)\s#]+)(?:#[^)\s]*)?\)/g)].map(([, to = '']) => to);
  return targets
    .filter((to) => !/^[a-z]+:/.test(to) && !exists(posix.join(posix.dirname(path), to)))
    .map((to) => `${path}: links to ${to}, which does not exist`);
}

/** What one list has and the other lacks, both ways. */
export function differences(
  drawn: readonly string[],
  real: readonly string[],
): { missing: string[]; stale: string[] } {
  return {
    missing: real.filter((folder) => !drawn.includes(folder)),
    stale: drawn.filter((folder) => !real.includes(folder)),
  };
}

function projectImports(file: SourceFile, { values = false } = {}): string[] {
  return file.imports
    .filter(({ specifier, typeOnly }) => specifier.startsWith('.') && !(values && typeOnly))
    .map(({ specifier }) => posix.join(posix.dirname(file.path), specifier));
}

function codeSpans(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].flatMap(([, text]) => (text === undefined ? [] : [text]));
}

function words(name: string): string[] {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .toLowerCase()
    .split(/[-_.]/);
}
