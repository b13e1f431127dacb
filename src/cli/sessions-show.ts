import { join } from 'node:path';
import { sessionView } from '../http/session-views.ts';
import type { ShownSession } from '../sessions/conversations.ts';
import type { SessionAgent, Turn } from '../sessions/session.ts';
import { type CliContext, printJson, printLine } from './context.ts';
import { type SessionFlags, withConversations } from './conversations.ts';
import { configLoader } from './serve.ts';
import { labelled, shellWord, warningWords } from './session-words.ts';
import { columnsOf, printable, printableText, type Style, styleFor, wrapped } from './style.ts';
import { tableLines } from './table.ts';
import { ago, counted } from './words.ts';

export interface ShowFlags extends SessionFlags {
  readonly full?: boolean;
  readonly json?: boolean;
}

/** Lines of a question and of an answer that is not shown whole. */
const QUESTION_LINES = 2;
const ANSWER_LINES = 4;
/** Where a full text is broken is left to the terminal. */
const WIDTH_MAX = 100;

/** `sessions show`. */
export async function showSession(
  context: CliContext,
  logDir: string,
  flags: ShowFlags,
): Promise<void> {
  const isFull = flags.full === true;
  const shown = await withConversations(context, configLoader(context, flags), (conversations) =>
    conversations.show(logDir),
  );
  if (flags.json === true) {
    return printJson(context.stdout, sessionView(shown.log, shown.session, isFull));
  }
  const style = styleFor(context.stdout, context.env);
  const width = Math.min(WIDTH_MAX, columnsOf(context.stdout));
  const { turns, warnings } = shown.session;
  const lines = [
    ...headLines(shown, style, context.clock.wallMs()),
    ...turns.flatMap((turn) => ['', ...turnLines(turn, { isFull, style, width })]),
    ...(warnings.length === 0 ? [] : ['', style.yellow(counted(warnings.length, 'warning'))]),
    ...warnings.map((warning) => `  ${style.yellow('!')} ${warningWords(warning)}`),
  ];
  for (const line of lines) printLine(context.stdout, line);
  const { dim } = styleFor(context.stderr, context.env);
  printLine(context.stderr);
  printLine(context.stderr, dim(`Go on with it: headgate continue ${shellWord(shown.log.name)}`));
}

function headLines({ log, foundBy, session }: ShownSession, style: Style, nowMs: number): string[] {
  const { toolVersion, sessionId, turns, nextTurn, updatedAtMs } = session;
  const say = (label: string, text: string): string => labelled(style.dim(label.padEnd(8)), text);
  const version = toolVersion === null ? '' : `, written by version ${printable(toolVersion)}`;
  return [
    style.bold(printable(log.name)),
    say('found', printable(foundBy)),
    say('log', printable(join(log.directory, log.file ?? ''))),
    say('format', printable(log.format) + version),
    ...(sessionId === null ? [] : [say('id', printable(sessionId))]),
    ...agentLines(session.agents, session.agentIds).map((line, at) =>
      say(at === 0 ? 'agents' : '', line),
    ),
    say('turns', `${turns.length}; the next one is turn ${nextTurn}`),
    ...(updatedAtMs === null ? [] : [say('last', ago(updatedAtMs, nowMs))]),
  ];
}

function agentLines(agents: readonly SessionAgent[], ids: readonly string[]): string[] {
  const known = new Set(agents.map(({ id }) => id));
  const rows = [
    ...agents.map(({ id, type, model }) => [id, type ?? '', model ?? '']),
    ...ids.filter((id) => !known.has(id)).map((id) => [id, '', '']),
  ];
  const columns = [{ title: '' }, { title: '' }, { title: '' }];
  return tableLines(
    columns,
    rows.map((row) => row.map(printable)),
  ).slice(1);
}

function turnLines(
  turn: Turn,
  { isFull, style, width }: { isFull: boolean; style: Style; width: number },
): string[] {
  const lines = (text: string, linesMax: number): readonly string[] =>
    isFull ? printableText(text).trimEnd().split('\n') : wrapped(text, width - 4, linesMax);
  const asked = turn.question === null ? ['(not recorded)'] : lines(turn.question, QUESTION_LINES);
  const answered = turn.answer === null ? [] : lines(turn.answer, ANSWER_LINES);
  return [
    `${style.bold(`Turn ${turn.number}`)}  ${outcomeWords(turn, style)}`,
    ...asked.map((line, at) => `  ${at === 0 ? style.cyan('>') : ' '} ${style.cyan(line)}`),
    ...answered.map((line) => `    ${line}`),
  ];
}

/** Who answered; or why that is no final answer. */
function outcomeWords(turn: Turn, style: Style): string {
  const { answer, answered, degraded, winner, answerSource, encoding } = turn;
  const who = winner === null ? '' : printable(winner);
  const from = answerSource === null ? '' : ` from ${printable(answerSource)}`;
  const notes = [
    ...(degraded ? [`a draft${from}`] : []),
    ...(encoding === null || encoding === 'utf-8' ? [] : [`in ${printable(encoding)}`]),
  ];
  const behind = notes.length === 0 ? '' : style.dim(` (${notes.join(', ')})`);
  if (answered) return style.green(who === '' ? 'answered' : `answered by ${who}`) + behind;
  const why = answer === null ? 'not answered' : 'not answered to the end';
  return style.yellow(who === '' ? why : `${why}; ${who} was chosen`) + behind;
}
