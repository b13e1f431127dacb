import picomatch from 'picomatch';

/** The key that stands for every model that no other key names. */
export const DEFAULT_KEY = 'default';

/**
 * The key of `rows` that holds for `model`: the exact one, else the longest that matches as a glob
 * or is contained in the name, so that a MassGen file means here what it means there. Of two
 * equally long keys the one written first wins. Null when only `default` is left.
 */
export function matchingKey(rows: ReadonlyMap<string, unknown>, model: string): string | null {
  if (model !== DEFAULT_KEY && rows.has(model)) return model;
  let best: string | null = null;
  for (const key of rows.keys()) {
    if (key === DEFAULT_KEY || key.length <= (best?.length ?? 0)) continue;
    if (model.includes(key) || globMatches(key, model)) best = key;
  }
  return best;
}

/** Whether `key` holds for more than the one model it spells. */
export function isGlob(key: string): boolean {
  return /[*?[\]{}()!]/.test(key);
}

const matchers = new Map<string, (model: string) => boolean>();

/** Keys come from configuration only, so that the matchers kept are few. */
function globMatches(glob: string, model: string): boolean {
  if (!isGlob(glob)) return false;
  let matches = matchers.get(glob);
  if (matches === undefined) {
    // `bash` lets * cross a slash: names such as tunedModels/my-model are one word here.
    matches = picomatch(glob, { bash: true, dot: true });
    matchers.set(glob, matches);
  }
  return matches(model);
}
