import { posix } from 'node:path';
import { asCount, asObject, parseJson } from '../../../gemini/json-value.ts';
import { openConfined } from '../../confined-directory.ts';
import type { NewTurn, TakenTurn } from '../../contracts.ts';
import { geminiCliReader } from '../../readers/gemini-cli.ts';
import type { ConfinedDirectory, SessionLog } from '../../session.ts';
import { cleanText } from '../../text.ts';
import { withAdded } from './added-files.ts';
import { keptTurn, takenFrom } from './kept-turn.ts';
import { utf8 } from './texts.ts';
import type { PlanOptions, TurnLayout, TurnPlan } from './turn-layout.ts';

/** Longer chats are not read whole either. */
const FILE_BYTES_MAX = 64 * 1024 * 1024;
/** Files of one chat that are looked at for a key: each turn adds one. */
const FILES_MAX = 50;

/**
 * A chat of Gemini CLI goes on in a new file beside the old one, which holds the whole of it under the
 * same session id: of several files of one id the CLI takes the one that was updated last
 * (google-gemini/gemini-cli, packages/cli/src/utils/sessionUtils.ts).
 */
export const geminiCliLayout: TurnLayout = { plan, taken };

function plan(options: PlanOptions): TurnPlan | string {
  const { log, session, turn } = options;
  if (log.file === null) return 'no chat file is named';
  const directory = openConfined(log.directory);
  const old = directory.read(log.file, FILE_BYTES_MAX);
  if (old === null || old.cut) return 'the chat cannot be read whole';
  const before = geminiCliReader.read(directory, log.file);
  const text = old.bytes.toString('utf8');
  const number = Math.max(session.nextTurn, before.turns.length + 1);
  const updatedAtMs = Math.max(turn.endedAtMs, (before.updatedAtMs ?? 0) + 1);
  const records = recordsOf(options, number);
  const content = utf8(continued(text, records, new Date(updatedAtMs).toISOString()));
  const name = freeName(directory, options, before.sessionId);
  const file = posix.join(posix.dirname(log.file), name);
  const after = geminiCliReader.read(withAdded(null, new Map([[file, content]])), file);
  const added = after.turns.at(-1);
  if (
    after.sessionId !== before.sessionId ||
    after.turns.length !== before.turns.length + 1 ||
    added?.answered !== true ||
    added.question === null ||
    added.answer !== cleanText(turn.answer).trim() ||
    before.turns.some((one, index) => one.answer !== after.turns[index]?.answer)
  ) {
    return 'its reader would not give this turn back as it was';
  }
  const parent = `${directory.path}/${posix.dirname(log.file)}`;
  return { number, pieces: [{ parent, name, files: new Map([['', content]]) }], warnings: [] };
}

/** Appended as lines; a chat that is one JSON object, as they were until early 2026, stays one. */
function continued(text: string, records: readonly object[], lastUpdated: string): string {
  const whole = asObject(parseJson(text));
  const messages = whole?.['messages'];
  if (Array.isArray(messages)) {
    const old: readonly unknown[] = messages;
    return JSON.stringify({ ...whole, lastUpdated, messages: [...old, ...records] }, null, 2);
  }
  const lines = text.split('\n');
  // A line that was being written when its writer died would swallow the next one.
  if (parseJson(lines.at(-1) ?? '') === undefined) lines.pop();
  const added = [...records, { $set: { lastUpdated } }].map((record) => JSON.stringify(record));
  return [...lines, ...added, ''].join('\n');
}

