import type { Clock } from '../clock.ts';
import { ProxyError } from '../errors.ts';
import type { InboundCall, ReplySink } from '../exchange/call.ts';
import { PLACEHOLDER_KEY } from '../gemini/auth.ts';
import { type BodyFacts, BodyScanner } from '../gemini/body-scan.ts';
import { classify, type Endpoint } from '../gemini/route.ts';
import type { ContinueCaller, ContinueReply, SessionControl } from '../http/session-control.ts';
import { continueAnswer, repeatedAnswer, sessionHeaders } from '../http/session-views.ts';
import type { Logger } from '../log.ts';
import type { ContinueRequest } from '../sessions/contracts.ts';
import type {
  Conversations,
  FinishedTurn,
  PlannedTurn,
  RepeatedTurn,
} from '../sessions/conversations.ts';
import { sessionAgentName } from '../sessions/session-agent.ts';
import { type ContinuedAnswer, ContinuationSink } from './continuation-sink.ts';

export interface SessionDeskOptions {
  readonly conversations: Conversations;
  readonly clock: Clock;
  readonly exchange: {
    take(call: InboundCall, facts: BodyFacts, endpoint: Endpoint, sink: ReplySink): void;
  };
  readonly logger: Logger;
  readonly version: string;
  /** Counts one continued turn, by the format of its log. */
  readonly recordContinuation: (format: string, outcome: ContinuationOutcome) => void;
}

export type ContinuationOutcome = 'ok' | 'repeated' | 'failed' | 'cancelled';

/** Session routes on one side, the one way to the upstream on the other. */
export interface SessionDesk extends SessionControl {
  /** Turns that are being taken. */
  readonly running: number;
  /** Whether the exchange with this id is a turn of a session, which is written with the session. */
  isContinuing(requestId: string): boolean;
}

/** Why an answer that came to its end is no turn. */
const WHOLE_ANSWER: ReadonlySet<string> = new Set(['NO_ANSWER', 'TURN_NOT_WRITTEN']);

/** google.rpc.ErrorInfo, as in error-body.ts. */
const ERROR_INFO_TYPE = 'type.googleapis.com/google.rpc.ErrorInfo';

export function createSessionDesk(options: SessionDeskOptions): SessionDesk {
  const { conversations, logger, recordContinuation } = options;
  const continuing = new Set<string>();

  async function take(
    planned: PlannedTurn,
    caller: ContinueCaller,
    reply: ContinueReply,
  ): Promise<void> {
    const { format, name } = planned.log;
    let isClaimed = true;
    let isStreaming = false;
    const watched: ContinueReply = {
      ...reply,
      head(headers) {
        isStreaming = true;
        reply.head(headers);
      },
    };
    try {
      const answer = await forward(options, planned, caller, watched);
      isClaimed = false;
      const finished = await conversations.finish(planned.claim, answer);
      recordContinuation(format, 'ok');
      tellWritten(logger, planned, finished, caller);
      deliver(planned, finished, answer, caller, reply);
    } catch (error) {
      const isCancelled = error instanceof ProxyError && error.reason === 'CANCELLED';
      recordContinuation(format, isCancelled ? 'cancelled' : 'failed');
      logger.info(`session ${name}: turn ${planned.turn} was not taken: ${messageOf(error)}`, {
        requestId: caller.requestId,
      });
      if (!isStreaming) throw error;
      endStream(error, reply);
    } finally {
      if (isClaimed) await conversations.abandon(planned.claim);
    }
  }

  return {
    list: (page) => conversations.list(page),
    show: (name) => conversations.show(name),
    history: (name) => conversations.history(name),
    plan: (name, request) => conversations.plan(name, request),
    get running() {
      return continuing.size;
    },
    isContinuing: (requestId) => continuing.has(requestId),
    async continue(
      name: string,
      request: ContinueRequest,
      caller: ContinueCaller,
      reply: ContinueReply,
    ) {
      continuing.add(caller.requestId);
      try {
        const begun = await conversations.begin(name, request);
        if (begun.kind === 'planned') return await take(begun, caller, reply);
        recordContinuation(begun.log.format, 'repeated');
        repeat(begun, caller, reply);
      } finally {
        continuing.delete(caller.requestId);
      }
    },
  };
}

