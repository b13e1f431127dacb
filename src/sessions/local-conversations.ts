import type { Clock, Timer } from '../clock.ts';
import { ProxyError } from '../errors.ts';
import { readAnswer } from './recording/answer-text.ts';
import type { Archive, FoundLog } from './archive/archive.ts';
import type { TurnClaims } from './writing/claims.ts';
import { readConfigFile } from './continuation/config-file.ts';
import { planContinuation } from './continuation/continuation.ts';
import type { ContinueRequest, Continuation, NewTurn } from './contracts.ts';
import type {
  Conversations,
  FinishedTurn,
  History,
  ModelAnswer,
  PlannedTurn,
  RepeatedTurn,
  SessionPage,
  ShownSession,
} from './conversations.ts';
import { historyOf } from './continuation/history.ts';
import type { TurnIntents } from './writing/intents.ts';
import type { GeminiContent, Session } from './session.ts';
import { summaryOf } from './continuation/summary.ts';
import { findTakenTurn, recoverTurns, writeTurn } from './writing/turn-writer.ts';

/** A claim dies 15 s after its last renewal, so that three renewals may be late. */
const RENEWAL_MS = 4_000;

export interface LocalConversationsOptions {
  readonly archive: Archive;
  readonly claims: TurnClaims;
  readonly intents: TurnIntents;
  readonly clock: Clock;
  /** Ids of claims and of temporary directories: unique among all processes. */
  readonly newId: () => string;
  readonly settings: () => {
    readonly roots: readonly string[];
    readonly write: 'in_place' | 'beside';
  };
  /**
   * `roots`: nothing outside the roots is read. A directory: any path that the process can read, and
   * relative ones start there.
   */
  readonly reach: 'roots' | { readonly cwd: string };
  readonly onClose: () => void;
}

/** A session that is taking a turn. */
interface Begun {
  readonly key: string;
  readonly found: FoundLog;
  readonly session: Session;
  readonly continuation: Continuation;
  readonly idempotencyKey: string | null;
  renewal: Timer;
}

/**
 * Past conversations on this machine's disk, in the calling thread.
 *
 *   begin ─▶ claimed ─▶ (the caller asks the model) ─▶ finish ─▶ written, claim given back
 *                                                  └─▶ abandon ─▶ claim given back
 */
export class LocalConversations implements Conversations {
  readonly #options: LocalConversationsOptions;
  readonly #begun = new Map<string, Begun>();

  constructor(options: LocalConversationsOptions) {
    this.#options = options;
  }

  async list(page: { limit: number; cursor: string | null }): Promise<SessionPage> {
    return this.#options.archive.list(page);
  }

  async show(name: string): Promise<ShownSession> {
    const { log, foundBy } = await this.#find(name);
    this.#recoverIfFree(keyOf(log));
    return { log, foundBy, session: this.#options.archive.read(log) };
  }

  async history(name: string): Promise<History> {
    const { session } = await this.show(name);
    return historyOf(session);
  }

  async plan(name: string, request: ContinueRequest): Promise<PlannedTurn> {
    const { log, foundBy, session } = await this.show(name);
    const continuation = this.#continuationOf({ log, foundBy }, session, request);
    return planned({ log, foundBy }, session, continuation, '');
  }

  async begin(name: string, request: ContinueRequest): Promise<PlannedTurn | RepeatedTurn> {
    const { archive, claims, clock, intents, newId } = this.#options;
    const found = await this.#find(name);
    const { log } = found;
    const key = keyOf(log);
    const claim = newId();
    if (!claims.acquire(key, claim)) throw busy(log.name);
    try {
      recoverTurns(key, intents);
      const { idempotencyKey } = request;
      const repeated = idempotencyKey === null ? null : findTakenTurn(log, idempotencyKey);
      const session = archive.read(log);
      if (repeated !== null) {
        claims.release(key, claim);
        checkSameMessage(request, repeated);
        const { number: turn, answer: text, agent, model, response } = repeated;
        const summary = summaryOf(session);
        return { kind: 'repeated', log, summary, turn, agent, model, text, response };
      }
      const continuation = this.#continuationOf(found, session, request);
      const renew = (): void => {
        claims.renew(key, claim);
        begun.renewal = clock.after(RENEWAL_MS, renew);
      };
      const renewal = clock.after(RENEWAL_MS, renew);
      const begun: Begun = { key, found, session, continuation, idempotencyKey, renewal };
      this.#begun.set(claim, begun);
      return planned(found, session, continuation, claim);
    } catch (error) {
      claims.release(key, claim);
      throw error;
    }
  }

  async finish(claim: string, answer: ModelAnswer): Promise<FinishedTurn> {
    const begun = this.#take(claim);
    try {
      return this.#write(begun, answer);
    } finally {
      this.#options.claims.release(begun.key, claim);
    }
  }

  async abandon(claim: string): Promise<void> {
    if (!this.#begun.has(claim)) return;
    this.#options.claims.release(this.#take(claim).key, claim);
  }

  async close(): Promise<void> {
    for (const claim of this.#begun.keys()) await this.abandon(claim);
    this.#options.onClose();
  }

  #write(begun: Begun, answer: ModelAnswer): FinishedTurn {
    const { intents, newId, settings } = this.#options;
    const { found, session, continuation, idempotencyKey } = begun;
    const read = readAnswer(answer.bytes, answer);
    if (read.error !== null || read.text.trim() === '') throw noAnswer(read);
    const { question, model, agentConfig } = continuation;
    const newTurn: NewTurn = {
      question,
      contents: [...newContents(continuation), ...read.contents],
      answer: read.text,
      model,
      agentConfig,
      startedAtMs: answer.startedAtMs,
      endedAtMs: answer.endedAtMs,
      requestId: answer.requestId,
      idempotencyKey,
      response: read.response,
    };
    const options = { write: settings().write, intents, newId };
    const { text, response } = read;
    const written = withText(text, () => writeTurn(found.log, session, newTurn, options));
    const { number: turn, where, directory, warnings } = written;
    return { turn, text, response, where, directory, warnings };
  }

  #find(name: string): Promise<FoundLog> {
    const { archive, reach } = this.#options;
    return reach === 'roots' ? archive.find(name) : archive.findAnywhere(name, reach.cwd);
  }

  /** What a dead writer has left is put right by whoever reads next, unless somebody writes now. */
  #recoverIfFree(key: string): void {
    const { claims, intents, newId } = this.#options;
    if (!intents.has(key)) return;
    const claim = newId();
    if (!claims.acquire(key, claim)) return;
    try {
      recoverTurns(key, intents);
    } finally {
      claims.release(key, claim);
    }
  }

