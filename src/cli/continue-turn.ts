import type { ContinueRequest } from '../sessions/contracts.ts';
import type {
  Conversations,
  FinishedTurn,
  PlannedTurn,
  RepeatedTurn,
} from '../sessions/conversations.ts';
import { sessionAgentName } from '../sessions/session-agent.ts';
import type { CallTarget } from './call-target.ts';
import type { CliContext } from './context.ts';
import { callModel } from './model-call.ts';
import { showWaiting } from './queue-line.ts';

export interface TurnOptions {
  readonly context: CliContext;
  readonly conversations: Conversations;
  /** As users name it. */
  readonly name: string;
  readonly request: ContinueRequest;
  /** Aborts the call; then nothing is written. */
  readonly signal: AbortSignal;
  /** Asked when there is something to send. */
  readonly target: () => Promise<CallTarget>;
  readonly onPlanned: (planned: PlannedTurn) => void;
  readonly onText: (text: string) => void;
}

/** A turn that is on the disk. */
export type Turned =
  | {
      readonly kind: 'taken';
      readonly planned: PlannedTurn;
      readonly finished: FinishedTurn;
      /** Time in the queue, ms; null where it is not known. */
      readonly queuedMs: number | null;
    }
  | RepeatedTurn;

/**
 * Takes one turn: claims the session, asks the model, writes what it answered. Whatever goes wrong
 * on the way gives the claim back and leaves the log as it was.
 */
export async function takeTurn(options: TurnOptions): Promise<Turned> {
  const { context, conversations, name, request, signal, onText } = options;
  const begun = await conversations.begin(name, request);
  if (begun.kind === 'repeated') return begun;
  let isClaimed = true;
  try {
    options.onPlanned(begun);
    const target = await options.target();
    const agent = sessionAgentName(begun);
    const waiting = showWaiting(context, target, agent);
    const { model } = begun.continuation;
    const onBegin = (): void => waiting.end();
    const call = { agent, model, body: begun.body, signal, onBegin, onText };
    const { queuedMs, ...answer } = await callModel(target, call, context.clock).finally(onBegin);
    // From here on it is the writer's: `finish` gives the claim back in any case.
    isClaimed = false;
    const finished = await conversations.finish(begun.claim, answer);
    return { kind: 'taken', planned: begun, finished, queuedMs };
  } finally {
    if (isClaimed) await conversations.abandon(begun.claim);
  }
}
