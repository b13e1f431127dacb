import { validateHeaderName, validateHeaderValue } from 'node:http';
import { join } from 'node:path';
import type { CooldownConfig, LoadedConfig, ProjectConfig, RateLimits } from './loaded.ts';
import { absolutePath, stateDirectory } from './locate.ts';
import { DEFAULT_KEY } from './patterns.ts';
import type { ConfigFile } from './schema.ts';
import { readProfile, readTables, resolvePath, type Reading } from './sources.ts';
import { limitTable } from './tables.ts';
import { toBaseUrl, toBytes, toDuration } from './values.ts';

/** SDKs insist on some key: this one means that the client brings none. */
export const PLACEHOLDER_KEY = 'headgate';

const MINUTE_MS = 60_000;

/** Calls of one agent are spaced by this where `cooldown.startup` has no default of its own. */
const STARTUP_MS_DEFAULT = 5000;

export function rateLimitsOf(reading: Reading, written: ConfigFile['rate_limits']): RateLimits {
  const { document, problems } = reading;
  const profile = readProfile(reading, written.profile);
  const isDayWritten = document.written(['rate_limits', 'day']) !== null;
  const modes = {
    day: isDayWritten ? written.day : (profile?.file.day ?? written.day),
    minute: written.minute,
    minuteSpanMs: toDuration(reading, ['rate_limits', 'minute_span'], written.minute_span),
  };
  const { minuteSpanMs } = modes;
  if (minuteSpanMs < 100 || minuteSpanMs > MINUTE_MS) {
    const message = `must be from 100ms to 60s, got ${written.minute_span}`;
    problems.push(document.problem(['rate_limits', 'minute_span'], message));
  } else if (minuteSpanMs !== MINUTE_MS && modes.minute === 'utc') {
    const message = 'a calendar minute cannot be shortened';
    problems.push(document.problem(['rate_limits', 'minute_span'], message, 'Use minute: sliding'));
  }
  const windowGuardMs = toDuration(reading, ['rate_limits', 'window_guard'], written.window_guard);
  if (windowGuardMs > MINUTE_MS) {
    const message = `must be at most 60s, got ${written.window_guard}`;
    problems.push(document.problem(['rate_limits', 'window_guard'], message));
  }
  return {
    tables: readTables(reading, written, profile, modes),
    tpmCounts: written.tpm_counts,
    ...modes,
    windowGuardMs,
    tokenMargin: written.token_margin,
    learn: written.learn,
    aliases: aliasesOf(reading, written.aliases),
  };
}

export function projectsOf(
  reading: Reading,
  written: ConfigFile['projects'],
  modes: RateLimits,
): ReadonlyMap<string, ProjectConfig> {
  const { document, problems } = reading;
  const projects = new Map<string, ProjectConfig>();
  const ownerOf = new Map<string, string>();
  for (const [name, { keys, rate_limits }] of Object.entries({
    [DEFAULT_KEY]: { keys: [], rate_limits: { gemini: {} } },
    ...written,
  })) {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) {
      const hint = 'Use letters, digits, dots, - and _, at most 64';
      problems.push(document.problem(['projects', name], 'not a name for a project', hint, 'key'));
    }
    for (const [index, key] of keys.entries()) {
      const path = ['projects', name, 'keys', index];
      const owner = ownerOf.get(key);
      if (key === PLACEHOLDER_KEY) {
        const message = `the key ${PLACEHOLDER_KEY} stands for no key and belongs to no project`;
        problems.push(document.problem(path, message));
      } else if (owner !== undefined && owner !== name) {
        const hint = 'A key uses the quota of one project';
        problems.push(document.problem(path, `project ${owner} has the same key`, hint));
      }
      ownerOf.set(key, name);
    }
    const path = ['projects', name, 'rate_limits', 'gemini'];
    const table = limitTable(rate_limits.gemini, { document, path, modes, problems });
    projects.set(name, { keys, table });
  }
  return projects;
}

