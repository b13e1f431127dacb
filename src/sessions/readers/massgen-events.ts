import { objectEnd } from './object-end.ts';
import {
  epochMsOf,
  fieldsOf,
  type Fields,
  type LogFiles,
  parseObject,
  textOf,
  within,
} from './massgen-files.ts';

/** The events follow the one object that is needed and grow with every streamed chunk. */
const PREFIX_BYTES = 16 * 1024;
const WHOLE_BYTES_MAX = 8 * 1024 * 1024;
const FILE = 'coordination_events.json';

/** `session_metadata` of coordination_events.json, written after the final presentation. */
export interface EventsSummary {
  readonly userPrompt: string | null;
  readonly agentIds: readonly string[];
  readonly endedAtMs: number | null;
  readonly finalWinner: string | null;
}

export interface StatusSummary {
  readonly question: string | null;
  readonly agentIds: readonly string[];
  readonly updatedAtMs: number | null;
  readonly winner: string | null;
}

export function readEvents(files: LogFiles, directory: string): EventsSummary | null {
  const path = within(directory, FILE);
  let file = files.text(directory, FILE, PREFIX_BYTES);
  if (file === null) return null;
  let fields = firstObject(file.text);
  if (fields === null && file.cut) {
    file = files.text(directory, FILE, WHOLE_BYTES_MAX) ?? file;
    fields = firstObject(file.text);
  }
  if (fields === null) {
    files.warn(path, file.text.trim() === '' ? 'is empty' : 'its session_metadata is damaged');
    return null;
  }
  if (!file.cut && parseObject(file.text) === null) {
    files.warn(path, 'is damaged beyond its session_metadata');
  }
  const ids = Array.isArray(fields['agent_ids']) ? fields['agent_ids'] : [];
  return {
    userPrompt: textOf(fields['user_prompt']),
    agentIds: ids.map(idOf).filter((id) => id !== null),
    endedAtMs: epochMsOf(fields['end_time']) ?? epochMsOf(fields['start_time']),
    finalWinner: textOf(fields['final_winner']),
  };
}

export function readStatus(files: LogFiles, directory: string): StatusSummary | null {
  const fields = files.json(directory, 'status.json');
  if (fields === null) return null;
  const meta = fieldsOf(fields['meta']) ?? {};
  return {
    question: textOf(meta['question']),
    agentIds: Object.keys(fieldsOf(fields['agents']) ?? {}),
    updatedAtMs: epochMsOf(meta['last_updated']),
    winner: textOf(fieldsOf(fields['results'])?.['winner']),
  };
}

/** The last draft of an agent, which the events repeat for the presenter. */
export function draftInEvents(files: LogFiles, directory: string, agentId: string): string | null {
  const file = files.text(directory, FILE, WHOLE_BYTES_MAX);
  const events = file === null || file.cut ? null : parseObject(file.text)?.['events'];
  if (!Array.isArray(events)) return null;
  let label: string | null = null;
  let draft: string | null = null;
  for (const event of events) {
    const fields = fieldsOf(event);
    const context = fieldsOf(fields?.['context']);
    if (fields === null || context === null) continue;
    if (fields['event_type'] === 'new_answer' && fields['agent_id'] === agentId) {
      label = textOf(context['label']);
    }
    const answers = fieldsOf(context['answers_for_context']);
    if (answers === null) continue;
    draft = textOf(answers[agentId]) ?? (label === null ? null : textOf(answers[label])) ?? draft;
  }
  return draft;
}

/** Ids may have been written as numbers. */
export function idOf(value: unknown): string | null {
  return typeof value === 'number' ? String(value) : textOf(value);
}

/**
 * The value of `session_metadata`, which is always written first, even where the rest is cut off.
 */
function firstObject(text: string): Fields | null {
  const head = /^\s*\{\s*"session_metadata"\s*:\s*(?=\{)/.exec(text);
  if (head === null) return null;
  const from = head[0].length;
  const end = objectEnd(text, from);
  return end === null ? null : parseObject(text.slice(from, end));
}
