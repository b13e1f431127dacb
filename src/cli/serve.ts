import { closeSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { resolveAlias } from '../config/limits.ts';
import { type LoadFlags, loadConfig } from '../config/load.ts';
import type { LoadedConfig } from '../config/loaded.ts';
import { locateConfig } from '../config/locate.ts';
import type { Daemon } from '../daemon.ts';
import { createLogger, type Logger, type LogLevel } from '../log.ts';
import { makeScenario } from '../simulator/scenario.ts';
import { VERSION } from '../version.ts';
import { CommandFailure, type CliContext, printLine } from './context.ts';
import { configuredLimits, limitTable } from './limit-table.ts';
import { listenForStop } from './signals.ts';
import { columnsOf, styleFor } from './style.ts';

/** As commander gives them. */
export interface ServeFlags {
  readonly config?: string;
  readonly listen?: string;
  readonly sessions?: readonly string[];
  /** --rate-limit is true, --no-rate-limit is false. */
  readonly rateLimit?: boolean;
  readonly simulate?: boolean;
  readonly logLevel?: string;
}

/** Counts of a simulated Gemini may not fill the windows of the real one. */
const SIMULATED_DATABASE = 'simulate.db';

/** Models of which the limits are printed at the start: those that most clients ask for. */
const COMMON_MODELS = [
  'gemini-flash-latest',
  'gemini-3.5-flash-lite',
  'gemini-3.1-pro-preview',
  'gemini-2.5-flash',
  'gemini-2.5-pro',
  'default',
];

/** Adds the flags of `serve`; the program itself has them too. */
export function addServeOptions(command: Command): Command {
  return command
    .option(
      '--config <file>',
      'configuration file; wins over $HEADGATE_CONFIG and the usual places',
    )
    .option('--listen <host:port>', 'where to listen (default: 127.0.0.1:4290)')
    .option('--sessions <dir>', 'where past conversations are; may be repeated', collect)
    .option('--rate-limit', 'keep to the quota, whatever the file says')
    .option('--no-rate-limit', 'forward every call at once, and only count')
    .option('--simulate', 'stand in front of a simulated Gemini; needs no key and no network')
    .option('--log-level <level>', 'debug, info, warn, error or silent (default: info)');
}

export function addServe(program: Command, context: CliContext): void {
  addServeOptions(program.command('serve'))
    .description('run the daemon (the command when none is named)')
    .addHelpText(
      'after',
      `
Examples:
  headgate serve
  headgate serve --simulate --listen 127.0.0.1:0
  headgate serve --config ./headgate.yaml --log-level warn
  headgate serve --sessions ~/massgen/.massgen/massgen_logs --sessions ./logs

Signals: SIGTERM and SIGINT refuse waiting calls with 503 and let running ones end; a second one
stops at once. SIGHUP reads the configuration again; where it comes because the terminal was closed,
it stops.`,
    )
    .action((flags: ServeFlags) => serve(context, flags));
}

/** Runs the daemon until a signal stops it. */
export async function serve(context: CliContext, flags: ServeFlags): Promise<void> {
  const { clock, env, stderr } = context;
  const load = configLoader(context, flags);
  const config = load();
  let secrets = config.secrets;
  const logger = createLogger({
    level: levelOf(config),
    format: isPlainLog(config, stderr.isTTY) ? 'pretty' : 'json',
    destination: stderr,
    secrets: () => secrets,
    clock,
    env,
  });
  const stop = listenForStop(clock);
  // Here and not above, so that commands that only ask start in half the time.
  const { startDaemon } = await import('../daemon.ts');
  const daemon = await startDaemon({
    clock,
    logger,
    simulate: config.simulate,
    // A shortened minute is one for both sides.
    scenario: makeScenario({ minute_span_ms: config.rateLimits.minuteSpanMs }),
    load: () => {
      const loaded = load();
      // What was secret stays so: the former configuration may still be in use.
      secrets = [...new Set([...secrets, ...loaded.secrets])];
      return loaded;
    },
  }).catch((error: unknown) => {
    throw startFailure(error, config);
  });
  // In a terminal that has been closed the signal means what it always meant.
  const terminal = stderr.isTTY;
  process.on('SIGHUP', () => {
    if (terminal && !hasTerminal()) process.kill(process.pid, 'SIGTERM');
    else reloadAtSignal(daemon);
  });
  if (config.log.format === 'json') announceInLog(logger, daemon);
  else announce(context, daemon, flags);

  await stop.first;
  printLine(stderr, 'stopping: running calls may end; a second signal stops at once');
  const forced = stop.second.then(() => {
    throw new CommandFailure('failed', 'stopped at once; running calls were cut');
  });
  await Promise.race([daemon.stop(), forced]);
  printLine(stderr, 'stopped');
}

/** A flag that may be repeated. */
export function collect(directory: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, directory];
}

