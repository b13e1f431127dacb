import type { ConfinedDirectory, Entry } from '../../session.ts';

/**
 * A directory as it will be once files are added, so that its reader can be asked what it will make
 * of them before a byte is written. `base` null stands for an empty directory.
 */
export function withAdded(
  base: ConfinedDirectory | null,
  files: ReadonlyMap<string, Uint8Array>,
): ConfinedDirectory {
  const added = new Map<string, Map<string, Entry>>();
  for (const path of files.keys()) {
    const segments = path.split('/');
    for (const [index, name] of segments.entries()) {
      const parent = segments.slice(0, index).join('/') || '.';
      const kind = index === segments.length - 1 ? 'file' : 'directory';
      const entries = added.get(parent) ?? new Map<string, Entry>();
      added.set(parent, entries.set(name, { name, kind }));
    }
  }
  return {
    path: base?.path ?? '/',
    list(directory) {
      const entries = new Map(base?.list(directory).map((entry) => [entry.name, entry]));
      for (const [name, entry] of added.get(directory) ?? []) entries.set(name, entry);
      return [...entries.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
    },
    isFile: (path) => files.has(path) || base?.isFile(path) === true,
    isDirectory: (path) => added.has(path) || base?.isDirectory(path) === true,
    read(path, bytesMax) {
      const bytes = files.get(path);
      if (bytes === undefined) return base?.read(path, bytesMax) ?? null;
      return { bytes: Buffer.from(bytes.subarray(0, bytesMax)), cut: bytes.length > bytesMax };
    },
    problem(path) {
      if (files.has(path)) return null;
      return base === null ? 'is absent' : base.problem(path);
    },
  };
}
