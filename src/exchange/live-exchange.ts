import type { Timer } from '../clock.ts';
import { ProxyError } from '../errors.ts';
import type { Usage } from '../gemini/answer-json.ts';
import type { QuotaRules } from '../quota/policy.ts';
import { NO_UNITS } from '../quota/units.ts';
import { blockWords } from '../quota/words.ts';
import type { Admission, Ticket } from '../queue/ticket.ts';
import type { InboundCall, Outcome } from './call.ts';
import { asProxyError, unreachable } from './error-reply.ts';
import type { ExchangeContext, RunningExchange } from './exchange.ts';
import type { LiveClose } from './live-close.ts';
import { closeOf, closeOfRefusal, goingAway, rejectionIn } from './live-close.ts';
import type { ClassifiedSession } from './live-classified.ts';
import { classifySession, handshakeHeaders } from './live-classified.ts';
import { LiveReservation } from './live-reservation.ts';
import { addUsage, liveUsageOf } from './live-usage.ts';
import type { LiveConnecting, LiveWire } from './live-wire.ts';
import { BROKEN, NO_CODE } from './live-wire.ts';
import { canResend } from './rejection-rules.ts';
import { noteRejection, noteSuccess } from './rejections.ts';
import { pricedTokens } from './settlement.ts';

/** A client that has not said by then what it wants is not one; SDKs send their setup at once. */
const SETUP_MS_MAX = 60_000;
/** What a client may send ahead before it is heard; beyond that it is not read until it is. */
const HELD_BYTES_MAX = 8_388_608;
/** A session that meets 429s is tried again at most so often. */
const RESENDS_MAX = 3;
const SWITCHING_PROTOCOLS = 101;

/** A Live session as the HTTP edge hands it over, its handshake answered. */
export type LiveCall = Omit<InboundCall, 'body' | 'bodyBytes'>;

export interface LiveParts {
  readonly call: LiveCall;
  readonly client: LiveWire;
}

/**
 * One Live session.
 *
 *   begin ─▶ setup ─▶ waiting ─▶ connecting ─▶ open ─▶ ended
 *                       ▲  │          │
 *                       │  └▶ refused │ 429 that waiting can help
 *                       └─────────────┘ (at most three times)
 *
 * The model stands in the first message, so nothing goes upstream before it. From admission to the
 * end the session holds one request and one of the places of `max_concurrent`. `ended` is reached
 * exactly once; a wire may say more after that, which is charged and nothing else.
 */
export class LiveExchange implements RunningExchange {
  readonly #context: ExchangeContext;
  readonly #parts: LiveParts;
  readonly #receivedTimelineMs: number;
  #setupTimer: Timer | null = null;
  #known: ClassifiedSession | null = null;
  #ticket: Ticket | null = null;
  #reservation: LiveReservation | null = null;
  #connecting: LiveConnecting | null = null;
  #upstream: LiveWire | null = null;
  /** The setup and what came after it, until the upstream has answered; null from then on. */
  #held: (readonly [Buffer, boolean])[] | null = [];
  #heldBytes = 0;
  #isSetUp = false;
  #answered = false;
  #waitStartedMs = 0;
  #queuedMs = 0;
  #waitReason: string | null = null;
  #dispatchedAtMs: number | null = null;
  #firstByteMs: number | null = null;
  #message: string | null = null;
  #resends = 0;
  readonly #rejections: string[] = [];
  #usage: Usage | null = null;
  #usdMicros = 0;
  #requestBytes = 0;
  #responseBytes = 0;
  #ended = false;

  constructor(context: ExchangeContext, parts: LiveParts) {
    this.#context = context;
    this.#parts = parts;
    this.#receivedTimelineMs = context.timeline.nowMs();
  }

