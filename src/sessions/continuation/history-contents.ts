import { asObject } from '../../gemini/json-value.ts';
import type { GeminiContent } from '../session.ts';

type Part = GeminiContent['parts'][number];

/** The contents of one turn so that the API takes them, and what had to be left out for that. */
export interface RepairedContents {
  /** From the question to the answer, user and model in turns; null where no such thing is left. */
  readonly contents: readonly GeminiContent[] | null;
  /** Completes "turn 3 ...", one for each kind of repair. */
  readonly repairs: readonly string[];
}

/**
 * Makes contents acceptable as part of a history: one content after the other from user and model, no
 * empty parts, each function call followed by as many responses (the API answers 400 otherwise, see
 * https://ai.google.dev/gemini-api/docs/function-calling). `answer` stands in where the model's last
 * words are not among the contents.
 */
export function repairContents(
  kept: readonly GeminiContent[],
  answer: string | null,
): RepairedContents {
  const repairs: string[] = [];
  const paired = pairCalls(mergeRoles(kept.map(withoutMisplaced)));
  if (partsOf(paired) < partsOf(mergeRoles(kept))) {
    repairs.push('has function calls without a response; they are left out');
  }
  const contents = mergeRoles(paired);
  if (contents[0]?.role !== 'user') return { contents: null, repairs };
  if (contents.at(-1)?.role === 'user') {
    if (answer === null || answer.trim() === '') return { contents: null, repairs };
    contents.push({ role: 'model', parts: [{ text: answer }] });
  }
  return { contents, repairs };
}

/** Only a model calls, and only a user's content answers. */
function withoutMisplaced({ role, parts }: GeminiContent): GeminiContent {
  const nameOf = role === 'model' ? responseOf : callOf;
  return { role, parts: parts.filter((part) => nameOf(part) === null) };
}

/** Joins neighbours of one role and drops parts that are empty. */
function mergeRoles(contents: readonly GeminiContent[]): GeminiContent[] {
  const merged: { role: GeminiContent['role']; parts: Part[] }[] = [];
  for (const { role, parts } of contents) {
    const full = parts.filter((part) => !isEmptyPart(part));
    if (full.length === 0) continue;
    const last = merged.at(-1);
    if (last?.role === role) last.parts.push(...full);
    else merged.push({ role, parts: full });
  }
  return merged;
}

/** Leaves out calls whose responses are not what follows at once, and responses to no call. */
function pairCalls(contents: readonly GeminiContent[]): GeminiContent[] {
  return contents.map(({ role, parts }, index) => {
    const before = contents[index - 1];
    const after = contents[index + 1];
    const isPaired =
      role === 'model'
        ? after !== undefined && isAnswered(parts, after.parts)
        : before !== undefined && isAnswered(before.parts, parts);
    if (isPaired) return { role, parts };
    return {
      role,
      parts: parts.filter((part) => callOf(part) === null && responseOf(part) === null),
    };
  });
}

/** Whether the responses are to exactly these calls, in whatever order. */
function isAnswered(calls: readonly Part[], responses: readonly Part[]): boolean {
  return sorted(calls.map(callOf)) === sorted(responses.map(responseOf));
}

function sorted(names: readonly (string | null)[]): string {
  return JSON.stringify(names.filter((name) => name !== null).toSorted());
}

function callOf(part: Part): string | null {
  return nameIn(part, 'functionCall', 'function_call');
}

function responseOf(part: Part): string | null {
  return nameIn(part, 'functionResponse', 'function_response');
}

function nameIn(part: Part, ...keys: readonly string[]): string | null {
  for (const key of keys) {
    if (!Object.hasOwn(part, key)) continue;
    const name = asObject(part[key])?.['name'];
    return typeof name === 'string' ? name : '';
  }
  return null;
}

/** A text of nothing may still carry a thought's signature. */
function isEmptyPart(part: Part): boolean {
  const keys = Object.keys(part);
  return keys.length === 0 || (keys.length === 1 && part['text'] === '');
}

function partsOf(contents: readonly GeminiContent[]): number {
  return contents.reduce((total, { parts }) => total + parts.length, 0);
}
