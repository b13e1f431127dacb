import { distance } from 'fastest-levenshtein';
import type { Static, TSchema } from 'typebox';
import { Settings } from 'typebox/system';
import { Value } from 'typebox/value';
import { expandEnv } from './env.ts';
import type { ConfigDocument, Path } from './document.ts';
import type { Problem } from './problems.ts';

/** The parts of JSON Schema that our schemas use. */
export interface SchemaNode {
  readonly type?: string | readonly string[];
  readonly title?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly patternProperties?: Readonly<Record<string, SchemaNode>>;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
  readonly additionalProperties?: boolean | SchemaNode;
  readonly required?: readonly string[];
  readonly writeOnly?: boolean;
}

// All mistakes are told at once; TypeBox stops at 8 unless told.
const PROBLEMS_MAX = 500;
Settings.Set({ maxErrors: PROBLEMS_MAX });

/** Data of a document that satisfies a schema, and what did not. */
export interface Validated<Schema extends TSchema> {
  /** Defaults filled in, wrong values replaced by them. Null when nothing usable is left. */
  readonly value: Static<Schema> | null;
  readonly problems: readonly Problem[];
}

/**
 * Checks a document against a schema. Wrong values are taken out and replaced by their defaults, so
 * that the checks which a schema cannot express can still run over the rest and tell their own.
 */
export function validate<Schema extends TSchema>(
  schema: Schema,
  document: ConfigDocument,
  env: NodeJS.ProcessEnv,
): Validated<Schema> {
  const value = withDefaults(schema, structuredClone(document.value), env);
  if (Value.Check(schema, value)) return { value, problems: [] };
  const errors = Value.Errors(schema, value);
  const unions = errors.filter(({ keyword }) => keyword === 'anyOf');
  const problems: Problem[] = [];
  for (const error of errors) {
    const path = pathOf(error.instancePath, value);
    // What a union's branches say makes no sense to people: its title says what is wanted.
    const inUnion = unions.some((union) =>
      error.schemaPath.startsWith(`${union.schemaPath}/anyOf`),
    );
    if (inUnion || error.keyword === 'boolean') continue;
    const node = schemaAt(schema, error.schemaPath);
    if (error.keyword === 'additionalProperties') {
      for (const key of error.params.additionalProperties) {
        problems.push(unknownKey(document, node, [...path, key]));
      }
    } else if (error.keyword === 'required') {
      for (const key of error.params.requiredProperties) {
        problems.push(document.problem([...path, key], 'is missing', '', 'key'));
      }
    } else {
      problems.push(wrongValue(document, node, path, error.keyword, error.message));
    }
  }
  for (const error of errors) remove(value, pathOf(error.instancePath, value), error);
  const rest = withDefaults(schema, value, env);
  return { value: Value.Check(schema, rest) ? rest : null, problems };
}

/** The key of `known` that was probably meant, or null. */
export function didYouMean(key: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = Math.min(3, Math.ceil(key.length / 2)) + 0.5;
  for (const candidate of known) {
    const far = distance(key.toLowerCase(), candidate);
    if (far < bestDistance) [best, bestDistance] = [candidate, far];
  }
  return best;
}

/** Fills absent keys; an empty section (`queue:` with nothing below) is all its defaults. */
function withDefaults(schema: SchemaNode, value: unknown, env: NodeJS.ProcessEnv): unknown {
  let filled = value;
  if (filled === undefined || (filled === null && schema.type === 'object')) {
    filled = schema.default === undefined ? filled : structuredClone(schema.default);
    if (typeof filled === 'string') filled = expandEnv(filled, env).text;
  }
  if (!isRecord(filled)) return filled;
  const anyKey = Object.values(schema.patternProperties ?? {})[0];
  if (anyKey !== undefined) {
    for (const key of Object.keys(filled)) filled[key] = withDefaults(anyKey, filled[key], env);
  }
  for (const [key, property] of Object.entries(schema.properties ?? {})) {
    const inner = withDefaults(property, filled[key], env);
    if (inner !== undefined) filled[key] = inner;
  }
  return filled;
}

