import { field, list, text } from './json.ts';

/** A function of the caller's that the answer asks for. */
export interface ToolCall {
  readonly name: string;
  readonly args: Readonly<Record<string, string>>;
}

/** Base64, so that a client that sends it back changed is told from one that does not. */
export const THOUGHT_SIGNATURE = 'c2ltdWxhdGVkIHRob3VnaHQ=';

/**
 * The call that `wanted`, a text such as `get_weather city=Oslo`, describes. Null where the caller
 * declares no such function, or has just sent what one answered.
 */
export function toolCallOf(wanted: string | null, body: unknown): ToolCall | null {
  const [name = '', ...pairs] = wanted?.split(/\s+/) ?? [];
  if (!declaredNames(body).includes(name) || isAnswered(body)) return null;
  const args = pairs.map((pair) => {
    const [key = '', ...value] = pair.split('=');
    return [key, value.join('=')] as const;
  });
  return { name, args: Object.fromEntries(args) };
}

/** Functions of the native surface, of the OpenAI-compatible one and of interactions. */
function declaredNames(body: unknown): readonly (string | undefined)[] {
  return list(field(body, 'tools')).flatMap((tool) => {
    const native = list(field(tool, 'functionDeclarations', 'function_declarations'));
    return [...native, field(tool, 'function'), tool].map((one) => text(field(one, 'name')));
  });
}

function isAnswered(body: unknown): boolean {
  const last = list(field(body, 'contents', 'messages', 'input')).at(-1);
  if (field(last, 'role') === 'tool' || field(last, 'type') === 'function_result') return true;
  return list(field(last, 'parts')).some(
    (part) => field(part, 'functionResponse', 'function_response') !== undefined,
  );
}

/** Every string in what a function answered. */
export function textsOfResponse(value: unknown, depth = 0): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null || depth >= DEPTH_MAX) return [];
  return Object.values(value).flatMap((one) => textsOfResponse(one, depth + 1));
}

/** Answers of functions come from outside and may be nested without end. */
const DEPTH_MAX = 8;
