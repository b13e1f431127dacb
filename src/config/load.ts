import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { readDocument, type ConfigDocument } from './document.ts';
import type { LoadedConfig } from './loaded.ts';
import { locateConfig, stateDirectory, type ConfigLocation } from './locate.ts';
import { ConfigError, type Problem } from './problems.ts';
import { CONFIG_SCHEMA, LOG_LEVELS, type ConfigFile } from './schema.ts';
import {
  cooldownOf,
  projectsOf,
  queueOf,
  rateLimitsOf,
  sessionsOf,
  tracingOf,
} from './sections.ts';
import { emptyDocument, readFault, readPrices, resolvePath, type Reading } from './sources.ts';
import { readTls } from './tls.ts';
import { validate } from './validate.ts';
import { toBaseUrl, toDuration, toListen } from './values.ts';

export interface LoadOptions {
  /** The --config flag; null looks in the usual places. */
  readonly file: string | null;
  readonly env: NodeJS.ProcessEnv;
  /** Base of paths in flags and of the built-in session roots. */
  readonly cwd: string;
  /** Flags of `serve`; each wins over the file. */
  readonly flags: LoadFlags;
}

export interface LoadFlags {
  readonly listen?: string;
  /** --rate-limit and --no-rate-limit. */
  readonly rateLimit?: boolean;
  readonly simulate?: boolean;
  /** Session roots; one or more replace those of the file. */
  readonly sessions?: readonly string[];
  readonly logLevel?: string;
}

/**
 * Finds, reads and checks the configuration and every file that it names. Throws ConfigError with
 * all mistakes at once; then nothing of it is in force.
 */
export function loadConfig(options: LoadOptions): LoadedConfig {
  const { env, cwd } = options;
  const location = locateConfig(options);
  const document = openDocument(location, env);
  const { value, problems } = validate(CONFIG_SCHEMA, document, env);
  const reading: Reading = {
    document,
    env,
    cwd,
    problems: [...problems],
    warnings: [],
    watchedFiles: [...location.candidates],
  };
  const config = value === null ? null : assemble(value, location, options.flags, reading);
  const all = [...document.problems, ...reading.problems.filter(isNews(document.problems))];
  if (config === null || all.length > 0) throw new ConfigError(all.toSorted(byPlace));
  return { ...config, hash: hashOf(config) };
}

/** Whether two configurations mean the same, secrets and places included. */
export function isSameConfig(a: LoadedConfig, b: LoadedConfig): boolean {
  return isDeepStrictEqual(a, b);
}

function openDocument({ file, origin }: ConfigLocation, env: NodeJS.ProcessEnv): ConfigDocument {
  if (file === null) return emptyDocument();
  try {
    return readDocument(file, env);
  } catch (error) {
    const hint = origin.startsWith('-') || origin.startsWith('$') ? `${origin} names it` : '';
    const message = `cannot be read: ${readFault(error)}`;
    throw new ConfigError([{ file, line: 0, column: 0, field: '', message, hint }]);
  }
}

function assemble(
  written: ConfigFile,
  location: ConfigLocation,
  flags: LoadFlags,
  reading: Reading,
): LoadedConfig {
  const rateLimits = rateLimitsOf(reading, written.rate_limits);
  const apiKey = emptyToNull(written.upstream.api_key);
  const token = emptyToNull(written.admin.token);
  const projects = projectsOf(reading, written.projects, rateLimits);
  const isEnforced = flags.rateLimit ?? written.enable_rate_limit;
  const state = stateDirectory(reading.env);
  const { path } = written.storage;
  const tls = readTls(reading, written.tls);
  const tracing = tracingOf(reading, written.tracing);
  return {
    file: location.file,
    hash: '',
    mode: isEnforced ? written.mode : 'off',
    profile: written.rate_limits.profile,
    warnings: reading.warnings,
    secrets: [
      apiKey,
      token,
      tls?.key ?? null,
      ...[...projects.values()].flatMap(({ keys }) => keys),
      ...secretsIn(tracing?.headers ?? {}),
    ].filter((secret) => secret !== null),
    watchedFiles: reading.watchedFiles,
    listen: toListen(reading, { written: written.listen, flag: flags.listen, token }),
    tls,
    simulate: flags.simulate ?? false,
    upstream: {
      baseUrl: toBaseUrl(reading, ['upstream', 'base_url'], {
        text: written.upstream.base_url,
        keyPlace: 'upstream.api_key',
      }),
      apiKey,
    },
    rateLimits,
    projects,
    cooldown: written.cooldown === null ? null : cooldownOf(reading, written.cooldown),
    queue: queueOf(reading, written.queue),
    sessions: sessionsOf(reading, written.sessions, flags.sessions ?? []),
    storage: { path: path === null ? join(state, 'headgate.db') : resolvePath(reading, path) },
    prices: readPrices(reading, written.pricing, [
      ...rateLimits.tables,
      ...[...projects.values()].map(({ table }) => table),
    ]),
    admin: {
      token,
      allowedHosts: written.admin.allowed_hosts,
      allowedOrigins: written.admin.allowed_origins,
    },
    retention: {
      eventsMs: toDuration(reading, ['retention', 'events'], written.retention.events),
      rollupsMs: toDuration(reading, ['retention', 'rollups'], written.retention.rollups),
    },
    tracing,
    log: { ...written.log, level: logLevel(reading, written.log.level, flags.logLevel) },
  };
}

function logLevel(
  { problems }: Reading,
  written: LoadedConfig['log']['level'],
  flag: string | undefined,
): LoadedConfig['log']['level'] {
  if (flag === undefined) return written;
  const level = LOG_LEVELS.find((level) => level === flag);
  if (level === undefined) {
    const message = `expected one of ${LOG_LEVELS.join(', ')}, got ${flag}`;
    problems.push({ file: '--log-level', line: 0, column: 0, field: '', message, hint: '' });
  }
  return level ?? written;
}

function emptyToNull(text: string | null): string | null {
  return text === null || text.trim() === '' ? null : text.trim();
}

/** 12 hex digits tell two configurations apart for people; nothing relies on their being unique. */
function hashOf(config: LoadedConfig): string {
  const { file: _file, hash: _hash, secrets: _secrets, watchedFiles: _watched, ...rest } = config;
  const plain = JSON.stringify(rest, (key, value: unknown) => {
    if (SECRET_OR_PLACE.has(key)) return undefined;
    return value instanceof Map ? [...value.entries()] : value;
  });
  return createHash('sha256').update(plain).digest('hex').slice(0, 12);
}

const SECRET_OR_PLACE = new Set([
  'apiKey',
  'token',
  'key',
  'keys',
  'headers',
  'source',
  'warnings',
]);

/** Shorter values of headers are names of tenants and the like, which also stand in other places. */
const HEADER_SECRET_LENGTH_MIN = 12;

function secretsIn(headers: Readonly<Record<string, string>>): string[] {
  return Object.values(headers).filter(({ length }) => length >= HEADER_SECRET_LENGTH_MIN);
}

/** A value whose variable is missing is wrong in every other way too; once is enough. */
function isNews(told: readonly Problem[]): (problem: Problem) => boolean {
  const fields = new Set(told.map(({ field }) => field).filter((field) => field !== ''));
  return ({ field }) => !fields.has(field);
}

function byPlace(a: Problem, b: Problem): number {
  return a.line - b.line || a.column - b.column;
}
