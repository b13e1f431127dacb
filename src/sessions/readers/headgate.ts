import { asArray, asObject, asString, parseJson } from '../../gemini/json-value.ts';
import { textOfContents } from '../recording/contents.ts';
import type { RecordedAgent, RecordedContent } from '../recording/recording-state.ts';
import { RecordState } from '../recording/recording-state.ts';
import { RECORD_BYTES_MAX, RECORD_FILE } from '../recording/recording.ts';
import type {
  ConfinedDirectory,
  GeminiContent,
  Session,
  SessionAgent,
  SessionReader,
  SessionWarning,
  Turn,
} from '../session.ts';
import { cleanText } from '../text.ts';

/** The header, and of a record whose header is damaged the beginning of an exchange. */
const HEAD_BYTES = 4096;

/** headgate's own records: a directory with one file of lines, the first of which is a header. */
export const headgateReader: SessionReader = {
  format: 'headgate',
  claims(directory, file) {
    if (file !== undefined) return false;
    const head = directory.read(RECORD_FILE, HEAD_BYTES)?.bytes.toString('utf8') ?? '';
    return /^\s*\{"headgate":/.test(head) || /"request_id":.*"keep":\d+,/.test(head);
  },
  read: readRecord,
};

function readRecord(directory: ConfinedDirectory): Session {
  const state = new RecordState({ keepsContents: true });
  const content = directory.read(RECORD_FILE, RECORD_BYTES_MAX);
  const warnings: SessionWarning[] = [];
  if (content === null) {
    warnings.push(warn(directory.problem(RECORD_FILE) ?? 'cannot be read'));
  } else {
    state.replay(content.bytes);
    if (content.cut) {
      warnings.push(warn(`is longer than ${RECORD_BYTES_MAX} bytes; the rest is left out`));
    }
  }
  warnings.push(...state.problems.map((problem) => warn(`${RECORD_FILE}:${problem}`)));
  const turns = turnsOf(state.contents);
  const agents = [...state.agents].map(([id, agent]) => agentOf(id, agent));
  return {
    format: headgateReader.format,
    sessionId: asString(state.header?.['session']),
    turns,
    nextTurn: (turns.at(-1)?.number ?? 0) + 1,
    agents,
    agentIds: agents.map(({ id }) => id),
    updatedAtMs: state.updatedAtMs,
    toolVersion: null,
    warnings,
  };
}

function warn(message: string): SessionWarning {
  return { file: RECORD_FILE, message };
}

/** A question and everything up to the next one. What is lost parts turns and joins none. */
function turnsOf(contents: readonly RecordedContent[]): readonly Turn[] {
  const turns: Turn[] = [];
  let current: RecordedContent[] = [];
  let number = 0;
  const finish = (): void => {
    const [first] = current;
    if (first === undefined) return;
    number = Math.max(number + 1, first.line?.turn ?? 0);
    turns.push(turnOf(number, current));
    current = [];
  };
  for (const [index, recorded] of contents.entries()) {
    const { content, hasFunctionResponse } = recorded;
    if (content === null) {
      finish();
      // However many turns are lost there, the next one gets another number than before it.
      if (contents[index - 1]?.content !== null) number += 1;
      continue;
    }
    if (content.role === 'user' && !hasFunctionResponse) finish();
    current.push(recorded);
  }
  finish();
  return turns;
}

function turnOf(number: number, recorded: readonly RecordedContent[]): Turn {
  const contents = recorded.flatMap(({ content }) => content ?? []);
  const first = recorded[0];
  const asked = first?.content?.role === 'user' && !first.hasFunctionResponse ? first : null;
  const question = asked === null ? null : questionOf(asked);
  const last = contents.at(-1);
  const spoken = last?.role === 'model' ? [last] : [];
  const answer = cleanText(textOfContents(spoken));
  const answered = answer.trim() !== '' && !spoken.some(callsFunction);
  return {
    number,
    question,
    answer: answer === '' ? null : answer,
    answered,
    winner: answered ? (recorded.at(-1)?.line?.agent ?? null) : null,
    questionSource: question === null ? null : RECORD_FILE,
    answerSource: answer === '' ? null : RECORD_FILE,
    encoding: answer === '' ? null : 'utf-8',
    degraded: false,
    directory: '.',
    contents,
  };
}

/** The text; of a question without any, what it is made of. */
function questionOf({ content, line }: RecordedContent): string | null {
  if (content === null) return null;
  if (line !== null && line.question !== null) return line.question;
  const text = cleanText(textOfContents([content]));
  if (text.trim() !== '') return text;
  return content.parts.map((part) => `[${Object.keys(part)[0] ?? 'part'}]`).join(' ');
}

function callsFunction({ parts }: GeminiContent): boolean {
  return parts.some((part) => 'functionCall' in part || 'function_call' in part);
}

function agentOf(id: string, { model, settings }: RecordedAgent): SessionAgent {
  const told = (name: Parameters<typeof settings.get>[0]): unknown =>
    parseJson(settings.get(name) ?? 'null');
  const system = told('system_instruction');
  const systemText = systemTextOf(system);
  const backend: Record<string, unknown> = {
    type: 'gemini',
    ...(model === '' ? {} : { model }),
    ...asObject(told('generation_config')),
  };
  for (const name of ['tools', 'tool_config', 'safety_settings'] as const) {
    if (settings.has(name)) backend[name] = told(name);
  }
  // An instruction that is more than text is handed on as it is.
  if (system !== null && systemText === null) backend['system_instruction'] = system;
  return {
    id,
    type: 'gemini',
    model: model === '' ? null : model,
    systemMessage: systemText,
    backend: { ...backend, ...asObject(told('backend')) },
  };
}

/** Texts of a system instruction, a content or a bare text; null where it has anything else. */
function systemTextOf(system: unknown): string | null {
  if (typeof system === 'string') return cleanText(system);
  const parts = asObject(system)?.['parts'];
  const texts = (asObject(parts) === null ? asArray(parts) : [parts]).map((part) =>
    asString(asObject(part)?.['text']),
  );
  if (texts.length === 0 || texts.includes(null)) return null;
  return cleanText(texts.join('\n'));
}
