import type { Command } from 'commander';
import type { LoadedConfig } from '../config/loaded.ts';
import { ProxyError } from '../errors.ts';
import type { Conversations } from '../sessions/conversations.ts';
import { asObject, type JsonObject } from './answer-stream.ts';
import { CommandFailure, type CliContext } from './context.ts';
import { collect } from './serve.ts';
import { columnsOf, oneLine, printableText } from './style.ts';
import { tableLines } from './table.ts';
import { counted } from './words.ts';

/** How a command finds past conversations. */
export interface SessionFlags {
  readonly config?: string;
  readonly sessions?: readonly string[];
}

/** Lines of details under a message. */
const DETAIL_LINES_MAX = 40;
const CELL_CHARS_MAX = 200;

export function addSessionOptions(command: Command): Command {
  return command
    .option('--sessions <dir>', 'where past conversations are; may be repeated', collect)
    .option('--config <file>', 'configuration file; else the one that serve would find');
}

/**
 * Opens past conversations here, without a daemon: any path that the user can read may be named.
 * What they refuse becomes a CommandFailure with its choices.
 */
export async function withConversations<T>(
  context: CliContext,
  load: () => LoadedConfig,
  work: (conversations: Conversations) => Promise<T>,
): Promise<T> {
  const conversations = context.conversations ?? (await open(context, load()));
  try {
    return await work(conversations);
  } catch (error) {
    throw explained(error, context);
  } finally {
    await conversations.close();
  }
}

async function open(
  { clock, env, cwd }: CliContext,
  { storage, sessions }: LoadedConfig,
): Promise<Conversations> {
  // Here and not above: it loads SQLite, which the other commands do without.
  const { openConversations } = await import('../operation/open-conversations.ts');
  const home = env['HOME'] ?? '';
  return openConversations({
    databasePath: storage.path,
    clock,
    home: home === '' ? null : home,
    settings: () => sessions,
    reach: { cwd },
  });
}

/** A refusal with what there is to choose from; anything else as it is. */
export function explained(error: unknown, context: CliContext): unknown {
  if (!(error instanceof ProxyError)) return error;
  const width = context.stderr.isTTY ? columnsOf(context.stderr) : Infinity;
  const lines = [printableText(error.message), ...detailLines(error, width)];
  const outcome = error.reason === 'CONFIG_INVALID' ? 'badConfig' : 'failed';
  return new CommandFailure(outcome, lines.join('\n'), error);
}

function detailLines({ details }: ProxyError, width: number): readonly string[] {
  const { agents, roots } = details ?? {};
  const rows = [...entriesOf(agents).map(agentRow), ...entriesOf(roots).map(rootRow)];
  const columns = [{ title: '' }, { title: '' }, { title: '' }];
  return tableLines(columns, rows.slice(0, DETAIL_LINES_MAX), { width: width - 2 })
    .slice(1)
    .map((line) => `  ${line}`);
}

function agentRow({ id, type, model }: JsonObject): readonly string[] {
  return [cell(id), cell(type), cell(model)];
}

/** What is there first: paths are long, and the end of a line is what a narrow terminal cuts. */
function rootRow({ root, exists, sessions, newest }: JsonObject): readonly string[] {
  if (exists !== true) return ['not there', cell(root)];
  const last = cell(newest);
  return [
    sessions === 0 ? 'no session' : counted(Number(sessions), 'session'),
    cell(root),
    last === '' ? '' : `newest: ${last}`,
  ];
}

/** The members of a list that are objects; none where it is no list. */
function entriesOf(list: unknown): readonly JsonObject[] {
  return Array.isArray(list)
    ? list.map((entry: unknown) => asObject(entry)).filter((entry) => entry !== null)
    : [];
}

function cell(value: unknown): string {
  return typeof value === 'string' ? oneLine(value, CELL_CHARS_MAX) : '';
}
