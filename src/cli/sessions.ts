import type { Command } from 'commander';
import type { CliContext } from './context.ts';
import { addSessionOptions } from './conversations.ts';
import { listSessions, type ListFlags } from './sessions-list.ts';
import { showSession, type ShowFlags } from './sessions-show.ts';

export function addSessions(program: Command, context: CliContext): void {
  const sessions = program
    .command('sessions')
    .description('past conversations that can be continued')
    .addHelpText('after', EXAMPLES);
  const add = (command: Command): Command =>
    addSessionOptions(command.option('--json', 'print JSON')).addHelpText('after', EXAMPLES);
  add(
    sessions
      .command('list')
      .description('what can be continued, newest first')
      .option('--limit <n>', 'at most so many, up to 1,000', '20'),
  ).action((flags: ListFlags) => listSessions(context, flags));
  add(
    sessions
      .command('show')
      .description('a summary of one')
      .argument('<log-dir>', 'a name as listed, a session id, latest, or any path')
      .option('--full', 'questions and answers whole'),
  ).action((logDir: string, flags: ShowFlags) => showSession(context, logDir, flags));
}

const EXAMPLES = `
Examples:
  headgate sessions list
  headgate sessions list --sessions ~/massgen/.massgen/massgen_logs --limit 5
  headgate sessions show latest
  headgate sessions show log_20260301_101500_123456 --full
  headgate continue log_20260301_101500_123456`;
