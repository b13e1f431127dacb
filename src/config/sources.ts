import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TSchema } from 'typebox';
import { parseText, readDocument, type ConfigDocument, type Path } from './document.ts';
import type { LimitTable, PriceEntry } from './loaded.ts';
import { absolutePath } from './locate.ts';
import { PRICING_SCHEMA, priceEntries, unpricedBudgets } from './pricing.ts';
import type { Problem } from './problems.ts';
import { MASSGEN_SCHEMA, PROFILE_SCHEMA, type ConfigFile, type ProfileFile } from './schema.ts';
import { limitTable, type WindowModes } from './tables.ts';
import { validate, type Validated } from './validate.ts';

/** The package's own config directory, as far from dist/config as from src/config. */
const SHIPPED_DIRECTORY = new URL('../../config/', import.meta.url);

/** What one loading of the configuration gathers on its way. */
export interface Reading {
  readonly document: ConfigDocument;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly problems: Problem[];
  readonly warnings: string[];
  readonly watchedFiles: string[];
}

/** A file that comes with the package, such as `profiles/free.yaml`. */
export function shippedFile(name: string): string {
  return fileURLToPath(new URL(name, SHIPPED_DIRECTORY));
}

/** A path of the configuration file, which starts at the directory of that file. */
export function resolvePath({ document, env, cwd }: Reading, path: string): string {
  return absolutePath(path, document.file === '' ? cwd : dirname(document.file), env);
}

/** The profile that the file names, before its rows are read; null for `none`. */
export function readProfile(
  reading: Reading,
  name: string,
): { readonly file: ProfileFile; readonly document: ConfigDocument } | null {
  if (name === 'none') return null;
  const read = readSource(reading, PROFILE_SCHEMA, {
    file: shippedFile(`profiles/${name}.yaml`),
    path: ['rate_limits', 'profile'],
  });
  return read === null ? null : { file: read.value, document: read.document };
}

/** Limits outside projects, the most important source first. */
export function readTables(
  reading: Reading,
  written: ConfigFile['rate_limits'],
  profile: ReturnType<typeof readProfile>,
  modes: WindowModes,
): readonly LimitTable[] {
  const { document, problems, warnings } = reading;
  const path = ['rate_limits', 'gemini'];
  const tables = [limitTable(written.gemini, { document, path, modes, problems })];
  if (written.file !== null) tables.push(readMassgenTable(reading, written.file, modes));
  if (profile !== null) {
    const source = `profile ${written.profile}`;
    const { file, document } = profile;
    tables.push(limitTable(file.gemini, { document, path: ['gemini'], modes, problems, source }));
    if (tables[0]?.has('default') === true) {
      warnings.push(
        `rate_limits.gemini.default holds only for models that no other row names, and profile ${written.profile} names many; "gemini-*" or profile: none covers them all`,
      );
    }
  }
  return tables;
}

/** Prices of the named file, or of the one shipped. */
export function readPrices(
  reading: Reading,
  path: string | null,
  tables: readonly LimitTable[],
): ReadonlyMap<string, PriceEntry> {
  const file = path === null ? shippedFile('pricing.yaml') : resolvePath(reading, path);
  const read = readSource(reading, PRICING_SCHEMA, { file, path: ['pricing'] });
  if (read === null) return new Map();
  const prices = priceEntries(read.value, read.document, reading.problems);
  reading.warnings.push(...unpricedBudgets(tables, prices));
  return prices;
}

function readMassgenTable(reading: Reading, path: string, modes: WindowModes): LimitTable {
  const file = resolvePath(reading, path);
  const read = readSource(reading, MASSGEN_SCHEMA, { file, path: ['rate_limits', 'file'] });
  if (read === null) return new Map();
  const { document } = read;
  const rows = read.value.gemini;
  if (Object.keys(rows).length === 0) {
    reading.warnings.push(`${file} has no limits under gemini; other providers are not read`);
  }
  for (const [model, row] of Object.entries(rows)) {
    const unread = Object.keys(row).filter((key) => !['rpm', 'tpm', 'rpd'].includes(key));
    if (unread.length > 0) {
      const { line } = document.place(['gemini', model], 'key');
      reading.warnings.push(`${file}:${line}: not read: ${unread.join(', ')} of ${model}`);
    }
  }
  const limits = Object.entries(rows).map(([model, { rpm, tpm, rpd }]) => {
    const named = Object.entries({ rpm, tpm, rpd }).filter(([, limit]) => limit !== undefined);
    return [model, Object.fromEntries(named)] as const;
  });
  const { problems } = reading;
  return limitTable(Object.fromEntries(limits), { document, path: ['gemini'], modes, problems });
}

/** Reads a file that the configuration names at `path`; its problems join the others. */
function readSource<Schema extends TSchema>(
  reading: Reading,
  schema: Schema,
  { file, path }: { readonly file: string; readonly path: Path },
): {
  readonly value: NonNullable<Validated<Schema>['value']>;
  readonly document: ConfigDocument;
} | null {
  const { problems, env } = reading;
  reading.watchedFiles.push(file);
  let document: ConfigDocument;
  try {
    document = readDocument(file, null);
  } catch (error) {
    const message = `${file} cannot be read: ${readFault(error)}`;
    problems.push(reading.document.problem(path, message));
    return null;
  }
  const { value, problems: found } = validate(schema, document, env);
  problems.push(...document.problems, ...found);
  return value === null || value === undefined ? null : { value, document };
}

/** The built-in defaults, as a document in which nothing is written. */
export function emptyDocument(): ConfigDocument {
  return parseText('', '', null);
}

/** A file system's error in words. */
export function readFault(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return 'there is no such file';
    case 'EACCES':
    case 'EPERM':
      return 'permission denied';
    case 'EISDIR':
      return 'it is a directory';
    default:
      return error instanceof Error ? error.message : String(error);
  }
}