  #continuationOf(found: FoundLog, session: Session, request: ContinueRequest): Continuation {
    const { reach, settings } = this.#options;
    const { configPath } = request;
    const configFile =
      configPath === null
        ? null
        : readConfigFile(configPath, {
            directories: [found.log.directory, ...settings().roots],
            anywhere: reach === 'roots' ? null : reach.cwd,
          });
    return planContinuation(session, request, { configFile });
  }

  #take(claim: string): Begun {
    const begun = this.#begun.get(claim);
    if (begun === undefined) throw new ProxyError('INTERNAL', 'The turn is not under way.');
    this.#begun.delete(claim);
    begun.renewal.cancel();
    return begun;
  }
}

/** Names a log in claims and intents. */
function keyOf({ directory, file }: FoundLog['log']): string {
  return file === null ? directory : `${directory}#${file}`;
}

function planned(
  { log, foundBy }: FoundLog,
  session: Session,
  whole: Continuation,
  claim: string,
): PlannedTurn {
  const { body, ...continuation } = whole;
  return {
    kind: 'planned',
    claim,
    log,
    foundBy,
    sessionId: session.sessionId,
    turn: session.nextTurn,
    summary: summaryOf(session),
    continuation,
    body: new TextEncoder().encode(JSON.stringify(body)),
  };
}

/** The new message: what the request ends with. */
function newContents({ body }: Continuation): readonly GeminiContent[] {
  const contents = body['contents'];
  const last: unknown = Array.isArray(contents) ? contents.at(-1) : undefined;
  // The continuation has put it there itself.
  return last === undefined ? [] : [last as GeminiContent];
}

function busy(name: string): ProxyError {
  return new ProxyError(
    'CONFLICT',
    `${name} is taking another turn just now; one is taken at a time. Wait for its answer, then ` +
      'send this message again. It has cost no quota.',
    { where: 'logDir' },
  );
}

function checkSameMessage(request: ContinueRequest, repeated: { question: string }): void {
  if (request.message === null || request.message.trim() === repeated.question.trim()) return;
  throw new ProxyError(
    'IDEMPOTENCY_MISMATCH',
    'idempotency_key belongs to a turn with another message; use a new key for a new message.',
    { where: 'idempotency_key' },
  );
}

/** An answer that could not be written was paid for all the same: its text goes with the error. */
function withText<Written>(text: string, write: () => Written): Written {
  try {
    return write();
  } catch (error) {
    if (!(error instanceof ProxyError) || error.reason !== 'TURN_NOT_WRITTEN') throw error;
    const { message, where } = error;
    throw new ProxyError('TURN_NOT_WRITTEN', message, { where, details: { text }, cause: error });
  }
}

function noAnswer(read: {
  readonly error: string | null;
  readonly finishReason: string | null;
  readonly response: Readonly<Record<string, unknown>>;
}): ProxyError {
  const why =
    read.error ?? `it gave no text (finishReason ${read.finishReason ?? 'is not told either'})`;
  return new ProxyError('NO_ANSWER', `The model did not answer: ${why}. No turn was written.`, {
    details: { response: read.response },
  });
}
