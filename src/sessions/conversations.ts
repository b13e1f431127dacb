import type { ContinueRequest, Continuation, SessionSummary } from './contracts.ts';
import type { GeminiContent, Session, SessionLog, SessionWarning } from './session.ts';

/**
 * Everything that can be done with past conversations, for the HTTP edge and the command line alike.
 * In the daemon it works in a thread of its own, so all arguments and results can be sent there.
 * A session is named as users name it: a directory name, a relative path, a session id, `latest`;
 * on the command line any path.
 *
 * Rejects with a ProxyError: NOT_FOUND, SESSION_UNREADABLE, AGENT_UNCLEAR, CONFLICT,
 * IDEMPOTENCY_MISMATCH, BAD_REQUEST, CONFIG_INVALID, TURN_NOT_WRITTEN.
 */
export interface Conversations {
  /** Newest first. `limit` 1 to 1,000. */
  list(page: { limit: number; cursor: string | null }): Promise<SessionPage>;
  show(name: string): Promise<ShownSession>;
  history(name: string): Promise<History>;
  /** The next request without sending it; claims nothing. */
  plan(name: string, request: ContinueRequest): Promise<PlannedTurn>;
  /**
   * Claims the session for one turn and builds its request. The claim is held until `finish` or
   * `abandon`; while it is held, another `begin` of the same session rejects with CONFLICT.
   */
  begin(name: string, request: ContinueRequest): Promise<PlannedTurn | RepeatedTurn>;
  /** Writes the turn; it is on the disk when this resolves. Gives the claim back in any case. */
  finish(claim: string, answer: ModelAnswer): Promise<FinishedTurn>;
  /** Gives the claim back and writes nothing. */
  abandon(claim: string): Promise<void>;
  close(): Promise<void>;
}

export interface SessionPage {
  readonly sessions: readonly SessionSummary[];
  readonly nextCursor: string | null;
}

export interface ShownSession {
  readonly log: SessionLog;
  /** For people: "the newest of 12 sessions", "by its session id". */
  readonly foundBy: string;
  readonly session: Session;
}

export interface History {
  readonly contents: readonly GeminiContent[];
  readonly warnings: readonly SessionWarning[];
}

/** For people: what the conversation was about. */
export interface ConversationSummary {
  readonly turns: number;
  /** The last five at most, each cut to 80 characters. */
  readonly questions: readonly string[];
  /** Cut to 300 characters; null when no turn has one. */
  readonly last_answer: string | null;
}

export interface PlannedTurn {
  readonly kind: 'planned';
  /** Of `begin`; empty for a mere plan. */
  readonly claim: string;
  readonly log: SessionLog;
  readonly foundBy: string;
  readonly sessionId: string | null;
  /** The number that the turn will have. */
  readonly turn: number;
  readonly summary: ConversationSummary;
  /** Without its body, which is below. */
  readonly continuation: Omit<Continuation, 'body'>;
  /** The generateContent request as UTF-8 JSON. */
  readonly body: Uint8Array;
}

/** The turn that was taken under the same idempotency key. */
export interface RepeatedTurn {
  readonly kind: 'repeated';
  readonly log: SessionLog;
  readonly summary: ConversationSummary;
  readonly turn: number;
  readonly agent: string;
  readonly model: string;
  readonly text: string;
  readonly response: Readonly<Record<string, unknown>>;
}

/** What the upstream answered with a status below 400, whole. */
export interface ModelAnswer {
  readonly bytes: Uint8Array;
  readonly contentType: string;
  readonly contentEncoding: string | null;
  /** ms since 1970 UTC. */
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly requestId: string;
}

export interface FinishedTurn {
  readonly turn: number;
  readonly text: string;
  /** The answer as the upstream sent it; of a stream, its chunks made one. */
  readonly response: Readonly<Record<string, unknown>>;
  /** Where it was written: into the log, or into headgate's own record of it. */
  readonly where: 'in_place' | 'beside';
  /** Absolute. */
  readonly directory: string;
  readonly warnings: readonly SessionWarning[];
}
