import { existsSync } from 'node:fs';
import type { LoadedConfig } from '../config/loaded.ts';
import { sessionList } from '../http/session-views.ts';
import type { SessionSummary } from '../sessions/contracts.ts';
import { CommandFailure, type CliContext, printJson, printLine } from './context.ts';
import { type SessionFlags, withConversations } from './conversations.ts';
import { configLoader } from './serve.ts';
import { clip, columnsOf, oneLine, printable, styleFor } from './style.ts';
import { tableLines } from './table.ts';
import { ago, counted } from './words.ts';

export interface ListFlags extends SessionFlags {
  readonly limit: string;
  readonly json?: boolean;
}

const LIMIT_MAX = 1_000;
/** Where less than this is left for the question, it stands below with the agents. */
const QUESTION_CHARS_MIN = 30;
const AGENTS_CHARS_MAX = 28;

const COLUMNS = [
  { title: 'SESSION' },
  { title: 'TURNS', align: 'right' },
  { title: 'LAST TURN' },
  { title: 'FORMAT' },
  { title: 'AGENTS' },
  { title: 'FIRST QUESTION' },
] as const;
/** Of the columns, those that stand side by side on a narrow terminal. */
const HEAD_COLUMNS = 3;

/** `sessions list`. */
export async function listSessions(context: CliContext, flags: ListFlags): Promise<void> {
  const limit = limitOf(flags.limit);
  const load = configLoader(context, flags);
  const config = load();
  const page = await withConversations(
    context,
    () => config,
    (conversations) => conversations.list({ limit, cursor: null }),
  );
  if (flags.json === true) return printJson(context.stdout, sessionList(page));
  if (page.sessions.length === 0) return tellNothingFound(context, config);
  for (const line of listing(context, page.sessions)) printLine(context.stdout, line);
  if (page.nextCursor !== null) {
    const more = limit * 5 > LIMIT_MAX ? LIMIT_MAX : limit * 5;
    const { dim } = styleFor(context.stderr, context.env);
    printLine(context.stderr, dim(`There are older ones: headgate sessions list --limit ${more}`));
  }
}

function limitOf(text: string): number {
  const limit = Number(text);
  if (Number.isInteger(limit) && limit >= 1 && limit <= LIMIT_MAX) return limit;
  throw new CommandFailure('usage', `--limit is '${text}'; say a whole number from 1 to 1,000`);
}

function listing(context: CliContext, sessions: readonly SessionSummary[]): readonly string[] {
  const { clock, env, stdout } = context;
  const style = styleFor(stdout, env);
  const nowMs = clock.wallMs();
  // Whoever reads a pipe wants one line for each session, and all of it.
  const width = stdout.isTTY ? columnsOf(stdout) : Infinity;
  const agentsWidth = stdout.isTTY ? AGENTS_CHARS_MAX : Infinity;
  const rows = sessions.map((session) => [
    style.bold(printable(session.log.name)),
    String(session.turns),
    ago(session.updatedAtMs, nowMs),
    session.log.format,
    clip(agentWords(session), agentsWidth),
    questionWords(session),
  ]);
  const whole = tableLines(COLUMNS, rows, { width, title: style.dim });
  const questionAt = tableLines(COLUMNS, rows)[0]?.lastIndexOf('FIRST QUESTION') ?? 0;
  if (width - questionAt >= QUESTION_CHARS_MIN) return whole;
  // Else what does not fit beside one another stands below one another.
  const heads = tableLines(
    COLUMNS.slice(0, HEAD_COLUMNS),
    rows.map((row) => row.slice(0, HEAD_COLUMNS)),
    { width, title: style.dim },
  );
  return heads.flatMap((line, at) => {
    const row = rows[at - 1];
    if (row === undefined) return [line];
    const below = row.slice(HEAD_COLUMNS).filter((cell) => cell !== '');
    return [line, style.dim(clip(`  ${below.join(' · ')}`, width))];
  });
}

/** Agents with their models where there are as many of each, else both lists. */
function agentWords({ agents, models }: SessionSummary): string {
  const pairs =
    agents.length === models.length
      ? agents.map((agent, at) => `${agent} ${models[at] ?? ''}`)
      : [agents.join(', '), models.join(', ')].filter((names) => names !== '');
  return oneLine(pairs.join(agents.length === models.length ? ', ' : ' · '), 200);
}

function questionWords({ firstQuestion, warnings }: SessionSummary): string {
  const question = firstQuestion === null ? '(no question recorded)' : oneLine(firstQuestion, 200);
  return warnings === 0 ? question : `${question} (${counted(warnings, 'warning')})`;
}

function tellNothingFound(context: CliContext, config: LoadedConfig): void {
  const { env, stderr } = context;
  const style = styleFor(stderr, env);
  const rows = config.sessions.roots.map((root) => [
    printable(root),
    style.dim(existsSync(root) ? 'holds no session' : 'is not there'),
  ]);
  printLine(stderr, 'No past conversation was found. These directories were looked at:');
  for (const line of tableLines([{ title: '' }, { title: '' }], rows).slice(1)) {
    printLine(stderr, `  ${line}`);
  }
  printLine(stderr, 'Name another with --sessions DIR, or in the configuration as sessions.roots.');
}
