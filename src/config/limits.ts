import type { QuotaPolicy, QuotaRules, StartRule } from '../quota/policy.ts';
import type { CooldownConfig, LimitRow, LimitTable, LoadedConfig, Sourced } from './loaded.ts';
import { DEFAULT_KEY, isGlob, matchingKey } from './patterns.ts';
import { namedWindow } from './tables.ts';

/**
 * Everything that holds for one model of one project.
 *
 * Sources, the most important first: the project's own rows; rate_limits.gemini; rate_limits.file;
 * the profile. In one source a model has one row: its exact key, else the longest key that matches
 * or is contained, else `default`. Each of rpm, tpm, rpd, windows and max_concurrent is taken from
 * the first source whose row for the model names it. Only when none does, `default` rows are asked,
 * in the same order, so that a careless default never lifts a limit that someone knew for a model.
 * A project's rows, its default included, come before everything outside it: another project's
 * numbers say nothing about its quota.
 */
export function rulesFor(config: LoadedConfig, project: string, model: string): QuotaRules {
  let rules = cache.get(config);
  if (rules === undefined || rules.size >= CACHED_RULES_MAX) {
    rules = new Map();
    cache.set(config, rules);
  }
  const key = `${project}\n${model}`;
  let found = rules.get(key);
  if (found === undefined) {
    found = resolveRules(config, project, model);
    rules.set(key, found);
  }
  return found;
}

/** Model names come from callers: the cache starts anew before they can fill the memory. */
const CACHED_RULES_MAX = 2000;
const cache = new WeakMap<LoadedConfig, Map<string, QuotaRules>>();

/** What one configured key means, for `headgate check`. */
export interface EffectiveLimits {
  readonly project: string;
  /** A model's name or a pattern, as configured. */
  readonly key: string;
  readonly isPattern: boolean;
  readonly policies: readonly QuotaPolicy[];
  readonly maxConcurrent: number | null;
  readonly start: StartRule | null;
}

/**
 * Every configured key of every project with the limits that hold for a model of that name, the
 * limits' sources in their policies. Projects without rows of their own are left out but `default`.
 */
export function effectiveLimits(config: LoadedConfig): readonly EffectiveLimits[] {
  const rows: EffectiveLimits[] = [];
  for (const [project, { table }] of config.projects) {
    if (project !== DEFAULT_KEY && table.size === 0) continue;
    const tables = [table, ...config.rateLimits.tables];
    const keys = new Set(tables.flatMap((rows) => [...rows.keys()]));
    keys.delete(DEFAULT_KEY);
    for (const key of [...[...keys].toSorted(), DEFAULT_KEY]) {
      const { policies, maxConcurrent, start } = rulesFor(config, project, key);
      const isPattern = key === DEFAULT_KEY || isGlob(key);
      rows.push({ project, key, isPattern, policies, maxConcurrent, start });
    }
  }
  return rows;
}

/** The model that a name stands for: aliases followed to their end, else the name itself. */
export function resolveAlias(config: LoadedConfig, model: string): string {
  const { aliases } = config.rateLimits;
  let name = model;
  // Free of cycles: loading has refused them.
  for (let next = aliases.get(name); next !== undefined; next = aliases.get(name)) {
    name = next;
  }
  return name;
}

/** The project that lists a key; `default` when none does. Null asks for the key of the file. */
export function projectOf(config: LoadedConfig, apiKey: string | null): string {
  const key = apiKey ?? config.upstream.apiKey;
  if (key === null) return DEFAULT_KEY;
  let owners = ownersOf.get(config);
  if (owners === undefined) {
    const pairs = [...config.projects].flatMap(([name, { keys }]) =>
      keys.map((key) => [key, name] as const),
    );
    owners = new Map(pairs);
    ownersOf.set(config, owners);
  }
  return owners.get(key) ?? DEFAULT_KEY;
}

const ownersOf = new WeakMap<LoadedConfig, ReadonlyMap<string, string>>();

function resolveRules(config: LoadedConfig, project: string, model: string): QuotaRules {
  const { rateLimits, mode } = config;
  const own = config.projects.get(project)?.table ?? new Map();
  const pick = <Key extends keyof LimitRow>(key: Key): LimitRow[Key] | undefined =>
    pickFrom([own], model, key) ?? pickFrom(rateLimits.tables, model, key);
  const rpm = pick('rpm') ?? NO_LIMIT;
  const tpm = pick('tpm') ?? NO_LIMIT;
  const rpd = pick('rpd') ?? NO_LIMIT;
  const guardMs = rateLimits.windowGuardMs;
  const minute = namedWindow('minute', rateLimits);
  const day = namedWindow('day', rateLimits);
  const tokens = rateLimits.tpmCounts === 'total' ? 'total_tokens' : 'input_tokens';
  const policies: QuotaPolicy[] = [
    { name: 'rpm', unit: 'requests', ...limitOf(rpm), window: minute, guardMs },
    { name: 'tpm', unit: tokens, ...limitOf(tpm), window: minute, guardMs },
    { name: 'rpd', unit: 'requests', ...limitOf(rpd), window: day, guardMs },
    ...(pick('windows')?.value ?? []).map((window) => ({ ...window, guardMs })),
  ];
  return {
    partition: { project, model },
    policies,
    maxConcurrent: pick('maxConcurrent')?.value ?? null,
    start:
      mode === 'off' || config.cooldown === null
        ? null
        : startRule(config.cooldown, model, rpm.value),
    enforce: mode === 'enforce',
    learn: rateLimits.learn,
  };
}

const NO_LIMIT: Sourced<number | null> = { value: null, source: 'no row names it' };

function limitOf({ value, source }: Sourced<number | null>) {
  return { limit: value, source };
}

function pickFrom<Key extends keyof LimitRow>(
  tables: readonly LimitTable[],
  model: string,
  key: Key,
): LimitRow[Key] | undefined {
  for (const table of tables) {
    const matching = matchingKey(table, model);
    const found = matching === null ? undefined : table.get(matching)?.[key];
    if (found !== undefined) return found;
  }
  for (const table of tables) {
    const found = table.get(DEFAULT_KEY)?.[key];
    if (found !== undefined) return found;
  }
  return undefined;
}

function startRule(cooldown: CooldownConfig, model: string, rpm: number | null): StartRule {
  const { startup, startsPerMinute, startupIdleMs } = cooldown;
  const cooldownMs = startup.get(matchingKey(startup, model) ?? DEFAULT_KEY) ?? 0;
  const starts = startsPerMinute.get(matchingKey(startsPerMinute, model) ?? DEFAULT_KEY) ?? null;
  return {
    cooldownMs,
    perMinute: starts === 'auto' ? automaticStarts(rpm) : starts,
    idleMs: startupIdleMs,
  };
}

/** One request a minute stays for agents that run already; two cannot spare one. */
function automaticStarts(rpm: number | null): number | null {
  if (rpm === null) return null;
  if (rpm <= 2) return 1;
  return rpm <= 10 ? rpm - 1 : rpm;
}
