import { ProxyError } from '../errors.ts';
import type { ContinueRequest } from '../sessions/contracts.ts';
import type { Conversations, PlannedTurn } from '../sessions/conversations.ts';
import type { CallTarget } from './call-target.ts';
import { CommandFailure, type CliContext, printLine } from './context.ts';
import type { TurnSettings } from './continue-flags.ts';
import { takeTurn } from './continue-turn.ts';
import { comeBackLine, introLines, noteLines, pathOf, writtenLine } from './continue-words.ts';
import { explained } from './conversations.ts';
import { askMessage } from './prompt.ts';
import { createSpeech, talkOptions, untilStopped } from './speech.ts';

export interface ChatOptions {
  readonly context: CliContext;
  readonly conversations: Conversations;
  readonly name: string;
  readonly settings: TurnSettings;
  readonly target: () => Promise<CallTarget>;
  /** Whether the log's name alone finds it again, without flags. */
  readonly isNamed: boolean;
}

/** Stands for a message that nobody has typed yet; never sent. */
const NO_MESSAGE_YET = '?';
/** Messages that the arrow keys go through. */
const HISTORY_MAX = 100;

/**
 * Message after message until Ctrl-D. A turn that fails is told and leaves the log as it was; its
 * message is in reach of the arrow keys.
 */
export async function chat(options: ChatOptions): Promise<void> {
  const { context, conversations, name, settings, target, isNamed } = options;
  const talk = talkOptions(context);
  const say = (line = ''): void => printLine(context.stderr, line);
  const first = await conversations.plan(name, requestOf(settings, NO_MESSAGE_YET));
  for (const line of introLines(first, talk)) say(line);
  const notes = createNotes(say, talk);
  notes.tell(first);
  await target();
  say(talk.style.dim('Ctrl-C stops an answer; Ctrl-D ends.'));
  // Another session may be the newest in a minute; this conversation stays with its own.
  const path = pathOf(first.log);
  let history: readonly string[] = [];
  for (;;) {
    say();
    const message = await askMessage(context, talk.style, history);
    if (message === null) break;
    if (message.trim() === '') continue;
    history = [message.replaceAll('\n', ' '), ...history].slice(0, HISTORY_MAX);
    say();
    const { isLeft } = await answer({ ...options, name: path }, message, notes);
    if (isLeft) break;
  }
  say();
  say(comeBackLine(first.log, isNamed, talk));
}

/** One turn; `isLeft` where the process is asked to stop meanwhile. */
function answer(
  { context, conversations, name, settings, target }: ChatOptions,
  message: string,
  notes: Notes,
): Promise<{ readonly isLeft: boolean }> {
  const talk = talkOptions(context);
  const say = (line: string): void => printLine(context.stderr, line);
  const speech = createSpeech(context.stdout);
  return untilStopped(async (signal) => {
    try {
      const turned = await takeTurn({
        context,
        conversations,
        name,
        request: requestOf(settings, message),
        signal,
        target,
        onPlanned: notes.tell,
        onText: speech.say,
      });
      if (turned.kind === 'repeated') return { isLeft: false };
      const { finished, queuedMs } = turned;
      speech.finish(finished.text);
      for (const line of noteLines({ conflicts: [], warnings: finished.warnings }, talk)) say(line);
      say(writtenLine(finished, queuedMs, talk));
    } catch (error) {
      speech.end();
      if (signal.aborted) say(talk.style.yellow('stopped; nothing was written'));
      else say(`${talk.style.red('headgate:')} ${troubleOf(error, context)}`);
    }
    return { isLeft: signal.aborted && signal.reason !== 'SIGINT' };
  });
}

/** What a person can do something about is told, and the conversation goes on; a fault ends it. */
function troubleOf(error: unknown, context: CliContext): string {
  if (!(error instanceof CommandFailure) && !(error instanceof ProxyError)) throw error;
  const told = explained(error, context);
  return told instanceof Error ? told.message : String(told);
}

interface Notes {
  readonly tell: (planned: PlannedTurn) => void;
}

/** Conflicts and warnings are the same at every turn; each is told once. */
function createNotes(say: (line: string) => void, talk: ReturnType<typeof talkOptions>): Notes {
  const told = new Set<string>();
  return {
    tell({ continuation }) {
      for (const line of noteLines(continuation, talk)) {
        if (!told.has(line)) say(line);
        told.add(line);
      }
    },
  };
}

function requestOf(settings: TurnSettings, message: string): ContinueRequest {
  return { ...settings, message, parts: null };
}
