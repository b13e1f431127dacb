import { readlinkSync, realpathSync, statSync, watch, type FSWatcher } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Clock, Timer } from '../clock.ts';

/** Editors write in several steps: this long after the last one, the file is looked at. */
const SETTLE_MS = 100;

/** Bind mounts and network drives tell nothing: files are looked at this often regardless. */
const LOOK_EVERY_MS = 5000;

/** Links followed from one file; a longer chain is a circle. */
const LINKS_MAX = 16;

/**
 * Calls `onChange` after any of the files has changed, appeared or gone, and only then.
 *
 * Directories are watched rather than files, because most editors replace a file, and Kubernetes
 * replaces a link on the way to it. What happened there is not believed but looked up, so that
 * unrelated events cost some stat calls and nothing else.
 */
export function watchFiles(
  files: readonly string[],
  clock: Clock,
  onChange: () => void,
): { close(): void } {
  const watchers = new Map<string, FSWatcher>();
  let seen = files.map(fingerprint).join('\n');
  let settling: Timer | null = null;
  let isClosed = false;

  const look = () => {
    watchDirectories();
    const now = files.map(fingerprint).join('\n');
    if (now === seen) return;
    seen = now;
    onChange();
  };
  const settle = () => {
    settling?.cancel();
    settling = isClosed ? null : clock.after(SETTLE_MS, look);
  };
  const watchDirectories = () => {
    const wanted = new Set(files.flatMap(directoriesOf));
    for (const [directory, watcher] of watchers) {
      if (wanted.has(directory)) continue;
      watcher.close();
      watchers.delete(directory);
    }
    for (const directory of wanted) {
      if (watchers.has(directory)) continue;
      try {
        const watcher = watch(directory, { persistent: false }, settle);
        // A removed directory ends its watcher; the regular look finds it when it is back.
        watcher.on('error', () => {
          watcher.close();
          watchers.delete(directory);
        });
        watchers.set(directory, watcher);
      } catch {
        // It does not exist or the kernel's watches are used up: the regular look serves alone.
      }
    }
  };
  const lookRegularly = () => {
    look();
    if (!isClosed) regular = clock.after(LOOK_EVERY_MS, lookRegularly);
  };

  watchDirectories();
  let regular = clock.after(LOOK_EVERY_MS, lookRegularly);
  return {
    close() {
      isClosed = true;
      settling?.cancel();
      regular.cancel();
      for (const watcher of watchers.values()) watcher.close();
      watchers.clear();
    },
  };
}

/** Tells one state of a file from another without reading it. */
function fingerprint(file: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(file);
    return `${realpathSync(file)} ${ino} ${size} ${mtimeMs}`;
  } catch {
    return 'absent';
  }
}

/** The directories in which a replacement of the file, or of a link to it, would be seen. */
function directoriesOf(file: string): string[] {
  const directories = [dirname(file)];
  let current = file;
  for (let links = 0; links < LINKS_MAX; links += 1) {
    try {
      current = resolve(dirname(current), readlinkSync(current));
    } catch {
      break;
    }
    directories.push(dirname(current));
  }
  return directories;
}
