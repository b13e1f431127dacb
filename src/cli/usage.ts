import type { Command } from 'commander';
import { Option } from 'commander';
import type { UsageSumView, UsageView } from '../http/views.ts';
import { type CliContext, printJson, printLine } from './context.ts';
import { addClientOptions, type ClientFlags, withDaemon } from './daemon-client.ts';
import { columnsOf, printable, styleFor, type Style } from './style.ts';
import { type Column, tableLines } from './table.ts';
import { thousands } from './words.ts';

interface UsageFlags extends ClientFlags {
  readonly by: UsageView['by'];
  readonly since?: string;
  readonly until?: string;
  readonly csv?: boolean;
  readonly json?: boolean;
}

export function addUsage(program: Command, context: CliContext): void {
  addClientOptions(
    program
      .command('usage')
      .description('requests, tokens and dollars by model, agent, project or day')
      .addOption(
        new Option('--by <what>', 'what a row stands for')
          .choices(['model', 'agent', 'project', 'day'])
          .default('model'),
      )
      .option('--since <day>', 'from this day on, as 2026-11-01, or so many days with today, as 7d')
      .option('--until <day>', 'up to this day; today unless told')
      .addOption(new Option('--csv', 'print CSV (RFC 4180)').conflicts('json'))
      .option('--json', 'print JSON'),
  )
    .addHelpText(
      'after',
      `
Examples:
  headgate usage
  headgate usage --by agent --since 7d
  headgate usage --by day --since 2026-11-01 --until 2026-11-30 --csv > november.csv
  headgate usage --json | jq .total.usd

A day is one of Google's quotas: it ends at midnight in Los Angeles. Dollars are those of the
price list on the day of the call; the upstream's bill has the last word.`,
    )
    .action((flags: UsageFlags) => usage(context, flags));
}

async function usage(context: CliContext, flags: UsageFlags): Promise<void> {
  const query = new URLSearchParams({ by: flags.by });
  if (flags.since !== undefined) query.set('since', flags.since);
  if (flags.until !== undefined) query.set('until', flags.until);
  const view = await withDaemon(context, flags, (daemon) =>
    daemon.ask<UsageView>('GET', `/usage?${query.toString()}`),
  );
  const { stdout, stderr, env } = context;
  if (flags.json === true) return printJson(stdout, view);
  if (flags.csv === true) {
    stdout.write(csvOf(view));
    return;
  }
  printLine(stderr, spanWords(view));
  const width = stdout.isTTY ? columnsOf(stdout) : Infinity;
  for (const line of usageTable(view, { style: styleFor(stdout, env), width })) {
    printLine(stdout, line);
  }
}

/** One line for each key and one with the total. */
export function usageTable(
  { by, rows, total }: UsageView,
  { style, width }: { readonly style: Style; readonly width: number },
): string[] {
  const columns: Column[] = [
    { title: by.toUpperCase() },
    ...['REQUESTS', 'INPUT TOKENS', 'OUTPUT TOKENS', 'DOLLARS'].map((title) => ({
      title,
      align: 'right' as const,
    })),
  ];
  const cells = [
    ...rows.map((row) => [keyWords(row.key), ...sumCells(row)]),
    ['total', ...sumCells(total)],
  ];
  const lines = tableLines(columns, cells, { width, title: style.dim });
  return lines.map((line, at) => (at === lines.length - 1 ? style.bold(line) : line));
}

/** RFC 4180: CRLF behind every record, quotes where a field needs them. Without a total. */
export function csvOf({ by, rows }: UsageView): string {
  const records = [
    [by, 'requests', 'input_tokens', 'output_tokens', 'usd'],
    ...rows.map((row) => [
      row.key,
      String(row.requests),
      String(row.input_tokens),
      String(row.output_tokens),
      row.usd.toFixed(6),
    ]),
  ];
  return records.map((fields) => `${fields.map(csvField).join(',')}\r\n`).join('');
}

/**
 * Names come from callers and files are opened with spreadsheets, which take a field that begins
 * with one of = + - @ for a formula: an apostrophe in front makes it text.
 */
function csvField(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** A key may be empty: not every caller names itself. */
function keyWords(key: string): string {
  return key === '' ? '(none)' : printable(key);
}

function sumCells(sum: UsageSumView): string[] {
  return [
    thousands(sum.requests),
    thousands(sum.input_tokens),
    thousands(sum.output_tokens),
    `$${sum.usd.toLocaleString('en-US', { minimumFractionDigits: 4, maximumFractionDigits: 4 })}`,
  ];
}

function spanWords({ since, until, zone }: UsageView): string {
  const days = since === null ? `all days up to ${until}` : `${since} to ${until}`;
  return `${days}; a day ends at midnight in ${zone}`;
}