/** Joins the path of any counted call at its second stop; resolves with the model's whole answer. */
function forward(
  { clock, exchange, version }: SessionDeskOptions,
  planned: PlannedTurn,
  caller: ContinueCaller,
  reply: ContinueReply,
): Promise<ContinuedAnswer> {
  const body = Buffer.from(planned.body.buffer, planned.body.byteOffset, planned.body.byteLength);
  const { model } = planned.continuation;
  // A tuned model is no `models/` resource.
  const resource = model.includes('/') ? model : `models/${model}`;
  const verb = caller.stream ? 'streamGenerateContent?alt=sse' : 'generateContent';
  const path = `/v1beta/${resource.split('/').map(encodeURIComponent).join('/')}:${verb}`;
  const call: InboundCall = {
    requestId: caller.requestId,
    method: 'POST',
    path,
    headers: [
      'content-type',
      'application/json',
      'user-agent',
      `headgate/${version}`,
      'x-goog-api-key',
      caller.apiKey ?? PLACEHOLDER_KEY,
      ...caller.controlHeaders,
    ],
    body: [body],
    bodyBytes: body.length,
    agentName: caller.agentName ?? sessionAgentName(planned),
    sessionName: null,
    receivedAtMs: clock.monotonicMs(),
  };
  const scanner = new BodyScanner();
  scanner.push(body);
  return new Promise((resolve, reject) => {
    const sink = new ContinuationSink({
      clock,
      requestId: caller.requestId,
      signal: caller.signal,
      // What a client of the stream is told before the first byte of it.
      stream: caller.stream ? { reply, headers: sessionHeaders(planned.log, planned.turn) } : null,
      resolve,
      reject,
    });
    exchange.take(call, scanner.end(), classify('POST', path), sink);
  });
}

function deliver(
  planned: PlannedTurn,
  finished: FinishedTurn,
  answer: ContinuedAnswer,
  { stream }: ContinueCaller,
  reply: ContinueReply,
): void {
  if (stream) return reply.end();
  const headers = [...answer.ownHeaders, ...sessionHeaders(planned.log, finished.turn)];
  reply.json(continueAnswer(planned, finished), headers);
}

/**
 * The model's bytes are out, and no turn came of them. A cut answer is cut for the client too; anything
 * else is told in a last event of the kind that Gemini's clients take for an error.
 */
function endStream(error: unknown, reply: ContinueReply): void {
  const isWhole = error instanceof ProxyError && WHOLE_ANSWER.has(error.reason);
  if (!isWhole) return reply.destroy();
  const { httpStatus: code, message, rpcStatus: status, reason } = error;
  const details = [{ '@type': ERROR_INFO_TYPE, reason, domain: 'headgate' }];
  const event = JSON.stringify({ error: { code, message, status, details } });
  reply.write(Buffer.from(`data: ${event}\r\n\r\n`));
  reply.end();
}

/** The turn as it was taken; a stream is one event then. */
function repeat(turn: RepeatedTurn, { stream }: ContinueCaller, reply: ContinueReply): void {
  const headers = sessionHeaders(turn.log, turn.turn);
  if (!stream) return reply.json(repeatedAnswer(turn), headers);
  reply.head(['content-type', 'text/event-stream', ...headers]);
  reply.write(Buffer.from(`data: ${JSON.stringify(turn.response)}\r\n\r\n`));
  reply.end();
}

function tellWritten(
  logger: Logger,
  { log, continuation, sessionId }: PlannedTurn,
  { turn, directory, where }: FinishedTurn,
  { requestId }: ContinueCaller,
): void {
  const place = where === 'in_place' ? directory : `${directory} (not in the log itself)`;
  logger.info(`session ${log.name}: turn ${turn} by ${continuation.agent} is in ${place}`, {
    requestId,
    sessionId,
    model: continuation.model,
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
