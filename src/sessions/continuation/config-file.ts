import { readFileSync, statSync } from 'node:fs';
import { relative, resolve, sep } from 'node:path';
import { ProxyError } from '../../errors.ts';
import { openConfined } from '../confined-directory.ts';
import { type ConfigFile, parseConfigFile } from './config.ts';

/** Configurations of agents are some kilobytes. */
const CONFIG_BYTES_MAX = 1024 * 1024;

export interface ConfigFilePlaces {
  /** Absolute directories; a file is read from the first that has it and from nowhere else. */
  readonly directories: readonly string[];
  /** On the command line: any file that the process can read, starting here. Null over HTTP. */
  readonly anywhere: string | null;
}

/**
 * Reads the configuration that a continuation names. Throws BAD_REQUEST where it is not to be had
 * (what is absent and what lies outside look the same) and CONFIG_INVALID with file:line:column where
 * it has a mistake.
 */
export function readConfigFile(path: string, places: ConfigFilePlaces): ConfigFile {
  const text = places.anywhere === null ? null : readAnywhere(resolve(places.anywhere, path));
  const found = text ?? readInside(path, places.directories);
  if (found !== null) return parseConfigFile(found, path);
  throw new ProxyError(
    'BAD_REQUEST',
    `config_path: there is no file "${path.slice(0, 300)}" of at most 1 MiB in the log directory or ` +
      'in a session root. Give its path relative to one of them, or send the settings in "config".',
    { where: 'config_path' },
  );
}

function readAnywhere(path: string): string | null {
  try {
    const { size } = statSync(path);
    return size <= CONFIG_BYTES_MAX ? readFileSync(path, 'utf8') : null;
  } catch {
    return null;
  }
}

function readInside(path: string, directories: readonly string[]): string | null {
  for (const directory of directories) {
    try {
      const confined = openConfined(directory);
      // An absolute path may name a file inside as well.
      const inside = path.startsWith(sep) ? relative(confined.path, path) : path;
      const result = confined.read(inside, CONFIG_BYTES_MAX);
      if (result !== null && !result.cut) return result.bytes.toString('utf8');
    } catch {
      // A root need not be there.
    }
  }
  return null;
}
