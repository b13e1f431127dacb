import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

/** Which file holds the configuration. */
export interface ConfigLocation {
  /** Absolute; null when there is none and the built-in defaults are in force. */
  readonly file: string | null;
  /** What named it, for people and for the message when it cannot be read. */
  readonly origin: '--config' | '$HEADGATE_CONFIG' | 'user' | 'system' | 'built-in';
  /** The files that win when they exist, most important first. */
  readonly candidates: readonly string[];
}

const SYSTEM_FILE = '/etc/headgate/config.yaml';

/**
 * The first of: --config, $HEADGATE_CONFIG, $XDG_CONFIG_HOME/headgate/config.yaml,
 * /etc/headgate/config.yaml, the built-in defaults. Never the working directory: a checked-out
 * repository must not be able to point the daemon, and its key, somewhere else.
 *
 * A file that was named is taken even when it does not exist, so that reading it can say so.
 */
export function locateConfig(options: {
  readonly file: string | null;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
}): ConfigLocation {
  const { file, env, cwd } = options;
  if (file !== null) return named(resolve(cwd, file), '--config');
  const fromEnv = env['HEADGATE_CONFIG'];
  if (fromEnv !== undefined && fromEnv !== '') {
    return named(resolve(cwd, fromEnv), '$HEADGATE_CONFIG');
  }
  const userFile = join(xdgDirectory('XDG_CONFIG_HOME', '.config', env), 'headgate/config.yaml');
  const candidates = [userFile, SYSTEM_FILE];
  if (existsSync(userFile)) return { file: userFile, origin: 'user', candidates };
  if (existsSync(SYSTEM_FILE)) return { file: SYSTEM_FILE, origin: 'system', candidates };
  return { file: null, origin: 'built-in', candidates };
}

/** Where state lives unless told: $XDG_STATE_HOME/headgate, by default ~/.local/state/headgate. */
export function stateDirectory(env: NodeJS.ProcessEnv): string {
  return join(xdgDirectory('XDG_STATE_HOME', '.local/state', env), 'headgate');
}

/** An absolute path: `~` is the home directory, anything relative starts at `base`. */
export function absolutePath(path: string, base: string, env: NodeJS.ProcessEnv): string {
  if (path === '~' || path.startsWith('~/')) return join(homeDirectory(env), path.slice(1));
  return resolve(base, path);
}

function named(file: string, origin: '--config' | '$HEADGATE_CONFIG'): ConfigLocation {
  return { file, origin, candidates: [file] };
}

/** The XDG specification says to ignore a variable that is empty or not absolute. */
function xdgDirectory(variable: string, fallback: string, env: NodeJS.ProcessEnv): string {
  const value = env[variable];
  return value !== undefined && isAbsolute(value) ? value : join(homeDirectory(env), fallback);
}

function homeDirectory(env: NodeJS.ProcessEnv): string {
  const home = env['HOME'];
  return home !== undefined && home !== '' ? home : homedir();
}
