import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { effectiveLimits } from '../config/limits.ts';
import { loadConfig } from '../config/load.ts';
import type { LoadedConfig } from '../config/loaded.ts';
import { locateConfig } from '../config/locate.ts';
import { ProxyError } from '../errors.ts';
import { readAdjustedLimits, type StoredAdjustment } from '../store/adjusted-limits.ts';
import { type CliContext, printJson, printLine } from './context.ts';
import { configuredLimits, limitTable, type LimitTableRow } from './limit-table.ts';
import { columnsOf, styleFor } from './style.ts';

interface CheckFlags {
  readonly config?: string;
  readonly json?: boolean;
}

export function addCheck(program: Command, context: CliContext): void {
  program
    .command('check')
    .description('validate the configuration; print every limit and where it comes from')
    .option('--config <file>', 'check this file instead of the one that serve would find')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Examples:
  headgate check
  headgate check --config ./headgate.yaml
  headgate check --json | jq '.limits[].model'

Exits with 78 and prints file:line:column of every mistake when there is one.`,
    )
    .action((flags: CheckFlags) => check(context, flags));
}

function check(context: CliContext, flags: CheckFlags): void {
  const { env, cwd, stdout, stderr } = context;
  const file = flags.config ?? null;
  const config = loadConfig({ file, env, cwd, flags: {} });
  const { origin } = locateConfig({ file, env, cwd });
  for (const warning of config.warnings) printLine(stderr, `warning: ${warning}`);
  const limits = limitsInForce(config, adjustmentsOf(config, context));
  if (flags.json === true) {
    const { hash, profile, mode, warnings } = config;
    printJson(stdout, { file: config.file, origin, hash, profile, mode, warnings, limits });
    return;
  }
  const style = styleFor(stdout, env);
  const verdict =
    config.file === null
      ? 'No configuration file; the built-in defaults are in force.'
      : `${config.file} is good.`;
  printLine(stdout, style.green(verdict));
  printLine(stdout, `mode ${config.mode}, profile ${config.profile}, hash ${config.hash}`);
  printLine(stdout);
  // Whoever pipes the table wants all of it.
  const width = stdout.isTTY ? columnsOf(stdout) : Infinity;
  for (const line of limitTable(limits, { style, width })) printLine(stdout, line);
}

/** What a daemon has learned or was told; nothing when it has never run here. */
function adjustmentsOf(config: LoadedConfig, { stderr }: CliContext): readonly StoredAdjustment[] {
  if (!existsSync(config.storage.path)) return [];
  try {
    return readAdjustedLimits(config.storage.path);
  } catch (error) {
    if (!(error instanceof ProxyError)) throw error;
    printLine(stderr, `warning: limits learned or set live are not shown: ${error.message}`);
    return [];
  }
}

/** Every configured row and every model with a limit of its own, as in force. */
function limitsInForce(
  config: LoadedConfig,
  adjustments: readonly StoredAdjustment[],
): LimitTableRow[] {
  const rows = effectiveLimits(config).map(({ project, key }) => ({ project, model: key }));
  const isKnown = (one: { project: string; model: string }): boolean =>
    rows.some(({ project, model }) => project === one.project && model === one.model);
  for (const { project, model } of adjustments) {
    // A project that is configured no longer has nothing in force.
    if (config.projects.has(project) && !isKnown({ project, model })) rows.push({ project, model });
  }
  return rows.map(({ project, model }) => {
    const row = configuredLimits(config, project, model);
    return {
      ...row,
      windows: row.windows.map((window) => {
        const stored = adjustments.find(
          (one) => one.project === project && one.model === model && one.policy === window.policy,
        );
        if (stored === undefined) return window;
        const { learned, override } = stored;
        const scale = window.unit === 'usd' ? 1_000_000 : 1;
        const scaled = (limit: number | null) => (limit === null ? null : limit / scale);
        const units = window.configured === null ? null : Math.round(window.configured * scale);
        const { limit, source } = stored.inForce(units);
        return {
          ...window,
          limit: scaled(limit),
          limit_source: source,
          learned: scaled(learned),
          override: scaled(override),
        };
      }),
    };
  });
}