export function cooldownOf(
  reading: Reading,
  written: NonNullable<ConfigFile['cooldown']>,
): CooldownConfig {
  const { startup, starts_per_minute: starts, startup_idle: idle } = written;
  const startupMs = new Map([[DEFAULT_KEY, STARTUP_MS_DEFAULT]]);
  for (const [key, text] of Object.entries(startup)) {
    startupMs.set(key, toDuration(reading, ['cooldown', 'startup', key], text));
  }
  const perKey = typeof starts === 'object' && starts !== null;
  return {
    startup: startupMs,
    startsPerMinute: new Map(
      perKey
        ? Object.entries({ [DEFAULT_KEY]: 'auto' as const, ...starts })
        : [[DEFAULT_KEY, starts]],
    ),
    startupIdleMs: toDuration(reading, ['cooldown', 'startup_idle'], idle),
  };
}

export function queueOf(reading: Reading, written: ConfigFile['queue']): LoadedConfig['queue'] {
  return {
    depthMax: written.max_depth,
    depthPerAgentMax: written.max_depth_per_agent,
    bytesMax: toBytes(reading, ['queue', 'max_bytes'], written.max_bytes),
    waitMsMax: toDuration(reading, ['queue', 'max_wait'], written.max_wait),
    drainMs: toDuration(reading, ['queue', 'drain'], written.drain),
  };
}

/** Roots of the flag start at the working directory, those of the file at the file. */
export function sessionsOf(
  reading: Reading,
  written: ConfigFile['sessions'],
  flag: readonly string[],
): LoadedConfig['sessions'] {
  const { cwd, env } = reading;
  const fromCwd = (path: string) => absolutePath(path, cwd, env);
  const fromFile = (path: string) => resolvePath(reading, path);
  const roots = flag.length > 0 ? flag.map(fromCwd) : written.roots?.map(fromFile);
  return {
    roots: [...new Set(roots ?? BUILT_IN_ROOTS.map(fromCwd))],
    write: written.write,
    record: written.record,
    recordDir:
      written.record_dir === null
        ? join(stateDirectory(env), 'sessions')
        : fromFile(written.record_dir),
  };
}

export function tracingOf(
  reading: Reading,
  written: ConfigFile['tracing'],
): LoadedConfig['tracing'] {
  const endpoint = written.otlp_endpoint?.trim() ?? '';
  if (endpoint === '') return null;
  const { document, problems } = reading;
  const baseUrl = toBaseUrl(reading, ['tracing', 'otlp_endpoint'], {
    text: endpoint,
    keyPlace: 'tracing.headers',
  });
  for (const [name, value] of Object.entries(written.headers)) {
    try {
      validateHeaderName(name);
      validateHeaderValue(name, value);
    } catch {
      const message = 'no HTTP header can have this name or value';
      problems.push(document.problem(['tracing', 'headers', name], message));
    }
  }
  return {
    // What other programs call the endpoint of traces has the path already.
    url: baseUrl.endsWith(TRACES_PATH) ? baseUrl : `${baseUrl}${TRACES_PATH}`,
    headers: written.headers,
    sampleRatio: written.sample_ratio,
    serviceName: written.service_name,
  };
}

/** https://opentelemetry.io/docs/specs/otlp/#otlphttp-request */
const TRACES_PATH = '/v1/traces';

/** Where MassGen and Gemini CLI leave their logs. */
const BUILT_IN_ROOTS = [
  './.massgen/massgen_logs',
  './.massgen/sessions',
  './massgen_logs',
  './sessions',
  '~/.gemini/tmp',
];

function aliasesOf(
  { document, problems }: Reading,
  written: Readonly<Record<string, string>>,
): ReadonlyMap<string, string> {
  const aliases = new Map(Object.entries(written));
  const reported = new Set<string>();
  for (const start of aliases.keys()) {
    const seen = [start];
    for (let name = aliases.get(start); name !== undefined; name = aliases.get(name)) {
      if (name === start && !reported.has(start)) {
        const circle = [...seen, start].join(' -> ');
        const path = ['rate_limits', 'aliases', start];
        problems.push(document.problem(path, `the aliases go in a circle: ${circle}`));
        for (const member of seen) reported.add(member);
      }
      if (seen.includes(name)) break;
      seen.push(name);
    }
  }
  return aliases;
}
