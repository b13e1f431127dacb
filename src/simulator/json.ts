/** A property of a value that may be anything; undefined when it is not there. */
export function field(value: unknown, ...keys: readonly string[]): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  for (const key of keys) {
    if (Object.hasOwn(value, key)) return Reflect.get(value, key);
  }
  return undefined;
}

/** A value as a list: none, itself, or what it holds. */
export function list(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return value === undefined || value === null ? [] : [value];
}

export function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

export function integer(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) ? value : undefined;
}
