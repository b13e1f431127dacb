import { Type, type Static, type TObject, type TProperties } from 'typebox';
import { DURATION_PATTERN, SIZE_PATTERN } from './durations.ts';

/**
 * Building blocks of the schemas. `title` says what a value must be, in the words of an error
 * message; `writeOnly` marks secrets, which no message may show.
 */
const LIMIT_MAX = 1_000_000_000_000;
/** Of a map or a list: more is a generated file gone wrong, and every model is matched against all. */
const ENTRIES_MAX = 1000;

/** A number of units, or null for no limit. */
export function limit(description: string) {
  return Type.Optional(
    Type.Unsafe<number | null>({
      type: ['integer', 'null'],
      minimum: 0,
      maximum: LIMIT_MAX,
      title: 'a whole number, or null for no limit',
      description,
    }),
  );
}

export function duration(description: string, fallback: string) {
  return Type.String({
    pattern: DURATION_PATTERN,
    title: 'a duration with a unit, such as 250ms, 60s, 10m, 25h or 400d',
    description,
    default: fallback,
  });
}

export function size(description: string, fallback: string) {
  return Type.String({
    pattern: SIZE_PATTERN,
    title: 'a size with a unit, such as 64KiB or 512MiB',
    description,
    default: fallback,
  });
}

export function wholeNumber(
  description: string,
  options: { readonly fallback: number; readonly minimum: number; readonly maximum: number },
) {
  const { fallback, minimum, maximum } = options;
  return Type.Integer({
    minimum,
    maximum,
    description,
    default: fallback,
    title: 'a whole number',
  });
}

export function flag(description: string, fallback: boolean) {
  return Type.Boolean({ description, default: fallback, title: 'true or false' });
}

export function choice<const Values extends readonly string[]>(
  values: Values,
  description: string,
  fallback: Values[number] | null,
) {
  const options = { description, ...(fallback === null ? {} : { default: fallback }) };
  return Type.Unsafe<Values[number]>({ type: 'string', enum: [...values], ...options });
}

export function text(description: string, fallback: string) {
  return Type.String({ description, default: fallback, minLength: 1, title: 'a string' });
}

/** A string that may be null; null is the default. */
export function textOrNull(description: string, options: { readonly writeOnly?: true } = {}) {
  return Type.Unsafe<string | null>({
    type: ['string', 'null'],
    description,
    default: null,
    title: 'a string or null',
    ...options,
  });
}

export function textList(description: string, options: { readonly writeOnly?: true } = {}) {
  return Type.Array(Type.String({ minLength: 1, title: 'a string', ...options }), {
    description,
    default: [],
    maxItems: ENTRIES_MAX,
    title: 'a list of strings',
  });
}

/** A mapping with these keys and no others; absent or empty means all its defaults. */
export function section<Properties extends TProperties>(
  description: string,
  properties: Properties,
): TObject<Properties> {
  return Type.Object(properties, { ...SECTION, description });
}

/** A section that null switches off. */
export function sectionOrNull<Properties extends TProperties>(
  description: string,
  properties: Properties,
) {
  const object = Type.Object(properties, { ...SECTION, description });
  return Type.Unsafe<Static<typeof object> | null>({
    ...object,
    type: ['object', 'null'],
    title: 'a mapping of keys, or null',
  });
}

const SECTION = { additionalProperties: false, default: {}, title: 'a mapping of keys' } as const;

/** Free keys that all hold the same. */
export function mapOf<Value extends Parameters<typeof Type.Record>[1]>(
  value: Value,
  description: string,
  fallback: Readonly<Record<string, unknown>>,
) {
  return Type.Record(Type.String(), value, {
    description,
    default: fallback,
    maxProperties: ENTRIES_MAX,
    title: 'a mapping of keys',
  });
}
