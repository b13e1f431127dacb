import { readFileSync, statSync } from 'node:fs';
import {
  LineCounter,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  parseDocument,
  visit,
  type Document,
  type Node,
} from 'yaml';
import { expandEnv } from './env.ts';
import type { Problem } from './problems.ts';

/** Keys and list positions from the top of a document. */
export type Path = readonly (string | number)[];

/** A parsed YAML file that knows where everything in it was written. */
export interface ConfigDocument {
  readonly file: string;
  /** Plain data, environment variables put in; an empty file is an empty mapping. */
  readonly value: unknown;
  /** What parsing found; when that is more than a duplicate key, `value` is an empty mapping. */
  readonly problems: readonly Problem[];
  /** The place of a key, or of its value; of the nearest thing around it when it is not there. */
  place(path: Path, of?: 'key' | 'value'): { readonly line: number; readonly column: number };
  /** A value as written, so that no message shows what a variable put in; null when not there. */
  written(path: Path): string | null;
  /** A problem at a key or value of this document. */
  problem(path: Path, message: string, hint?: string, of?: 'key' | 'value'): Problem;
}

/** A configuration is read whole; a larger file was named by mistake. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;

/** Reads a YAML file. Throws the file system's error, or one that says why this is no text. */
export function readDocument(file: string, env: NodeJS.ProcessEnv | null): ConfigDocument {
  const { size } = statSync(file);
  if (size > FILE_BYTES_MAX) throw new Error(`larger than ${FILE_BYTES_MAX} bytes`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    if (error instanceof TypeError) throw new Error('not UTF-8 text', { cause: error });
    throw error;
  }
  return parseText(file, text, env);
}

/** The same for text at hand. `env` null leaves `${NAME}` alone. */
export function parseText(
  file: string,
  text: string,
  env: NodeJS.ProcessEnv | null,
): ConfigDocument {
  const lines = new LineCounter();
  const yaml = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const problems: Problem[] = yaml.errors.map((error) => ({
    file,
    ...at(error.pos[0]),
    field: '',
    ...syntaxMessage(error.code, error.message),
  }));
  if (env !== null) problems.push(...expandScalars(file, text, yaml, env, at));
  const unknown = unknownAnchors(file, yaml, at);
  problems.push(...unknown);
  const isWhole = yaml.errors.every(({ code }) => code === 'DUPLICATE_KEY');
  let value: unknown = {};
  if (isWhole && unknown.length === 0) {
    try {
      value = yaml.toJS() ?? {};
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      problems.push({ file, line: 1, column: 1, field: '', message, hint: '' });
    }
  }
  const place = (path: Path, of: 'key' | 'value' = 'value') => at(offsetOf(yaml, path, of));
  return {
    file,
    value,
    problems,
    place,
    written: (path) => writtenAt(yaml, text, path),
    problem: (path, message, hint = '', of = 'value') => ({
      file,
      ...place(path, of),
      field: path.join('.'),
      message,
      hint,
    }),
  };
}

function syntaxMessage(code: string, message: string): { message: string; hint: string } {
  if (code === 'TAB_AS_INDENT') {
    return { message: 'a tab is used as indentation', hint: 'YAML wants spaces' };
  }
  if (code === 'DUPLICATE_KEY') {
    return { message: 'the same key is written twice', hint: 'Keep one of them' };
  }
  if (code === 'MULTIPLE_DOCS') {
    return { message: 'a second document begins here', hint: 'Keep one document in the file' };
  }
  return { message: `this is not YAML: ${message}`, hint: '' };
}

function unknownAnchors(
  file: string,
  yaml: Document,
  at: (offset: number) => { line: number; column: number },
): Problem[] {
  const problems: Problem[] = [];
  visit(yaml, {
    Alias(_key, alias, ancestors) {
      if (alias.resolve(yaml) !== undefined) return;
      const place = at(alias.range?.[0] ?? 0);
      const message = `there is no anchor &${alias.source} above`;
      const field = fieldOf([...ancestors, alias]).join('.');
      problems.push({ file, ...place, field, message, hint: 'Quote a value that begins with *' });
    },
  });
  return problems;
}

/** Expands string values in place; keys, comments and numbers are left alone. */
function expandScalars(
  file: string,
  text: string,
  yaml: Document,
  env: NodeJS.ProcessEnv,
  at: (offset: number) => { line: number; column: number },
): Problem[] {
  const problems: Problem[] = [];
  visit(yaml, {
    Scalar(key, scalar, ancestors) {
      if (key === 'key' || typeof scalar.value !== 'string') return;
      const written = scalar.value;
      const { text: expanded, faults } = expandEnv(written, env);
      scalar.value = expanded;
      let from = scalar.range?.[0] ?? 0;
      for (const { index, message, hint } of faults) {
        // Quoting and folding move characters: the reference is looked up in the text again.
        const found = text.indexOf(written.slice(index, index + 3), from);
        if (found !== -1) from = found;
        const field = fieldOf([...ancestors, scalar]).join('.');
        problems.push({ file, ...at(from), field, message, hint });
        from += 1;
      }
    },
  });
  return problems;
}

/** The dotted path that leads through these nodes. */
function fieldOf(nodes: readonly unknown[]): string[] {
  const field: string[] = [];
  for (const [index, node] of nodes.entries()) {
    if (isPair(node)) field.push(isScalar(node.key) ? String(node.key.value) : '?');
    if (isSeq(node)) field.push(String(node.items.indexOf(nodes[index + 1])));
  }
  return field;
}

function isPair(node: unknown): node is { readonly key: unknown } {
  return typeof node === 'object' && node !== null && 'key' in node;
}

function offsetOf(yaml: Document, path: Path, of: 'key' | 'value'): number {
  const found = lookUp(yaml, path);
  const node = of === 'key' || found.value === null ? (found.key ?? found.value) : found.value;
  return node?.range?.[0] ?? 0;
}

function writtenAt(yaml: Document, text: string, path: Path): string | null {
  const { value, depth } = lookUp(yaml, path);
  if (depth < path.length || !value?.range) return null;
  return text.slice(value.range[0], value.range[1]).trim();
}

interface Found {
  /** The key of the last step that exists; null in a list and at the top. */
  readonly key: Node | null;
  /** Its value; null when the key has none, as in `queue:`. */
  readonly value: Node | null;
  /** Steps of the path that exist. */
  readonly depth: number;
}

function lookUp(yaml: Document, path: Path): Found {
  let found: Found = { key: null, value: yaml.contents, depth: 0 };
  for (const step of path) {
    const next = stepInto(yaml, found, step);
    if (next === null) return found;
    found = next;
  }
  return found;
}

function stepInto(yaml: Document, found: Found, step: string | number): Found | null {
  const depth = found.depth + 1;
  const node = isAlias(found.value) ? found.value.resolve(yaml) : found.value;
  if (isMap(node)) {
    // The last of a duplicate key is the one whose value counts.
    const pair = node.items.findLast(
      ({ key }) => String(isScalar(key) ? key.value : key) === String(step),
    );
    if (pair === undefined) return null;
    return { key: asNode(pair.key), value: asNode(pair.value), depth };
  }
  if (isSeq(node)) {
    const item = node.items[Number(step)];
    return item === undefined ? null : { key: null, value: asNode(item), depth };
  }
  return null;
}

function asNode(value: unknown): Node | null {
  return isScalar(value) || isMap(value) || isSeq(value) || isAlias(value) ? value : null;
}
