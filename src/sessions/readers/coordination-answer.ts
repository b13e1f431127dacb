import type { Coordination } from './coordination-record.ts';
import { textOf } from './massgen-files.ts';

export interface CoordinationAnswer {
  readonly text: string;
  /** Whether it was shown as the final answer. */
  readonly delivered: boolean;
  readonly degraded: boolean;
  /** Null where it is from the log itself. */
  readonly source: string | null;
  readonly encoding: string | null;
}

/** The line that announces the presenter, mostly without an end of its own. */
const ANNOUNCEMENT = /🎤\s*\[[^\n]{1,255}?\] presenting final answer\s*/u;

/**
 * Best first: the recorded final answer, the winner's presentation, the coordinated answer as it was
 * shown with the line that closes it, the winner's draft.
 */
export function answerInCoordination(record: Coordination): CoordinationAnswer | null {
  const own = { source: null, encoding: null };
  const final = spokenText(record.session['final_answer']);
  if (final !== null) return { text: final, delivered: true, degraded: false, ...own };
  const winner = selectedAgent(record);
  if (winner === null) return null;
  const completed = record.metadata['status'] === 'completed';
  const presented = presentationOf(record, winner);
  if (presented !== null) {
    return { text: presented, delivered: completed, degraded: !completed, ...own };
  }
  const shown = coordinatedAnswer(record, winner);
  if (shown !== null) return { text: shown, delivered: completed, degraded: true, ...own };
  const draft = draftOf(record, winner);
  return draft === null ? null : { text: draft, delivered: false, degraded: true, ...own };
}

/** The selected agent, or the only one. */
export function selectedAgent(record: Coordination): string | null {
  for (const event of record.events.toReversed()) {
    const selected = /^🎯 FINAL: (.{1,255}?) selected \(/u.exec(event)?.[1];
    if (selected !== undefined) return selected;
  }
  const shown = /\n🏆 Selected Agent: ([^\n]{1,255})(?:\n|$)/u.exec(orchestratorText(record))?.[1];
  if (shown !== undefined) return shown;
  const ids = record.session['agent_ids'];
  return Array.isArray(ids) && ids.length === 1 ? textOf(ids[0]) : null;
}

function presentationOf(record: Coordination, winner: string): string | null {
  const fields = record.aggregated.find((one) => one.source === winner)?.fields ?? {};
  const presented = spokenText(fields['presentation']);
  if (presented !== null) return presented;
  const [, ...after] = (textOf(fields['other_content']) ?? '').split(ANNOUNCEMENT);
  return after.length === 0 ? null : textOf(after.join('').trim());
}

/** Without the line that announces the presenter. */
function spokenText(value: unknown): string | null {
  const text = textOf(value);
  if (text === null) return null;
  const [before, ...after] = text.split(ANNOUNCEMENT);
  return textOf(before?.trim() === '' ? after.join('') : text);
}

function coordinatedAnswer(record: Coordination, winner: string): string | null {
  const [, after] = orchestratorText(record).split(`\n🏆 Selected Agent: ${winner}\n`);
  const end = after?.lastIndexOf('\n---\n*Coordinated by ') ?? -1;
  return after === undefined || end < 0 ? null : textOf(after.slice(0, end).trim());
}

/** Early versions cut what they show of a draft and say so with three dots. */
function draftOf(record: Coordination, winner: string): string | null {
  for (const chunk of (record.outputs.get(winner) ?? []).toReversed()) {
    const content = textOf(chunk['content']) ?? '';
    const draft = /^💡 Providing answer: "(.*)"\s*$/su.exec(content)?.[1];
    if (draft !== undefined) return draft.endsWith('...') ? null : textOf(draft);
  }
  return null;
}

function orchestratorText(record: Coordination): string {
  const fields = record.aggregated.find((one) => one.source === 'orchestrator')?.fields ?? {};
  return textOf(fields['other_content']) ?? '';
}
