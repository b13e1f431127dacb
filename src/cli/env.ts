import type { Command } from 'commander';
import { CLIENT_SETTINGS, keyOf, settingText, variablesOf } from './client-setting.ts';
import { CommandFailure, type CliContext, printJson, printLine } from './context.ts';
import { type DaemonAddress, locateDaemon } from './daemon-client.ts';
import { columnsOf, styleFor, wrapped } from './style.ts';
import { tableLines } from './table.ts';

interface EnvFlags {
  readonly url?: string;
  readonly config?: string;
  readonly agent?: string;
  readonly json?: boolean;
}

/** What headgate takes as a name in /agents/NAME; a test holds both against each other. */
export const AGENT_PATTERN = /^[A-Za-z0-9._:@-]{1,64}$/;

/** The longest note takes five lines of a terminal of 40 columns. */
const NOTE_LINES_MAX = 8;

export function addEnv(program: Command, context: CliContext): void {
  program
    .command('env')
    .description('prints the settings that point a client here; without a name, the clients')
    .argument('[client]', `one of ${[...CLIENT_SETTINGS.keys()].slice(0, 4).join(', ')}, ...`)
    .option(
      '--agent <name>',
      'who calls: a header where the client can set one, else in the address',
    )
    .option('--json', 'print JSON')
    .optionsGroup('Which daemon:')
    .option('--url <url>', 'its address; else $HEADGATE_URL, else `listen` of the configuration')
    .option('--config <file>', 'the configuration that it runs with')
    .addHelpText(
      'after',
      `
Examples:
  headgate env                             the clients that are known
  eval "$(headgate env gemini-cli)"        point Gemini CLI here, in this shell
  headgate env massgen
  headgate env openai --agent critic --json`,
    )
    .action((client: string | undefined, flags: EnvFlags) => env(context, client, flags));
}

function env(context: CliContext, client: string | undefined, flags: EnvFlags): void {
  const { agent = null, json = false } = flags;
  if (client === undefined) return list(context, json);
  const setting = CLIENT_SETTINGS.get(client.toLowerCase());
  if (setting === undefined) {
    const known = [...CLIENT_SETTINGS.keys()].join(', ');
    throw new CommandFailure('usage', `no settings are known for '${client}'; clients: ${known}`);
  }
  if (agent !== null && (!AGENT_PATTERN.test(agent) || agent === '.' || agent === '..')) {
    throw new CommandFailure(
      'usage',
      `--agent is '${agent}'; use 1 to 64 letters, digits, or any of . _ : @ -`,
    );
  }
  const address = locateDaemon(context, flags);
  const needsToken = asksForToken(address);
  const target = { url: address.url, agent, needsToken };
  const notes = [...setting.notes, ...notesOn(address, needsToken)];
  if (json) {
    printJson(context.stdout, {
      client: client.toLowerCase(),
      url: address.url,
      agent,
      variables: variablesOf(setting, target),
      key: { variable: setting.keyVariable, ...keyOf(target) },
      language: setting.language,
      lines: setting.lines(target),
      notes,
    });
    return;
  }
  for (const line of settingText(setting, target)) printLine(context.stdout, line);
  const style = styleFor(context.stderr, context.env);
  for (const note of notes) {
    for (const line of terminalLines(note, context.stderr)) {
      printLine(context.stderr, style.dim(line));
    }
  }
}

/** Broken at spaces on a terminal; whoever reads it from a pipe gets it whole. */
function terminalLines(note: string, stderr: CliContext['stderr']): readonly string[] {
  return stderr.isTTY ? wrapped(note, columnsOf(stderr), NOTE_LINES_MAX) : [note];
}

/** Beyond loopback headgate runs only with a token, whether it is known here or not. */
function asksForToken({ url, token, isNamed }: DaemonAddress): boolean {
  return token !== null || (isNamed && !isLoopback(url));
}

/** What holds for every client of this daemon. No secret is printed: it would stay in the terminal. */
function notesOn({ url }: DaemonAddress, needsToken: boolean): string[] {
  const notes = [
    needsToken
      ? "As API key the client sends headgate's admin.token, here from $HEADGATE_TOKEN; headgate puts its own key in its place."
      : 'A key of the client\'s own goes through as it is; "headgate" stands for the key that headgate has configured.',
  ];
  if (url.startsWith('https:')) {
    notes.push(
      'The client must trust the certificate: NODE_EXTRA_CA_CERTS for Node, SSL_CERT_FILE for Python.',
    );
  }
  return notes;
}

function isLoopback(url: string): boolean {
  const { hostname } = new URL(url);
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.[\d.]+$/.test(hostname);
}

function list({ stdout, stderr, env: variables }: CliContext, json: boolean): void {
  const clients = [...CLIENT_SETTINGS].map(([name, { title }]) => ({ name, title }));
  if (json) return printJson(stdout, { clients });
  const rows = clients.map(({ name, title }) => [name, title]);
  for (const line of tableLines([{ title: 'CLIENT' }, { title: '' }], rows)) {
    printLine(stdout, line);
  }
  printLine(stderr, styleFor(stderr, variables).dim('headgate env CLIENT prints its settings.'));
}
