import type { Command } from 'commander';
import { continueAnswer, dryRunAnswer, repeatedAnswer } from '../http/session-views.ts';
import type { ContinueRequest } from '../sessions/contracts.ts';
import type { Conversations } from '../sessions/conversations.ts';
import { type CallTarget, lazyTarget, openTarget } from './call-target.ts';
import { CommandFailure, type CliContext, printJson, printLine } from './context.ts';
import { chat } from './continue-chat.ts';
import {
  addContinueOptions,
  type ContinueFlags,
  type TurnSettings,
  turnSettingsOf,
} from './continue-flags.ts';
import { takeTurn } from './continue-turn.ts';
import { dryRunLine, introLines, noteLines, writtenLine } from './continue-words.ts';
import { withConversations } from './conversations.ts';
import { readMessage } from './message-input.ts';
import { askMessage } from './prompt.ts';
import { configLoader } from './serve.ts';
import { createSpeech, repeatedLine, stopped, talkOptions, untilStopped } from './speech.ts';

export function addContinue(program: Command, context: CliContext): void {
  addContinueOptions(
    program
      .command('continue')
      .description('the next turn of a past conversation; also as headgate --continue [LOG_DIR]')
      .argument('[log-dir]', 'a name as listed, a session id, any path; else the newest'),
  )
    .addHelpText(
      'after',
      `
Examples:
  headgate continue                                    talk on with the newest
  headgate continue log_20260301_101500 -m "And in French?"
  git diff | headgate continue -m - --agent critic --set temperature=0.2
  headgate continue ./logs/run_7 --model gemini-2.5-pro -m "Sum up" --dry-run
  headgate --continue ./logs/run_7 -m "Sum up" --json | jq -r .text

On a terminal without -m it asks for message after message: Ctrl-C stops an answer, Ctrl-D ends.
A daemon need not run; the same quota counts. A call that fails writes nothing.`,
    )
    .action((logDir: string | undefined, flags: ContinueFlags) =>
      continueSession(context, logDir ?? null, flags),
    );
}

/** The next turn, or on a terminal as many as the person likes. Null is the newest session. */
export async function continueSession(
  context: CliContext,
  logDir: string | null,
  flags: ContinueFlags,
): Promise<void> {
  const { stdin, stderr } = context;
  const settings = turnSettingsOf(context, flags);
  const isTerminal = stdin.isTTY && stderr.isTTY && flags.message === undefined;
  const isChat = isTerminal && flags.dryRun !== true && flags.json !== true;
  if (isChat && settings.idempotencyKey !== null) {
    throw new CommandFailure('usage', '--idempotency-key is for one message; give it with -m');
  }
  const { simulate, rateLimit, sessions, config } = flags;
  const given = {
    ...(config === undefined ? {} : { config }),
    ...(sessions === undefined ? {} : { sessions }),
    ...(simulate === undefined ? {} : { simulate }),
    ...(rateLimit === undefined ? {} : { rateLimit }),
  };
  const load = configLoader(context, given);
  // A mistake in it is told before anybody types a message.
  load();
  const loadOwn = configLoader(context, { ...given, listen: '127.0.0.1:0' });
  const lazy = lazyTarget(() => openTarget(context, flags, loadOwn));
  const name = logDir ?? 'latest';
  const isNamed = sessions === undefined && config === undefined;
  try {
    if (isChat) {
      await withConversations(context, load, (conversations) =>
        chat({ context, conversations, name, settings, target: lazy.get, isNamed }),
      );
    } else {
      const message = await messageOf(context, flags, isTerminal);
      await withConversations(context, load, (conversations) =>
        takeOne({ context, conversations, name, settings, target: lazy.get, message, flags }),
      );
    }
  } finally {
    await lazy.close();
  }
}

async function messageOf(
  context: CliContext,
  { message }: ContinueFlags,
  isTerminal: boolean,
): Promise<string> {
  if (message !== undefined && message !== '-') {
    if (message.trim() !== '') return message;
    throw new CommandFailure('usage', 'the message is empty; say something with -m TEXT');
  }
  if (isTerminal) {
    const asked = await askMessage(context, talkOptions(context).style, []);
    if (asked !== null && asked.trim() !== '') return asked;
    throw new CommandFailure('usage', 'there is no message; give one with -m TEXT');
  }
  if (message === undefined && context.stdin.isTTY) {
    throw new CommandFailure('usage', 'there is no message; give one with -m TEXT or on stdin');
  }
  return readMessage(context);
}

interface OneTurn {
  readonly context: CliContext;
  readonly conversations: Conversations;
  readonly name: string;
  readonly settings: TurnSettings;
  readonly target: () => Promise<CallTarget>;
  readonly message: string;
  readonly flags: ContinueFlags;
}

async function takeOne(turn: OneTurn): Promise<void> {
  const { context, conversations, name, settings, target, message, flags } = turn;
  const { stdout, stderr } = context;
  const talk = talkOptions(context);
  const say = (lines: readonly string[]): void => {
    for (const line of lines) printLine(stderr, line);
  };
  const request: ContinueRequest = { ...settings, message, parts: null };
  if (flags.dryRun === true) return planOne(turn, request);
  const speech = createSpeech(stdout);
  const isJson = flags.json === true;
  const turned = await untilStopped((signal) =>
    takeTurn({
      context,
      conversations,
      name,
      request,
      signal,
      async target() {
        const opened = await target();
        say(['']);
        return opened;
      },
      onPlanned(planned) {
        say([...introLines(planned, talk), ...noteLines(planned.continuation, talk)]);
      },
      onText: isJson ? () => undefined : speech.say,
    }).catch((error: unknown) => {
      speech.end();
      throw signal.aborted ? stopped(error) : error;
    }),
  );
  if (turned.kind === 'repeated') {
    if (isJson) printJson(stdout, repeatedAnswer(turned));
    else speech.finish(turned.text);
    return printLine(stderr, repeatedLine(turned, talk));
  }
  const { planned, finished, queuedMs } = turned;
  if (isJson) printJson(stdout, continueAnswer(planned, finished));
  else speech.finish(finished.text);
  say(noteLines({ conflicts: [], warnings: finished.warnings }, talk));
  printLine(stderr, writtenLine(finished, queuedMs, talk));
}

async function planOne(
  { context, conversations, name, flags }: OneTurn,
  request: ContinueRequest,
): Promise<void> {
  const talk = talkOptions(context);
  const planned = await conversations.plan(name, request);
  const view = dryRunAnswer(planned, true);
  const intro = [...introLines(planned, talk), ...noteLines(planned.continuation, talk)];
  for (const line of intro) printLine(context.stderr, line);
  printLine(context.stderr, dryRunLine(view.request.path, view.tokens_estimated, talk));
  printJson(context.stdout, flags.json === true ? view : view.request.body);
}