/** Reads the configuration with these flags over it, at every call. It throws ConfigError. */
export function configLoader({ env, cwd }: CliContext, flags: ServeFlags): () => LoadedConfig {
  const { config: file = null, ...rest } = flags;
  const loadFlags: LoadFlags = rest;
  return () => {
    const config = loadConfig({ file, env, cwd, flags: loadFlags });
    if (!config.simulate) return config;
    const path = join(dirname(config.storage.path), SIMULATED_DATABASE);
    return { ...config, storage: { path } };
  };
}

/** The logger's levels are fewer than pino's. */
function levelOf({ log: { level } }: LoadedConfig): LogLevel {
  if (level === 'trace') return 'debug';
  return level === 'fatal' ? 'error' : level;
}

function isPlainLog({ log }: LoadedConfig, isTTY: boolean): boolean {
  return log.format === 'pretty' || (log.format === 'auto' && isTTY);
}

function reloadAtSignal(daemon: Daemon): void {
  try {
    daemon.reload();
  } catch {
    // The daemon has logged it, and the former configuration stays in force.
  }
}

/** What keeps an address from being had, in words; anything else as it is. */
function startFailure(error: unknown, { listen }: LoadedConfig): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  const address = `${listen.host}:${listen.port}`;
  const hints: Readonly<Record<string, string>> = {
    EADDRINUSE: 'another program listens there. Is headgate running already? See headgate status',
    EACCES: 'that port needs more rights; use one above 1023',
    EADDRNOTAVAIL: 'this machine does not have that address',
    ENOTFOUND: 'that host name has no address',
  };
  const hint = typeof code === 'string' ? hints[code] : undefined;
  if (hint === undefined) return error;
  return new CommandFailure('failed', `cannot listen on ${address}: ${hint}`, error);
}

/** For programs that read the log: everything in one line. */
function announceInLog(logger: Logger, daemon: Daemon): void {
  const { file, hash, mode, storage } = daemon.config();
  logger.info(`headgate ${VERSION} listening on ${daemon.url}`, {
    url: daemon.url,
    config: file,
    hash,
    mode,
    database: storage.path,
    simulated: daemon.simulator !== null,
  });
}

/** For people: where it is, what it keeps to, and how to use it. */
function announce(context: CliContext, daemon: Daemon, flags: ServeFlags): void {
  const { env, cwd, stderr } = context;
  const style = styleFor(stderr, env);
  const config = daemon.config();
  const { origin } = locateConfig({ file: flags.config ?? null, env, cwd });
  const say = (name: string, text: string): void =>
    printLine(stderr, `  ${style.dim(name.padEnd(9))} ${text}`);
  printLine(stderr, `${style.bold(`headgate ${VERSION}`)} listening on ${style.cyan(daemon.url)}`);
  say(
    'config',
    config.file === null ? 'built-in defaults (no file found)' : `${config.file} (${origin})`,
  );
  say('upstream', upstreamWords(daemon));
  if (daemon.simulator !== null) say('score', `${daemon.simulator.url}/__sim`);
  say('database', config.storage.path);
  say('client', `export GOOGLE_GEMINI_BASE_URL=${daemon.url}`);
  say('watch', `headgate status --watch`);
  for (const warning of config.warnings) printLine(stderr, style.yellow(`warning: ${warning}`));
  const mode = modeWords(config);
  if (mode !== null) printLine(stderr, style.yellow(mode));
  printLine(stderr);
  const rows = COMMON_MODELS.map((model) => ({
    ...configuredLimits(config, 'default', resolveAlias(config, model)),
  }));
  const width = stderr.isTTY ? columnsOf(stderr) - 2 : Infinity;
  for (const line of limitTable(rows, { style, width })) printLine(stderr, `  ${line}`);
  printLine(stderr);
}

function upstreamWords({ simulator, config }: Daemon): string {
  if (simulator !== null) return `a simulated Gemini at ${simulator.url}; counts stay apart`;
  const { baseUrl, apiKey } = config().upstream;
  return `${baseUrl} (${apiKey === null ? 'clients bring their keys' : 'with the configured key'})`;
}

function modeWords({ mode }: LoadedConfig): string | null {
  if (mode === 'off') return 'The rate limit is off: calls go out at once and are only counted.';
  if (mode === 'shadow') return 'Shadow mode: calls are counted and never held.';
  return null;
}

/** Whether the terminal that this process was started on is still there. */
function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}