  begin(): void {
    const { clock } = this.#context;
    this.#setupTimer = clock.after(SETUP_MS_MAX, () => {
      const seconds = SETUP_MS_MAX / 1000;
      this.#refuse(new ProxyError('BAD_REQUEST', `no setup came within ${seconds} s.`));
    });
    this.#parts.client.listen({
      message: (data, isBinary) => this.#fromClient(data, isBinary),
      drained: () => this.#upstream?.resume(),
      closed: (code, reason) => this.#clientClosed({ code, reason }),
    });
  }

  cut(error: ProxyError): void {
    if (this.#ended) return;
    if (this.#upstream === null) return this.#refuse(error);
    this.#close(goingAway(), 'failed', error.reason);
  }

  #fromClient(data: Buffer, isBinary: boolean): void {
    if (this.#ended) return;
    const { client } = this.#parts;
    this.#requestBytes += data.length;
    if (this.#held !== null) {
      this.#held.push([data, isBinary]);
      this.#heldBytes += data.length;
    }
    const isFull = this.#heldBytes > HELD_BYTES_MAX;
    if (this.#upstream !== null) {
      if (isFull) this.#held = null;
      if (!this.#upstream.send(data, isBinary)) client.pause();
    } else if (isFull) client.pause();
    if (this.#isSetUp) return;
    this.#isSetUp = true;
    this.#setup(data);
  }

  #setup(data: Buffer): void {
    this.#setupTimer?.cancel();
    this.#context.running.add(this);
    try {
      const known = classifySession(this.#context, {
        call: this.#parts.call,
        setup: data,
        receivedAtMs: this.#receivedTimelineMs,
      });
      this.#known = known;
      this.#context.busy.begin(known.agent);
      this.#wait(known, null);
    } catch (error) {
      this.#refuse(asProxyError(error));
    }
  }

  /** Into the queue; after a 429 to its head, with the close that stands if there is no time left. */
  #wait(known: ClassifiedSession, rejected: LiveClose | null): void {
    const { scheduler, clock } = this.#context;
    const { requestId } = this.#parts.call;
    this.#waitStartedMs = clock.monotonicMs();
    const urgent = rejected !== null;
    const ticket: Ticket = {
      id: urgent ? `${requestId}.${this.#resends + 1}` : requestId,
      project: known.project,
      requestedModel: known.requestedModel,
      agent: known.agent,
      interactive: known.interactive,
      heldBytes: this.#heldBytes,
      sinceMs: this.#receivedTimelineMs,
      deadlineMs: known.deadlineMs,
      urgent,
      countTokens: null,
      admitted: (admission) => this.#connect(known, ticket, admission),
      refused: (error) => {
        this.#noteWait(ticket);
        if (rejected === null || error.httpStatus !== 429) this.#refuse(error);
        else this.#close(rejected, 'upstream_rejected', null);
      },
      units: known.units,
      ceiling: known.units,
      exact: false,
      blocks: [],
    };
    this.#ticket = ticket;
    scheduler.enqueue(ticket);
  }

  #noteWait(ticket: Ticket): void {
    this.#queuedMs += this.#context.clock.monotonicMs() - this.#waitStartedMs;
    const [block] = ticket.blocks;
    if (block !== undefined) this.#waitReason = blockWords(block);
  }

  #connect(known: ClassifiedSession, ticket: Ticket, admission: Admission): void {
    const context = this.#context;
    this.#noteWait(ticket);
    if (ticket.urgent) this.#resends += 1;
    const rules = context.rulesOf(known.project, known.requestedModel);
    const reservation = new LiveReservation(context, { ticket, rules, admission });
    // It left in the same moment.
    if (this.#ended) return reservation.release();
    this.#tellShadow(known, rules, admission);
    this.#reservation = reservation;
    this.#dispatchedAtMs ??= context.clock.monotonicMs();
    this.#connecting = known.upstream.connect(
      {
        baseUrl: known.settings.upstreamBaseUrl,
        path: known.outbound.path,
        headers: handshakeHeaders(known.outbound.headers, this.#queuedMs),
      },
      {
        open: (wire) => this.#open(known, reservation, wire),
        refused: (status, body) => {
          const close = closeOfRefusal(status, body);
          if (status === 429) return this.#rejected(known, reservation, { close, body });
          reservation.settle({ ...NO_UNITS, requests: 1 });
          this.#close(close, 'upstream_error', null);
        },
        error: (error) => {
          reservation.release();
          this.#refuse(unreachable(error), 'failed');
        },
      },
    );
  }

  #open(known: ClassifiedSession, reservation: LiveReservation, upstream: LiveWire): void {
    const { client } = this.#parts;
    this.#upstream = upstream;
    upstream.listen({
      message: (data, isBinary) => this.#fromUpstream(known, reservation, data, isBinary),
      drained: () => client.resume(),
      closed: (code, reason) => this.#upstreamClosed(known, reservation, { code, reason }),
    });
    let isTaken = true;
    // Kept until the upstream has answered: a 429 may come now as a close, and then it is sent again.
    for (const [data, isBinary] of this.#held ?? []) isTaken = upstream.send(data, isBinary);
    reservation.sent();
    if (isTaken) client.resume();
  }

  #fromUpstream(
    known: ClassifiedSession,
    reservation: LiveReservation,
    data: Buffer,
    isBinary: boolean,
  ): void {
    const turn = liveUsageOf(data);
    if (turn !== null) {
      const usdMicros = priceOf(known, reservation.rules, turn);
      reservation.charge(turn, usdMicros);
      this.#usage = addUsage(this.#usage, turn);
      this.#usdMicros += usdMicros;
    }
    if (this.#ended) return;
    if (!this.#answered) this.#hasAnswered(reservation);
    this.#responseBytes += data.length;
    if (!this.#parts.client.send(data, isBinary)) this.#upstream?.pause();
  }

  #hasAnswered(reservation: LiveReservation): void {
    this.#answered = true;
    this.#held = null;
    this.#firstByteMs =
      this.#context.clock.monotonicMs() - (this.#dispatchedAtMs ?? this.#waitStartedMs);
    reservation.counted();
    noteSuccess(this.#context, reservation.rules.partition);
  }

  #upstreamClosed(known: ClassifiedSession, reservation: LiveReservation, close: LiveClose): void {
    if (this.#ended) return;
    const rejection = rejectionIn(close);
    if (rejection !== null && !this.#answered) {
      return this.#rejected(known, reservation, { close, body: rejection });
    }
    if (rejection !== null) {
      this.#rejections.push(noteRejection(this.#context, reservation.rules, rejection).label);
    }
    const outcome = isGood(close.code) ? 'ok' : close.code === BROKEN ? 'failed' : 'upstream_error';
    this.#close(close, outcome, null);
  }

  /** A 429, as the answer to the handshake or as a close before anything else was said. */
  #rejected(
    known: ClassifiedSession,
    reservation: LiveReservation,
    { close, body }: { readonly close: LiveClose; readonly body: Buffer | string },
  ): void {
    const { rules } = reservation;
    const rejection = noteRejection(this.#context, rules, body);
    this.#rejections.push(rejection.label);
    // The minute's request stays, the day's and the place are given back.
    reservation.settle({ ...NO_UNITS, rejected: 1 });
    if (this.#ended) return;
    this.#upstream = null;
    const canWait =
      rules.enforce &&
      canResend(rejection) &&
      this.#held !== null &&
      this.#resends < RESENDS_MAX &&
      rejection.untilMs <= known.deadlineMs;
    if (canWait) this.#wait(known, close);
    else this.#close(close, 'upstream_rejected', rejection.kind);
  }

  #clientClosed(close: LiveClose): void {
    if (this.#ended) return;
    this.#leaveQueue();
    this.#close(close, this.#answered && isGood(close.code) ? 'ok' : 'cancelled', null);
  }

  #leaveQueue(): void {
    if (this.#ticket !== null && this.#context.scheduler.leave(this.#ticket)) {
      this.#noteWait(this.#ticket);
    }
  }

  /** Ends it with an error of ours. */
  #refuse(error: ProxyError, outcome: Outcome = 'refused'): void {
    if (this.#ended) return;
    this.#leaveQueue();
    this.#message = error.message;
    this.#close(closeOf(error), outcome, error.reason, error.httpStatus);
  }

  /** Tells both sides, as far as they have not told it themselves, and gives back what was held. */
  #close(
    { code, reason }: LiveClose,
    outcome: Outcome,
    why: string | null,
    status = SWITCHING_PROTOCOLS,
  ): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#held = null;
    this.#setupTimer?.cancel();
    if (this.#upstream === null) {
      this.#connecting?.abort();
      this.#reservation?.release();
    }
    this.#upstream?.close(code, reason);
    this.#parts.client.close(code, reason);
    this.#reservation?.settle({
      ...NO_UNITS,
      requests: 1,
      // Turns were charged as they came; where none told, the setup's own tokens stand.
      inputTokens: this.#usage === null ? (this.#known?.units.inputTokens ?? 0) : 0,
    });
    this.#record(outcome, why, status);
  }

  #tellShadow(known: ClassifiedSession, rules: QuotaRules, { ignored }: Admission): void {
    const [block] = ignored;
    if (block === undefined || known.settings.mode !== 'shadow') return;
    this.#context.events.shadowed({
      model: rules.partition.model,
      agent: known.agent,
      reason: blockWords(block),
      waitMs: block.freeAtMs - this.#context.timeline.nowMs(),
    });
  }

  #record(outcome: Outcome, reason: string | null, status: number): void {
    const { busy, clock, events, running, resolveModel } = this.#context;
    running.delete(this);
    const { call } = this.#parts;
    const known = this.#known;
    if (known !== null) busy.end(known.agent);
    const atMs = clock.monotonicMs();
    const durationMs = atMs - call.receivedAtMs;
    const upstreamMs = this.#dispatchedAtMs === null ? 0 : atMs - this.#dispatchedAtMs;
    const record = {
      requestId: call.requestId,
      startedWallMs: clock.wallMs() - durationMs,
      project: known?.project ?? 'default',
      requestedModel: known?.requestedModel ?? '',
      model: known === null ? '' : resolveModel(known.requestedModel),
      method: 'live',
      agent: known?.agent ?? call.agentName ?? '',
      outcome,
      reason,
      message: this.#message,
      status,
      queuedMs: this.#queuedMs,
      waitReason: this.#waitReason,
      upstreamFirstByteMs: this.#firstByteMs,
      upstreamMs,
      durationMs,
      overheadMs: Math.max(0, durationMs - this.#queuedMs - upstreamMs),
      estimatedTokens: known?.units.inputTokens ?? 0,
      usage: this.#usage,
      usdMicros: this.#usdMicros,
      attempt: 1,
      resends: this.#resends,
      rejections: this.#rejections,
      requestBytes: this.#requestBytes,
      responseBytes: this.#responseBytes,
    };
    events.record(record, { headers: call.headers, modelVersion: null });
  }
}

/** Ended because both had said what they wanted to: normal, going away, or without a code. */
function isGood(code: number): boolean {
  return code === 1000 || code === 1001 || code === NO_CODE;
}

function priceOf({ settings }: ClassifiedSession, rules: QuotaRules, usage: Usage): number {
  return settings.price(rules.partition.model, pricedTokens(usage));
}
