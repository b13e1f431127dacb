import {
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
  rmSync,
  unlinkSync,
  writeSync,
} from 'node:fs';

/**
 * The operations on files that writing a turn consists of, apart from reading: the process may die
 * between any two of them. None of them changes a file that was there before. They throw what
 * node:fs throws.
 */
export interface TurnFiles {
  /** Fails with EEXIST where anything of this name is. */
  makeDirectory(path: string): void;
  /** Writes a new file down to the disk; fails with EEXIST where anything of this name is. */
  writeFile(path: string, bytes: Uint8Array): void;
  /** Onto an empty directory or file, in one step. */
  rename(from: string, to: string): void;
  /** Makes names in the directory last over a loss of power, as far as the file system can. */
  syncDirectory(path: string): void;
  /** A temporary directory or file of our own with all that is in it; nothing where there is none. */
  removeTemporary(path: string): void;
  /** Removes an empty directory or file; false where it holds something, or cannot be removed. */
  removeEmpty(path: string): boolean;
}

/** Errors of file systems that cannot sync a directory: there is nothing more to be had from them. */
const CANNOT_SYNC: ReadonlySet<string> = new Set([
  'EINVAL',
  'ENOTSUP',
  'EPERM',
  'EISDIR',
  'EACCES',
]);

export const turnFiles: TurnFiles = {
  makeDirectory(path) {
    mkdirSync(path);
  },
  writeFile(path, bytes) {
    const descriptor = openSync(path, 'wx');
    try {
      let written = 0;
      while (written < bytes.length) written += writeSync(descriptor, bytes, written);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  },
  rename: renameSync,
  syncDirectory(path) {
    let descriptor: number | null = null;
    try {
      descriptor = openSync(path, 'r');
      fsyncSync(descriptor);
    } catch (error) {
      if (!CANNOT_SYNC.has(errorCode(error))) throw error;
    } finally {
      if (descriptor !== null) closeSync(descriptor);
    }
  },
  removeTemporary(path) {
    rmSync(path, { recursive: true, force: true });
  },
  removeEmpty(path) {
    try {
      const found = lstatSync(path, { throwIfNoEntry: false });
      if (found === undefined) return true;
      if (found.isDirectory()) rmdirSync(path);
      else if (found.isFile() && found.size === 0) unlinkSync(path);
      else return false;
      return true;
    } catch {
      return false;
    }
  },
};

/** Such as ENOENT; empty for what is no error of the system. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
