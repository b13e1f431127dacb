import { type Static, type TSchema, Type } from 'typebox';

/** A JSON Schema as it is written out. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** A value of one JSON type, or null. */
export function orNull<Value>(type: string, rules: JsonSchema = {}) {
  return Type.Unsafe<Value | null>({ type: [type, 'null'], ...rules });
}

export function textOrNull(rules: JsonSchema = {}) {
  return orNull<string>('string', rules);
}

/** An ISO 8601 instant in UTC. */
export function instant(rules: JsonSchema = {}) {
  return Type.String({ format: 'date-time', ...rules });
}

export function instantOrNull(rules: JsonSchema = {}) {
  return textOrNull({ format: 'date-time', ...rules });
}

/** Whole milliseconds. */
export function milliseconds(rules: JsonSchema = {}) {
  return Type.Number({ minimum: 0, ...rules });
}

/**
 * The schema of a view under the view's name. Does not compile where a field of the view is missing
 * in the schema, is of another type, or where the schema has a field that the view has not.
 */
export function viewSchema<View>() {
  return <Schema extends TSchema>(
    schema: Schema &
      ([Static<Schema>, keyof Static<Schema>] extends [View, keyof View] ? unknown : never),
  ): Schema => schema;
}

/** A response of JSON. */
export function answers(description: string, schema: TSchema) {
  return { description, content: { 'application/json': { schema } } };
}

/** A response of text in another media type. */
export function answersText(description: string, mediaType: string) {
  return { description, content: { [mediaType]: { schema: Type.String() } } };
}
