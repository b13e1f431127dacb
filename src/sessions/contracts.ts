import type { GeminiContent, Session, SessionLog, SessionWarning } from './session.ts';

/**
 * What the parts of this folder and the edges exchange. All of it can be sent to a worker thread and
 * back.
 */

/** Body of `POST /sessions/:logDir/continue`, checked. */
export interface ContinueRequest {
  /** One of `message` and `parts` is not null. */
  readonly message: string | null;
  /** Gemini parts, sent as they are. */
  readonly parts: GeminiContent['parts'] | null;
  readonly agent: string | null;
  readonly model: string | null;
  /** Settings by key, in MassGen's or Gemini's spelling. Wins over `configPath`. */
  readonly config: Readonly<Record<string, unknown>> | null;
  /** A MassGen configuration or a mapping of settings, as YAML or JSON. Wins over the session's. */
  readonly configPath: string | null;
  /** Newest turns to send; null for all. */
  readonly turnsMax: number | null;
  readonly idempotencyKey: string | null;
}

/** A setting about which two sources disagree, or that could not be used. */
export interface Conflict {
  /** Such as temperature. */
  readonly key: string;
  /** Where the value in force is from; null where the key is dropped. */
  readonly used: { readonly from: ConfigSource; readonly value: unknown } | null;
  readonly ignored: { readonly from: ConfigSource; readonly value: unknown };
  /** For people: "temperature: 0.2 (config) instead of 0.7 (session)". */
  readonly message: string;
}

export type ConfigSource = 'request' | 'config' | 'config_path' | 'session';

/** The next request of a session, before it is sent. */
export interface Continuation {
  readonly agent: string;
  /** Without `models/`. */
  readonly model: string;
  /** The whole generateContent body. */
  readonly body: Readonly<Record<string, unknown>>;
  /** Turns that `body` carries before the new message. */
  readonly turnsSent: number;
  readonly tokensEstimated: number;
  readonly conflicts: readonly Conflict[];
  readonly warnings: readonly SessionWarning[];
  /** The new message as the turn's question: its text. */
  readonly question: string;
  /** The agent as the session knows it, with what was overridden; written with the turn. */
  readonly agentConfig: {
    readonly id: string;
    readonly systemMessage: string | null;
    /** Settings in force by MassGen's key, with type and model. */
    readonly backend: Readonly<Record<string, unknown>>;
  };
}

/** A turn that the model has answered, to be written. */
export interface NewTurn {
  readonly question: string;
  /** The new message and the answer, as exchanged. */
  readonly contents: readonly GeminiContent[];
  readonly answer: string;
  readonly model: string;
  readonly agentConfig: Continuation['agentConfig'];
  /** ms since 1970 UTC. */
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly requestId: string;
  readonly idempotencyKey: string | null;
  /** The answer as the upstream sent it; of a stream, its chunks made one. */
  readonly response: Readonly<Record<string, unknown>>;
}

/** A turn that headgate has written, as found again by its idempotency key. */
export interface TakenTurn {
  readonly number: number;
  readonly question: string;
  readonly contents: readonly GeminiContent[];
  readonly answer: string;
  readonly agent: string;
  readonly model: string;
  readonly response: Readonly<Record<string, unknown>>;
}

/** One line of a listing. */
export interface SessionSummary {
  readonly log: SessionLog;
  readonly sessionId: string | null;
  readonly turns: number;
  readonly agents: readonly string[];
  readonly models: readonly string[];
  /** Cut to 200 characters; null where none is recorded. */
  readonly firstQuestion: string | null;
  readonly updatedAtMs: number;
  readonly warnings: number;
}

/** A log that was asked for, how it was found, and what is in it. */
export interface FoundSession {
  readonly log: SessionLog;
  /** For people: "the newest of 12 sessions", "by its session id". */
  readonly foundBy: string;
  readonly session: Session;
}