function recordsOf({ turn, newId }: PlanOptions, number: number): readonly object[] {
  const parts = turn.contents[0]?.parts ?? [];
  // A message without a text is none to the CLI's reader, nor to ours.
  const hasText = parts.some(
    (part) => typeof part['text'] === 'string' && part['text'].trim() !== '',
  );
  return [
    {
      id: newId(),
      timestamp: new Date(turn.startedAtMs).toISOString(),
      type: 'user',
      content: hasText ? parts : [{ text: turn.question }, ...parts],
    },
    {
      id: newId(),
      timestamp: new Date(turn.endedAtMs).toISOString(),
      type: 'gemini',
      content: turn.answer,
      thoughts: [],
      tokens: tokensOf(turn),
      model: turn.model,
      // Only to find the turn again: without a key it never is, and the chat stays small.
      ...(turn.idempotencyKey === null ? {} : { headgate: keptTurn(turn, number) }),
    },
  ];
}

function tokensOf({ response }: NewTurn): object | null {
  const usage = asObject(response['usageMetadata']);
  if (usage === null) return null;
  const count = (name: string): number => asCount(usage[name]) ?? 0;
  return {
    input: count('promptTokenCount'),
    output: count('candidatesTokenCount'),
    cached: count('cachedContentTokenCount'),
    thoughts: count('thoughtsTokenCount'),
    tool: count('toolUsePromptTokenCount'),
    total: count('totalTokenCount'),
  };
}

/**
 * `session-<minute>-<first 8 of the id>.jsonl` as the CLI names them, more exactly where that is taken.
 * By its last part the CLI finds all files of a chat to delete them.
 */
function freeName(
  directory: ConfinedDirectory,
  { log, turn, tries }: PlanOptions,
  sessionId: string | null,
): string {
  const old = posix.basename(log.file ?? '');
  const extension = old.endsWith('.jsonl') ? '.jsonl' : '.json';
  const id = shortIdIn(old) ?? (sessionId ?? '').replace(/\W/g, '').slice(0, 8);
  const known = new Set(directory.list(posix.dirname(log.file ?? '')).map(({ name }) => name));
  const stamp = new Date(turn.endedAtMs).toISOString().replace(/[:.]/g, '-');
  // Up to the minute, the second, the millisecond, and then a count.
  const stamps = [stamp.slice(0, 16), stamp.slice(0, 19), stamp.slice(0, 23)];
  for (let count = 0; stamps.length < known.size + tries + 4; count++) {
    stamps.push(`${stamp.slice(0, 23)}-${count + 1}`);
  }
  // Of two files that differ only in this ending the older tells nothing to our reader.
  const isFree = (base: string): boolean =>
    !known.has(`${base}.json`) && !known.has(`${base}.jsonl`);
  const free = stamps.map((one) => `session-${one}-${id || 'headgate'}`).filter(isFree);
  return `${free[tries] ?? free.at(-1)}${extension}`;
}

function shortIdIn(name: string): string | null {
  return /-([A-Za-z0-9]{8})\.jsonl?$/.exec(name)?.[1] ?? null;
}

/** In the chat, or in a file that it goes on in. */
function taken(log: SessionLog, idempotencyKey: string): TakenTurn | null {
  if (log.file === null) return null;
  let directory: ConfinedDirectory;
  try {
    directory = openConfined(log.directory);
  } catch {
    return null;
  }
  const chats = posix.dirname(log.file);
  const id = shortIdIn(log.file);
  const others = directory
    .list(chats)
    .filter(({ name, kind }) => kind === 'file' && id !== null && shortIdIn(name) === id)
    .map(({ name }) => posix.join(chats, name));
  const files = [...new Set([log.file, ...others.toReversed()])].slice(0, FILES_MAX);
  for (const file of files) {
    const text = directory.read(file, FILE_BYTES_MAX)?.bytes.toString('utf8') ?? '';
    if (!text.includes(JSON.stringify(idempotencyKey))) continue;
    const whole = asObject(parseJson(text));
    const messages: readonly unknown[] = Array.isArray(whole?.['messages'])
      ? whole['messages']
      : text.split('\n').map(parseJson);
    for (const message of messages) {
      const found = takenFrom(asObject(message)?.['headgate'], idempotencyKey, null);
      if (found !== null) return found;
    }
  }
  return null;
}
