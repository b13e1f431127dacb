import {
  closeSync,
  constants,
  type Dirent,
  fstatSync,
  lstatSync,
  openSync,
  opendirSync,
  readSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { join, sep } from 'node:path';
import { ProxyError } from '../errors.ts';
import type { ConfinedDirectory, Entry, ReadResult } from './session.ts';

/** Entries of one directory that are looked at; logs have tens, and a listing is held in memory. */
const ENTRIES_MAX = 10_000;

/** File systems tell some tens of bytes per entry as the size of a directory: some 100,000 entries. */
const DIRECTORY_BYTES_MAX = 4 * 1024 * 1024;

/** Entries asked of the system at once. */
const LISTING_BUFFER = 256;

/** Longest path, in UTF-16 units, that is looked at: PATH_MAX of Linux is 4,096 bytes. */
const PATH_LENGTH_MAX = 4096;

const OUTSIDE = 'is outside the directory';

/** Errors after which there is nothing at the path, rather than something that is refused. */
const ABSENT_CODES: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ENAMETOOLONG']);

/**
 * Opens a directory for reading, and resolves its own path once: the root may be reached through
 * symbolic links, what is below it only as long as they stay inside. Files that are themselves
 * symbolic links are refused wherever they point: no log has them, so they are traps or copies.
 *
 * A directory swapped for a link while it is read is caught after the file is opened and before a
 * byte of it is used. On Linux the kernel names the opened file itself; elsewhere the path is
 * resolved again and compared by device and inode, which misses a swap back and forth between the
 * calls. Not covered: a listing during such a swap may show names from outside (their contents
 * stay unreadable), hard links, and mounts below the root.
 *
 * @throws ProxyError NOT_FOUND when `path` is no directory that can be resolved.
 */
export function openConfined(path: string): ConfinedDirectory {
  const root = resolveDirectory(path);
  if (root === null) throw new ProxyError('NOT_FOUND', 'There is no such session log directory.');
  return {
    path: root,
    list: (directory) => listEntries(root, directory),
    isFile: (file) => kindOf(root, file) === 'file',
    isDirectory: (directory) => kindOf(root, directory) === 'directory',
    read(file, bytesMax) {
      const result = readInside(root, file, bytesMax);
      return typeof result === 'string' ? null : result;
    },
    problem(file) {
      const result = readInside(root, file, 0);
      return typeof result === 'string' ? result : null;
    },
  };
}

/**
 * The absolute directory that a requested name or relative path means below `root`, or null. The
 * request is taken as it came, decoded once by the caller and never again here. What is absent,
 * what is no directory and what is outside all look the same, so that nobody can probe the disk.
 */
export function resolveInside(root: string, requested: string): string | null {
  const base = resolveDirectory(root);
  if (base === null || requested === '' || lexicalProblem(requested) !== null) return null;
  const resolved = resolveDirectory(join(base, requested));
  return resolved !== null && resolved !== base && isInside(base, resolved) ? resolved : null;
}

function resolveDirectory(path: string): string | null {
  try {
    const resolved = realpathSync.native(path);
    return statSync(resolved).isDirectory() ? resolved : null;
  } catch {
    return null;
  }
}

/** "." and "" are the directory itself; one trailing slash is allowed. */
function lexicalProblem(path: string): string | null {
  if (path === '.' || path === '') return null;
  if (path.length > PATH_LENGTH_MAX) return 'path is too long';
  if (path.includes('\0')) return 'path contains a NUL';
  if (path.includes('\\')) return 'path contains a backslash';
  if (path.startsWith('/') || /^[A-Za-z]:/.test(path)) return 'path is absolute';
  for (const segment of path.replace(/\/$/, '').split('/')) {
    if (segment === '') return 'path has an empty segment';
    if (segment === '.' || segment === '..') return 'path has a dot segment';
  }
  return null;
}

function isInside(root: string, resolved: string): boolean {
  return resolved === root || resolved.startsWith(root.endsWith(sep) ? root : root + sep);
}

function listEntries(root: string, directory: string): readonly Entry[] {
  const entries: Entry[] = [];
  try {
    if (lexicalProblem(directory) !== null) return entries;
    const resolved = realpathSync.native(join(root, directory));
    if (!isInside(root, resolved)) return entries;
    for (const entry of direntsOf(resolved)) {
      const kind = entry.isFile() ? 'file' : entry.isDirectory() ? 'directory' : 'other';
      entries.push({ name: entry.name, kind });
    }
  } catch {
    return [];
  }
  return entries.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/**
 * At most `ENTRIES_MAX`. The call that reads a whole directory at once takes a third of the time of
 * the one that can stop, so the latter is for directories that are themselves large.
 */
function direntsOf(directory: string): readonly Dirent[] {
  if (statSync(directory).size <= DIRECTORY_BYTES_MAX) {
    return readdirSync(directory, { withFileTypes: true }).slice(0, ENTRIES_MAX);
  }
  const entries: Dirent[] = [];
  const handle = opendirSync(directory, { bufferSize: LISTING_BUFFER });
  try {
    while (entries.length < ENTRIES_MAX) {
      const entry = handle.readSync();
      if (entry === null) break;
      entries.push(entry);
    }
  } finally {
    handle.closeSync();
  }
  return entries;
}

function kindOf(root: string, path: string): Entry['kind'] | null {
  if (lexicalProblem(path) !== null) return null;
  try {
    const full = join(root, path);
    if (!isInside(root, realpathSync.native(full))) return null;
    // A trailing slash would make lstat follow the link.
    const found = path.endsWith('/') ? statSync(full) : lstatSync(full);
    if (found.isFile()) return 'file';
    if (found.isSymbolicLink()) return statSync(full).isDirectory() ? 'directory' : 'other';
    return found.isDirectory() ? 'directory' : 'other';
  } catch {
    return null;
  }
}

/** What was read, or why nothing was. */
function readInside(root: string, path: string, bytesMax: number): ReadResult | string {
  const problem = lexicalProblem(path);
  if (problem !== null) return problem;
  const full = join(root, path);
  let descriptor: number | null = null;
  try {
    const before = lstatSync(full);
    // What lies outside is told as such, whatever it is.
    if (!before.isFile() && !isInside(root, realpathSync.native(full))) return OUTSIDE;
    if (before.isSymbolicLink()) return 'is a symbolic link';
    // Asked before opening, because opening a device can already have an effect.
    if (!before.isFile()) return 'is not a regular file';
    descriptor = openSync(full, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stat = fstatSync(descriptor);
    if (!openedInside(root, full, descriptor)) return OUTSIDE;
    if (!stat.isFile()) return 'is not a regular file';
    return readBounded(descriptor, stat.size, bytesMax);
  } catch (error) {
    return problemOf(error);
  } finally {
    if (descriptor !== null) closeSync(descriptor);
  }
}

/** Whether the opened file itself lies inside, whatever its path means by now. */
function openedInside(root: string, full: string, descriptor: number): boolean {
  let opened: string;
  try {
    opened = readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    const resolved = realpathSync.native(full);
    const named = lstatSync(resolved);
    const held = fstatSync(descriptor);
    return isInside(root, resolved) && named.dev === held.dev && named.ino === held.ino;
  }
  return isInside(root, opened);
}

function readBounded(descriptor: number, size: number, bytesMax: number): ReadResult {
  const wanted = Math.max(0, Math.min(size, bytesMax));
  const bytes = Buffer.alloc(wanted);
  let filled = 0;
  while (filled < wanted) {
    const count = readSync(descriptor, bytes, filled, wanted - filled, filled);
    if (count === 0) break;
    filled += count;
  }
  return { bytes: bytes.subarray(0, filled), cut: size > wanted };
}

function problemOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
  if (ABSENT_CODES.has(code)) return 'is absent';
  return code === 'ELOOP' ? 'is a symbolic link' : `cannot be read (${code})`;
}
