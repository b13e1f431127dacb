import { asObject } from '../../../gemini/json-value.ts';
import type { NewTurn, TakenTurn } from '../../contracts.ts';
import { fieldsOf, type LogFiles, parseObject } from '../../readers/massgen-files.ts';
import type { ConfinedDirectory, GeminiContent, Turn } from '../../session.ts';

/** What headgate keeps of a turn beside the files of the tool: all that was exchanged, as it was. */
export const KEPT_FILE = 'headgate.json';

/** The key stands in the first lines. */
const HEAD_BYTES = 8 * 1024;
/** Messages come with images and documents of up to 20 MB, which are kept in base64. */
const KEPT_BYTES_MAX = 64 * 1024 * 1024;
/** Turns that are looked at for a key, newest first: a call is repeated soon or not at all. */
const TURNS_MAX = 500;

/** The content of `headgate.json`. The fields that are searched for come first. */
export function keptTurn(turn: NewTurn, number: number): Record<string, unknown> {
  return {
    headgate: 1,
    idempotency_key: turn.idempotencyKey,
    request_id: turn.requestId,
    turn: number,
    agent: turn.agentConfig.id,
    model: turn.model,
    started_at: new Date(turn.startedAtMs).toISOString(),
    ended_at: new Date(turn.endedAtMs).toISOString(),
    question: turn.question,
    answer: turn.answer,
    contents: turn.contents,
    response: turn.response,
  };
}

/** The turn of a record as `keptTurn` makes it; null where it has another key or is damaged. */
export function takenFrom(record: unknown, key: string, number: number | null): TakenTurn | null {
  const fields = fieldsOf(record);
  if (fields === null || fields['idempotency_key'] !== key) return null;
  const { turn, question, answer, agent, model } = fields;
  const contents = contentsOf(fields['contents']);
  const response = asObject(fields['response']);
  const taken = number ?? turn;
  if (
    typeof taken !== 'number' ||
    typeof question !== 'string' ||
    typeof answer !== 'string' ||
    typeof agent !== 'string' ||
    typeof model !== 'string' ||
    contents === null ||
    response === null
  ) {
    return null;
  }
  return { number: taken, question, contents, answer, agent, model, response };
}

/** Among the `turn_N/headgate.json` of a directory. The name of the directory has the number. */
export function takenInTurns(directory: ConfinedDirectory, key: string): TakenTurn | null {
  const mark = `"idempotency_key": ${JSON.stringify(key)}`;
  for (const number of turnNumbersIn(directory).toReversed().slice(0, TURNS_MAX)) {
    const file = `turn_${number}/${KEPT_FILE}`;
    const head = directory.read(file, HEAD_BYTES)?.bytes.toString('utf8') ?? '';
    if (!head.includes(mark)) continue;
    const whole = directory.read(file, KEPT_BYTES_MAX);
    const record = whole === null ? null : parseObject(whole.bytes.toString('utf8'));
    const found = takenFrom(record, key, number);
    if (found !== null) return found;
  }
  return null;
}

/**
 * The turn with what was exchanged in it, images and thought signatures included, where headgate took
 * it and has kept that. What was kept of another question or answer than the log tells is left alone.
 */
export function withKeptContents(files: LogFiles, turn: Turn): Turn {
  const { directory, question, answer } = turn;
  if (!turn.answered || turn.degraded || !files.has(directory, KEPT_FILE)) return turn;
  const kept = parseObject(files.text(directory, KEPT_FILE, KEPT_BYTES_MAX)?.text ?? '');
  const contents = contentsOf(kept?.['contents']);
  const isSame = kept?.['question'] === question && kept?.['answer'] === answer;
  return contents === null || !isSame ? turn : { ...turn, contents };
}

/** Numbers of everything in a directory that is named like a turn, ascending. */
export function turnNumbersIn(directory: ConfinedDirectory): number[] {
  return directory
    .list('.')
    .flatMap(({ name }) => /^turn_(\d{1,6})$/.exec(name)?.[1] ?? [])
    .map(Number)
    .toSorted((a, b) => a - b);
}

function contentsOf(value: unknown): readonly GeminiContent[] | null {
  if (!Array.isArray(value)) return null;
  const contents = value.map((item: unknown): GeminiContent | null => {
    const { role, parts } = fieldsOf(item) ?? {};
    if ((role !== 'user' && role !== 'model') || !Array.isArray(parts)) return null;
    return { role, parts: parts.map(fieldsOf).filter((part) => part !== null) };
  });
  return contents.includes(null) ? null : contents.filter((content) => content !== null);
}
