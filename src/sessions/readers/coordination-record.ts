import { fieldsOf, type Fields, parseObject } from './massgen-files.ts';
import { objectEnd } from './object-end.ts';

/** What a `mass_coordination_*.json` holds, as far as it is whole. */
export interface Coordination {
  readonly whole: boolean;
  readonly metadata: Fields;
  readonly session: Fields;
  /** Chunks by agent. */
  readonly outputs: ReadonlyMap<string, readonly Fields[]>;
  readonly events: readonly string[];
  readonly aggregated: readonly { readonly source: string; readonly fields: Fields }[];
}

/** Of a file that was cut, `metadata` and `session`, which are written first, may still be whole. */
export function parseCoordination(text: string): Coordination {
  const whole = parseObject(text);
  const top = whole ?? leadingObjects(text);
  const chunks = Object.entries(fieldsOf(top['agent_outputs']) ?? {});
  return {
    whole: whole !== null,
    metadata: fieldsOf(top['metadata']) ?? {},
    session: fieldsOf(top['session']) ?? {},
    outputs: new Map(chunks.map(([id, list]) => [id, listOf(list)])),
    events: listOf(top['orchestrator_events'])
      .map((one) => one['event'])
      .filter((event) => typeof event === 'string'),
    aggregated: Object.entries(fieldsOf(top['aggregated_responses']) ?? {}).map(
      ([source, value]) => ({ source, fields: fieldsOf(value) ?? {} }),
    ),
  };
}

function listOf(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.map(fieldsOf).filter((one) => one !== null) : [];
}

/** `{ "metadata": {…}, "session": {…}, …`: every member with an object as its value, up to the damage. */
function leadingObjects(text: string): Fields {
  const found: Record<string, unknown> = {};
  let at = /^\s*\{\s*/.exec(text)?.[0].length ?? text.length;
  for (;;) {
    const key = /^"(metadata|session|agent_outputs)"\s*:\s*/.exec(text.slice(at, at + 100));
    if (key?.[1] === undefined) return found;
    const from = at + key[0].length;
    const end = objectEnd(text, from);
    const value = end === null ? null : parseObject(text.slice(from, end));
    if (end === null || value === null) return found;
    found[key[1]] = value;
    at = end + (/^\s*,\s*/.exec(text.slice(end, end + 100))?.[0].length ?? 0);
  }
}
