import { join } from 'node:path';
import { isSecret, textWithoutKeys } from '../http/session-secrets.ts';
import type { Conflict } from '../sessions/contracts.ts';
import type { ConversationSummary, FinishedTurn, PlannedTurn } from '../sessions/conversations.ts';
import type { SessionLog, SessionWarning } from '../sessions/session.ts';
import { asObject } from './answer-stream.ts';
import { labelled, shellWord, warningWords } from './session-words.ts';
import { oneLine, printable, type Style, wrapped } from './style.ts';
import { counted, duration, thousands } from './words.ts';

export interface TalkOptions {
  readonly style: Style;
  readonly width: number;
}

/** Lines of the last answer that help to remember where the conversation was. */
const ANSWER_LINES = 3;
/** Columns before what a label says. */
const INDENT = 12;
/** Waits below this are the way through the daemon. */
const WAIT_SHOWN_MS = 100;

/** Which session is resumed, how it was found, who answers, and what it was about. */
export function introLines(planned: PlannedTurn, { style, width }: TalkOptions): string[] {
  const { log, foundBy, summary, turn, continuation } = planned;
  const say = (label: string, text: string): string => labelled(style.dim(label.padEnd(8)), text);
  const room = Math.max(20, width - INDENT);
  const { turnsSent } = continuation;
  const sent = turnsSent === summary.turns ? '' : `, of which ${thousands(turnsSent)} are sent`;
  return [
    style.bold(`Continuing ${oneLine(log.name, width - 11)}`),
    say('found', oneLine(foundBy, room)),
    say('format', printable(log.format)),
    say('agent', oneLine(`${continuation.agent} with ${continuation.model}`, room)),
    say('turns', `${thousands(summary.turns)}${sent}; this will be turn ${turn}`),
    ...summaryLines(summary, say, style, room),
  ];
}

function summaryLines(
  { turns, questions, last_answer }: ConversationSummary,
  say: (label: string, text: string) => string,
  style: Style,
  room: number,
): string[] {
  const earlier = turns - questions.length;
  const asked = questions.map((question) => style.cyan(oneLine(question, room)));
  const answer = last_answer === null ? [] : wrapped(last_answer, room, ANSWER_LINES);
  return [
    ...(earlier > 0
      ? [style.dim(`(${counted(earlier, 'earlier question')})`), ...asked]
      : asked
    ).map((text, at) => say(at === 0 ? 'asked' : '', text)),
    ...answer.map((text, at) => say(at === 0 ? 'answered' : '', text)),
  ];
}

/** One line for each setting in dispute and each warning. */
export function noteLines(
  {
    conflicts,
    warnings,
  }: {
    readonly conflicts: readonly Conflict[];
    readonly warnings: readonly SessionWarning[];
  },
  { style }: TalkOptions,
): string[] {
  const notes = [...conflicts.map(conflictWords), ...warnings.map(warningWords)];
  return notes.map((note) => `  ${style.yellow('!')} ${textWithoutKeys(note)}`);
}

function conflictWords({ key, used, ignored, message }: Conflict): string {
  if (!isSecret(key, ignored.value)) return printable(message);
  const outcome = used === null ? 'not used' : `taken from the ${used.from}`;
  return printable(`${key} (a secret, not shown) of the ${ignored.from}: ${outcome}`);
}

/** Where the turn is, what it took, and how long it waited. */
export function writtenLine(
  finished: FinishedTurn,
  queuedMs: number | null,
  { style }: TalkOptions,
): string {
  const { turn, where, directory, response } = finished;
  const place = where === 'in_place' ? directory : `${directory} (beside the log)`;
  const parts = [`turn ${turn} written to ${printable(place)}`, ...tokenWords(response)];
  if (queuedMs !== null && queuedMs >= WAIT_SHOWN_MS) {
    parts.push(`waited ${duration(queuedMs)} in the queue`);
  }
  return style.dim(parts.join(' · '));
}

function tokenWords(response: Readonly<Record<string, unknown>>): string[] {
  const usage = asObject(response['usageMetadata']);
  if (usage === null) return [];
  const count = (name: string): number => Number(usage[name] ?? 0) || 0;
  const thoughts = count('thoughtsTokenCount');
  const out = `${thousands(count('candidatesTokenCount') + thoughts)} out`;
  const thought = thoughts === 0 ? '' : ` (${thousands(thoughts)} thoughts)`;
  return [`${thousands(count('promptTokenCount'))} tokens in, ${out}${thought}`];
}

/** The name under which a log is found again, whatever else is newer by then. */
export function pathOf(log: SessionLog): string {
  return join(log.directory, log.file ?? '');
}

/** How to go on later. `isNamed`: the log was found below a root that is looked at anyway. */
export function comeBackLine(log: SessionLog, isNamed: boolean, { style }: TalkOptions): string {
  const word = shellWord(isNamed && log.root !== null ? log.name : pathOf(log));
  return style.dim(`Come back with: headgate continue ${word}`);
}

/** What a dry run would have sent. */
export function dryRunLine(path: string, tokens: number, { style }: TalkOptions): string {
  return style.dim(printable(`not sent · about ${thousands(tokens)} tokens · POST ${path}`));
}
