import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
/** Downloading and installing takes 15 s on a slow line. */
const INSTALL_MS_MAX = 60_000;

/** A Python that has what requirements.txt lists, or why there is none. */
export type Python =
  | { readonly path: string; readonly absent: null }
  | { readonly path: null; readonly absent: string };

/** Installed beside the tests the first time, and found there from then on. */
export function installPython(): Python {
  const directory = here('./.venv');
  const path = here('./.venv/bin/python');
  const requirements = here('./requirements.txt');
  const isThere = existsSync(path) || run('python3', ['-m', 'venv', directory]);
  if (!isThere) return { path: null, absent: 'no Python with venv is on PATH' };
  const pip = ['-m', 'pip', '--disable-pip-version-check', 'install', '--quiet', '--retries', '0'];
  // With everything there already it asks no index.
  if (run(path, [...pip, '-r', requirements])) return { path, absent: null };
  return { path: null, absent: 'pip cannot install google-genai here' };
}

function run(command: string, args: readonly string[]): boolean {
  const ended = spawnSync(command, args, { timeout: INSTALL_MS_MAX, stdio: 'ignore' });
  return ended.status === 0;
}