function unknownKey(document: ConfigDocument, node: SchemaNode, path: Path): Problem {
  const known = Object.keys(node.properties ?? {});
  const meant = didYouMean(String(path.at(-1)), known);
  const hint = meant === null ? `Known here: ${known.join(', ')}` : `Did you mean ${meant}?`;
  return document.problem(path, 'unknown key', hint, 'key');
}

function wrongValue(
  document: ConfigDocument,
  node: SchemaNode,
  path: Path,
  keyword: string,
  fallback: string,
): Problem {
  const written = node.writeOnly === true ? null : shortened(document.written(path));
  const got = written === null ? '' : `, got ${written}`;
  switch (keyword) {
    case 'minimum':
      return document.problem(path, `must be at least ${node.minimum}${got}`);
    case 'maximum':
      return document.problem(path, `must be at most ${node.maximum}${got}`);
    case 'enum': {
      const values = node.enum ?? [];
      const meant = didYouMean(written ?? '', values);
      const hint = meant === null ? '' : `Did you mean ${meant}?`;
      return document.problem(path, `expected one of ${values.join(', ')}${got}`, hint);
    }
    case 'type':
    case 'pattern':
    case 'anyOf':
    case 'minLength':
      return document.problem(
        path,
        `expected ${wanted(node)}${got}`,
        formHint(document, node, path),
      );
    default:
      return document.problem(path, fallback);
  }
}

function wanted(node: SchemaNode): string {
  if (node.enum !== undefined) return `one of ${node.enum.join(', ')}`;
  return node.title ?? [node.type].flat().join(' or ');
}

/** `rpm: "9"`, `rpm: ${RPM}` and `max_wait: 30` look right to the eye. */
function formHint(document: ConfigDocument, node: SchemaNode, path: Path): string {
  const written = document.written(path);
  const wantsNumber = [node.type].flat().some((type) => type === 'integer' || type === 'number');
  if (written === null) return '';
  if (/^(a duration|a size)/.test(node.title ?? '') && /^[\d.]+$/.test(written)) {
    return 'Add a unit';
  }
  if (!wantsNumber) return '';
  if (/^["'][\d.]+["']$/.test(written)) return 'Write it without quotes';
  return written.includes('${') ? 'Environment variables give strings, never numbers' : '';
}

function shortened(written: string | null): string | null {
  if (written === null || written === '') return null;
  const line = written.split('\n')[0] ?? '';
  return line.length > 60 || line !== written ? `${line.slice(0, 60)}...` : line;
}

/** Takes the wrong thing out of the data, so that its default steps in. */
function remove(
  root: unknown,
  path: Path,
  error: { readonly keyword: string; readonly params: object },
): void {
  // An unknown key comes as an error of its own, at the key.
  if (error.keyword === 'additionalProperties') return;
  // A list goes as a whole: without one item, the places of the others would be wrong.
  const list = path.findIndex((step) => typeof step === 'number');
  const steps = list === -1 ? path : path.slice(0, list);
  const key = steps.at(-1);
  let parent = root;
  for (const step of steps.slice(0, -1)) parent = isRecord(parent) ? parent[step] : undefined;
  if (key !== undefined && isRecord(parent)) delete parent[key];
}

/** Steps of a JSON pointer; a step into a list is a number. */
function pathOf(pointer: string, root: unknown): (string | number)[] {
  const path: (string | number)[] = [];
  let value = root;
  for (const step of pointer.split('/').slice(1)) {
    const key = step.replaceAll('~1', '/').replaceAll('~0', '~');
    path.push(Array.isArray(value) ? Number(key) : key);
    value = isRecord(value) ? value[key] : undefined;
  }
  return path;
}

function schemaAt(schema: SchemaNode, pointer: string): SchemaNode {
  let node: unknown = schema;
  for (const step of pointer.split('/').slice(1)) node = isRecord(node) ? node[step] : undefined;
  return isRecord(node) ? node : {};
}

/** Lists count too: their items are reached by number. */
function isRecord(value: unknown): value is Record<string | number, unknown> {
  return typeof value === 'object' && value !== null;
}
