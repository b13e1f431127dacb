import type { Command } from 'commander';
import type { ExplainView } from '../http/views.ts';
import { CommandFailure, type CliContext, printJson, printLine } from './context.ts';
import { addClientOptions, type ClientFlags, withDaemon } from './daemon-client.ts';
import { printable, type Style, styleFor } from './style.ts';
import { tableLines } from './table.ts';
import { duration, thousands, timeOfDay } from './words.ts';

interface ExplainFlags extends ClientFlags {
  readonly tokens?: string;
  readonly agent?: string;
  readonly project?: string;
  readonly json?: boolean;
}

export function addExplain(program: Command, context: CliContext): void {
  addClientOptions(
    program
      .command('explain')
      .description('would this call pass now; if not, which limit, and when; changes nothing')
      .argument('<model>', 'as a client would name it')
      .option('--tokens <n>', 'input tokens of the call (default: 0)')
      .option('--agent <name>', 'who calls: the first call of a new agent may have to wait')
      .option('--project <name>', 'whose quota (default: default)')
      .option('--json', 'print JSON'),
  )
    .addHelpText(
      'after',
      `
Examples:
  headgate explain gemini-2.5-pro
  headgate explain gemini-2.5-flash --tokens 120000
  headgate explain gemini-2.5-pro --agent critic --json`,
    )
    .action((model: string, flags: ExplainFlags) => explain(context, model, flags));
}

async function explain(context: CliContext, model: string, flags: ExplainFlags): Promise<void> {
  const { agent, project } = flags;
  const tokens = tokensOf(flags.tokens);
  const view = await withDaemon(context, flags, (daemon) =>
    daemon.ask<ExplainView>('POST', '/limits/explain', {
      model,
      tokens,
      ...(agent === undefined ? {} : { agent }),
      ...(project === undefined ? {} : { project }),
    }),
  );
  if (flags.json === true) return printJson(context.stdout, view);
  const style = styleFor(context.stdout, context.env);
  const resolved = view.model === model ? '' : ` (counted as ${printable(view.model)})`;
  const size = tokens === 0 ? 'a call' : `a call of ${thousands(tokens)} input tokens`;
  printLine(
    context.stdout,
    `${style.bold(printable(model))}${resolved}: ${size} ${verdict(view, style)}`,
  );
  const nowMs = context.clock.wallMs();
  const rows = view.limited_by.map((limit) => [
    `  ${printable(limit.policy)}`,
    printable(limit.message),
    limit.free_at === null ? '' : `free at ${timeOfDay(limit.free_at, nowMs)}`,
  ]);
  const columns = [{ title: '' }, { title: '' }, { title: '' }];
  for (const line of tableLines(columns, rows).slice(1)) printLine(context.stdout, line);
}

function verdict({ admit, wait_ms }: ExplainView, style: Style): string {
  if (admit) return style.green('would pass now');
  if (wait_ms === null) return style.red('would not pass');
  return style.yellow(`would wait ${duration(wait_ms)}`);
}

function tokensOf(text: string | undefined): number {
  if (text === undefined) return 0;
  const tokens = Number(text.replaceAll(/[_,]/g, ''));
  if (Number.isSafeInteger(tokens) && tokens >= 0) return tokens;
  throw new CommandFailure('usage', `--tokens is '${text}'; say a whole number`);
}
