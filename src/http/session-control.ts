import type { ContinueRequest } from '../sessions/contracts.ts';
import type { History, PlannedTurn, SessionPage, ShownSession } from '../sessions/conversations.ts';
import type { ContinueAnswer } from './session-views.ts';

/**
 * What the session routes may ask of the daemon. `name` is what stands in the path, decoded once and
 * otherwise as given: whether it leads outside the roots is for the archive to say. All methods
 * reject with a ProxyError; the routes render it as application/problem+json.
 */
export interface SessionControl {
  list(page: { readonly limit: number; readonly cursor: string | null }): Promise<SessionPage>;
  show(name: string): Promise<ShownSession>;
  history(name: string): Promise<History>;
  /** The next request without sending it. */
  plan(name: string, request: ContinueRequest): Promise<PlannedTurn>;
  /**
   * Forwards the next turn and answers through `reply`. Rejects before it has used `reply`, with the
   * status that the client then gets. A rejection after that cuts the connection.
   */
  continue(
    name: string,
    request: ContinueRequest,
    caller: ContinueCaller,
    reply: ContinueReply,
  ): Promise<void>;
}

/** Who continues, and how. */
export interface ContinueCaller {
  /** Also the answer's x-headgate-request-id. */
  readonly requestId: string;
  /** From the x-headgate-agent header; null takes `session:<id>`. */
  readonly agentName: string | null;
  /** The caller's own Gemini key (x-goog-api-key); null for the configured one. */
  readonly apiKey: string | null;
  /** x-headgate-priority and x-headgate-max-wait as given, flat; already found well-formed. */
  readonly controlHeaders: readonly string[];
  /** Whether the model's SSE bytes are wanted as they come. */
  readonly stream: boolean;
  /** Aborted when the client leaves before its answer has ended. */
  readonly signal: AbortSignal;
}

/** Where the answer of a continued session goes: `json`, or `head`, `write` and `end`. */
export interface ContinueReply {
  /**
   * Sends status 200 and the headers at once. `headers` is flat; x-headgate-request-id and
   * cache-control are there already. Called at most once.
   */
  head(headers: readonly string[]): void;
  /** False when the client is slow; `onDrain` fires when it has caught up. */
  write(chunk: Uint8Array): boolean;
  onDrain(listener: () => void): void;
  /** After the turn is on the disk. */
  end(): void;
  /** Cuts the connection: the answer was cut short, or the turn could not be written. */
  destroy(): void;
  /** The whole answer of a call that is not streamed, with further headers, flat. */
  json(answer: ContinueAnswer, headers: readonly string[]): void;
}
