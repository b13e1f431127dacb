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
/** Below this width a question stands on a line of its own; above, at the end of the row. */
const ONE_LINE_COLUMNS = 130;
const NAME_CHARS_MAX = 60;
const AGENTS_CHARS_MAX = 36;

const COLUMNS = [
  { title: 'SESSION' },
  { title: 'FORMAT' },
  { title: 'TURNS', align: 'right' },
  { title: 'LAST TURN' },
  { title: 'AGENTS' },
] as const;

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
  const isWide = width >= ONE_LINE_COLUMNS;
  const rows = sessions.map((session) => [
    style.bold(clip(printable(session.log.name), width === Infinity ? Infinity : NAME_CHARS_MAX)),
    session.log.format,
    String(session.turns),
    ago(session.updatedAtMs, nowMs),
    clip(agentWords(session), width === Infinity ? Infinity : AGENTS_CHARS_MAX),
    ...(isWide ? [questionWords(session)] : []),
  ]);
  const columns = isWide ? [...COLUMNS, { title: 'FIRST QUESTION' }] : COLUMNS;
  const [title = '', ...lines] = tableLines(columns, rows, { width, title: style.dim });
  if (isWide) return [title, ...lines];
  return [
    title,
    ...lines.flatMap((line, at) => {
      const session = sessions[at];
      return session === undefined
        ? [line]
        : [line, `  ${style.dim(clip(questionWords(session), width - 2))}`];
    }),
  ];
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
