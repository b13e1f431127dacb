import type { ProxyError } from '../errors.ts';
import type { AnswerFacts } from '../gemini/answer-reader.ts';
import { endToEnd, headerValue } from '../gemini/headers.ts';
import { UsageTap } from '../gemini/usage.ts';
import type { QuotaRules } from '../quota/policy.ts';
import { NO_UNITS } from '../quota/units.ts';
import { blockWords } from '../quota/words.ts';
import { PLACE_KEPT_MS } from '../queue/lane.ts';
import type { Admission, Ticket } from '../queue/ticket.ts';
import { Attempt } from './attempt.ts';
import type { Outcome, ReplySink } from './call.ts';
import type { CallParts, ClassifiedCall } from './classified-call.ts';
import { classifyCall, looksTooLarge, withExactTokens } from './classified-call.ts';
import { asProxyError, replyWithError, unreachable } from './error-reply.ts';
import type { ExchangeContext, RunningExchange } from './exchange.ts';
import { plainBody } from './plain-body.ts';
import { callFields, rateLimitFields, rateLimitFieldsNow } from './rate-limit-fields.ts';
import { recordedSink } from './recording-sink.ts';
import { canResend } from './rejection-rules.ts';
import type { NotedRejection, RejectedAnswer } from './rejections.ts';
import { noteRejection, noteSuccess } from './rejections.ts';
import type { RecognisedCall } from './returning-calls.ts';
import { learnFrom, priceOf, takenUnits } from './settlement.ts';
import { tellShadow } from './shadow.ts';

/** A call that meets 429s is sent again at most so often. */
const RESENDS_MAX = 3;
/** A 429 is some kilobytes; a longer one is cut off. */
const REJECTION_BYTES_MAX = 8_388_608;

export interface CountedParts extends CallParts {
  readonly sink: ReplySink;
}

/**
 * One counted call.
 *
 *   begin ─▶ waiting ─▶ admitted ─▶ dispatched ─▶ relaying ─▶ ended
 *              ▲  │                     │
 *              │  └─▶ refused           │ 429 that waiting can help
 *              └────────────────────────┘ (at most three times)
 *
 * `ended` is reached exactly once, from anywhere: the client leaves, the daemon stops, the upstream
 * fails. Each admission is one Attempt, which ends in exactly one settle or release.
 */
export class CountedExchange implements RunningExchange {
  readonly #context: ExchangeContext;
  readonly #parts: CountedParts;
  #sink: ReplySink;
  readonly #receivedTimelineMs: number;
  #classified: ClassifiedCall | null = null;
  #recognised: RecognisedCall | null = null;
  /** Whether bytes of it may have reached the upstream, in any of its admissions. */
  #isSent = false;
  #ticket: Ticket | null = null;
  #attempt: Attempt | null = null;
  #waitStartedMs = 0;
  #queuedMs = 0;
  #waitReason: string | null = null;
  #upstreamMs = 0;
  #firstByteMs: number | null = null;
  #status = 0;
  #message: string | null = null;
  #resends = 0;
  #estimatedTokens = 0;
  readonly #rejections: string[] = [];
  #responseBytes = 0;
  #answer: AnswerFacts | null = null;
  #ended = false;

  constructor(context: ExchangeContext, parts: CountedParts) {
    this.#context = context;
    this.#parts = parts;
    this.#sink = parts.sink;
    this.#receivedTimelineMs = context.timeline.nowMs();
  }

  begin(): void {
    this.#context.running.add(this);
    this.#sink.onClose(() => this.#left());
    this.#sink.onDrain(() => this.#attempt?.resume());
    try {
      const { call, sink } = this.#parts;
      const classified = classifyCall(this.#context, this.#parts, this.#receivedTimelineMs);
      this.#recognised = this.#context.returning.recognise(call, classified, {
        isGone: () => sink.isGone === true,
        leave: () => this.#left(),
      });
      const { known } = this.#recognised;
      this.#classified = known;
      this.#context.busy.begin(known.agent);
      this.#sink = recordedSink(this.#context, this.#parts, known);
      this.#estimatedTokens = known.units.inputTokens;
      const { rulesOf } = this.#context;
      const isLarge =
        !known.exact && looksTooLarge(rulesOf(known.project, known.requestedModel), known);
      if (isLarge && known.countTokens !== null) void this.#count(known, known.countTokens);
      else this.#wait(known, null);
    } catch (error) {
      this.#refuse(asProxyError(error));
    }
  }

  cut(error: ProxyError): void {
    if (this.#ended) return;
    if (this.#ticket !== null) this.#context.scheduler.leave(this.#ticket);
    this.#attempt?.abort();
    if (this.#sink.headSent) {
      this.#sink.destroy();
      this.#end('failed', error.reason);
    } else this.#refuse(error);
  }

  async #count(known: ClassifiedCall, count: () => Promise<number | null>): Promise<void> {
    const { clock } = this.#context;
    const startedMs = clock.monotonicMs();
    const tokens = await count();
    this.#queuedMs += clock.monotonicMs() - startedMs;
    if (!this.#ended) this.#wait(tokens === null ? known : withExactTokens(known, tokens), null);
  }

  /** Stop 4: into the queue, or back to its head after a 429. */
  #wait(known: ClassifiedCall, rejected: RejectedAnswer | null): void {
    const { scheduler, clock } = this.#context;
    const { call } = this.#parts;
    this.#waitStartedMs = clock.monotonicMs();
    const previous = this.#ticket;
    const urgent = rejected !== null;
    const ticket: Ticket = {
      id: urgent ? `${call.requestId}.${this.#resends + 1}` : call.requestId,
      project: known.project,
      requestedModel: known.requestedModel,
      agent: known.agent,
      interactive: known.interactive,
      heldBytes: call.bodyBytes,
      sinceMs: known.sinceMs,
      deadlineMs: known.deadlineMs,
      urgent,
      isHop: known.isHop,
      attempt: known.attempt,
      countTokens: known.countTokens,
      admitted: (admission) => this.#dispatch(known, ticket, admission),
      refused: (error) => {
        this.#noteWait(ticket);
        // It has no slot before its deadline after all: what the upstream said is the true answer.
        if (rejected !== null && error.httpStatus === 429) this.#relayRejected(rejected);
        else this.#refuse(error);
      },
      units: previous?.units ?? known.units,
      ceiling: previous?.ceiling ?? known.ceiling,
      exact: previous?.exact ?? known.exact,
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

  /** Stops 5 and 6: admitted, so send it. */
  #dispatch(known: ClassifiedCall, ticket: Ticket, admission: Admission): void {
    this.#noteWait(ticket);
    if (ticket.urgent) this.#resends += 1;
    const rules = this.#context.rulesOf(known.project, known.requestedModel);
    if (this.#ended) {
      // It left in the same moment: give everything back.
      this.#context.scheduler.write(rules.partition, () => {
        this.#context.ledger.release(ticket.id, this.#context.timeline.nowMs());
      });
      this.#context.scheduler.giveBack(ticket);
      return;
    }
    this.#recognised?.over();
    this.#isSent = true;
    tellShadow(this.#context, known, rules, admission);
    if (ticket.exact) this.#estimatedTokens = ticket.units.inputTokens;
    const fields = rateLimitFields(admission.windows, this.#context.timeline.nowMs());
    let tap: UsageTap | null = null;
    let rejected: Buffer[] | null = null;
    let rejectedBytes = 0;
    let head: readonly string[] = [];
    this.#attempt = new Attempt(this.#context, {
      ticket,
      rules,
      starts: admission.starts,
      call: this.#parts.call,
      outbound: known.outbound,
      baseUrl: known.settings.upstreamBaseUrl,
      queuedMs: this.#queuedMs,
      head: (status, headers, firstByteMs) => {
        this.#firstByteMs = firstByteMs;
        head = headers;
        if (status === 429) {
          rejected = [];
          return;
        }
        this.#status = status;
        tap = new UsageTap({
          contentType: headerValue(headers, 'content-type'),
          contentEncoding: headerValue(headers, 'content-encoding'),
        });
        this.#sink.head(status, this.#answerHeaders(headers, fields));
      },
      data: (chunk) => {
        if (rejected !== null) {
          rejectedBytes += chunk.length;
          if (rejectedBytes > REJECTION_BYTES_MAX) this.#attempt?.abort();
          else rejected.push(chunk);
          return true;
        }
        tap?.push(chunk);
        this.#responseBytes += chunk.length;
        return this.#sink.write(chunk);
      },
      end: () => {
        if (rejected !== null) {
          this.#rejected(known, rules, { head, fields, body: Buffer.concat(rejected) });
        } else void this.#answered(known, rules, tap);
      },
      error: (error, wasSent) => void this.#failed(known, rules, error, wasSent, tap),
    });
    this.#attempt.send();
  }

  #answerHeaders(headers: readonly string[], fields: readonly string[]): string[] {
    const own = callFields(this.#parts.call.requestId, this.#queuedMs);
    return [...endToEnd(headers, 'response'), ...own, ...fields];
  }

  /** Stop 8 of an answer that came whole, whatever its status. */
  async #answered(known: ClassifiedCall, rules: QuotaRules, tap: UsageTap | null): Promise<void> {
    // The client need not wait for our accounting.
    this.#sink.end();
    this.#upstreamMs = this.#attempt?.upstreamMs ?? 0;
    const facts = tap === null ? null : await tap.end();
    this.#answer = facts;
    const isOk = this.#status < 400 && (facts?.streamError ?? null) === null;
    const estimated = this.#ticket?.units ?? known.units;
    this.#attempt?.settle(takenUnits(known, rules, { facts, isOk, estimated }));
    if (isOk) {
      noteSuccess(this.#context, rules.partition);
      if (facts !== null) learnFrom(this.#context, known, rules, facts);
    } else if (facts?.streamError?.code === 429) {
      this.#note429(rules, facts.streamError.body);
    }
    this.#end(isOk ? 'ok' : 'upstream_error', null);
  }

  /** A 429. What the client gets depends on whether waiting can help in its time. */
  #rejected(known: ClassifiedCall, rules: QuotaRules, answer: Omit<RejectedAnswer, 'kind'>): void {
    const rejection = this.#note429(rules, plainBody(answer.body, answer.head));
    // The minute's request stays, day and tokens are given back.
    const requests = this.#ticket?.ceiling.requests ?? 1;
    this.#attempt?.settle({ ...NO_UNITS, rejected: requests });
    this.#upstreamMs += this.#attempt?.upstreamMs ?? 0;
    const canWait =
      rules.enforce &&
      canResend(rejection) &&
      this.#resends < RESENDS_MAX &&
      rejection.untilMs <= known.deadlineMs;
    const rejected = { ...answer, kind: rejection.kind };
    if (canWait && !this.#ended) {
      this.#attempt = null;
      this.#wait(known, rejected);
    } else this.#relayRejected(rejected);
  }

  #relayRejected({ head, fields, body, kind }: RejectedAnswer): void {
    if (this.#ended) return;
    this.#status = 429;
    this.#responseBytes += body.length;
    this.#sink.head(429, this.#answerHeaders(head, fields));
    this.#sink.write(body);
    this.#sink.end();
    this.#end('upstream_rejected', kind);
  }

  #note429(rules: QuotaRules, body: Buffer | string): NotedRejection {
    const rejection = noteRejection(this.#context, rules, body);
    this.#rejections.push(rejection.label);
    return rejection;
  }

  async #failed(
    known: ClassifiedCall,
    rules: QuotaRules,
    error: Error,
    wasSent: boolean,
    tap: UsageTap | null,
  ): Promise<void> {
    this.#upstreamMs += this.#attempt?.upstreamMs ?? 0;
    if (!wasSent) this.#notSent();
    const facts = tap === null ? null : await tap.end();
    this.#answer = facts;
    if (wasSent) {
      const estimated = this.#ticket?.units ?? known.units;
      this.#attempt?.settle(takenUnits(known, rules, { facts, isOk: false, estimated }));
    }
    if (this.#ended) return;
    if (this.#sink.headSent) {
      this.#sink.destroy();
      this.#end('failed', null);
      return;
    }
    this.#refuse(unreachable(error), 'failed');
  }

  /** What was admitted never left: as if it had not been admitted. */
  #notSent(): void {
    this.#attempt?.release();
    if (this.#ticket !== null) this.#context.scheduler.giveBack(this.#ticket);
    // Before a resend there was an attempt that did leave.
    this.#isSent = this.#resends > 0;
  }

  /** The client may send the call again, and it is known again unless a part of it is done. */
  #mayReturn(afterMs: number): void {
    if (this.#isSent) return;
    this.#recognised?.remember(this.#context.timeline.nowMs() + afterMs + PLACE_KEPT_MS);
  }

  /** The client has left. */
  #left(): void {
    if (this.#ended) return;
    if (this.#ticket !== null && this.#context.scheduler.leave(this.#ticket)) {
      this.#noteWait(this.#ticket);
    }
    this.#upstreamMs += this.#attempt?.upstreamMs ?? 0;
    this.#attempt?.abort();
    this.#mayReturn(0);
    this.#end('cancelled', null);
  }

  /** Answers with an error of ours. */
  #refuse(error: ProxyError, outcome: Outcome = 'refused'): void {
    if (this.#ended) return;
    const { endpoint, call } = this.#parts;
    this.#status = error.httpStatus;
    this.#message = error.message;
    replyWithError(this.#sink, error, {
      surface: endpoint.surface === 'pass' ? 'gemini' : endpoint.surface,
      array: endpoint.streams === 'array',
      extra: [
        ...callFields(call.requestId, this.#queuedMs),
        ...rateLimitFieldsNow(this.#context, this.#classified),
      ],
    });
    const afterMs = outcome === 'failed' ? 0 : error.retryAfterMs;
    if (afterMs !== null) this.#mayReturn(afterMs);
    this.#end(outcome, error.reason);
  }

  #end(outcome: Outcome, reason: string | null): void {
    if (this.#ended) return;
    this.#ended = true;
    const { busy, clock, events, names, running, resolveModel } = this.#context;
    running.delete(this);
    this.#recognised?.over();
    const { call, endpoint } = this.#parts;
    const known = this.#classified;
    if (known !== null) busy.end(known.agent);
    if (known !== null && call.agentName === null) names.free(known.agent);
    const durationMs = clock.monotonicMs() - call.receivedAtMs;
    const requestedModel = known?.requestedModel ?? endpoint.model ?? '';
    const { usage = null, modelVersion = null } = this.#answer ?? {};
    const model = known === null ? requestedModel : resolveModel(requestedModel);
    const record = {
      requestId: call.requestId,
      startedWallMs: clock.wallMs() - durationMs,
      project: known?.project ?? 'default',
      requestedModel,
      model,
      method: endpoint.method,
      agent: known?.agent ?? call.agentName ?? '',
      outcome,
      reason,
      message: this.#message,
      status: this.#status,
      queuedMs: this.#queuedMs,
      waitReason: this.#waitReason,
      upstreamFirstByteMs: this.#firstByteMs,
      upstreamMs: this.#upstreamMs,
      durationMs,
      overheadMs: Math.max(0, durationMs - this.#queuedMs - this.#upstreamMs),
      estimatedTokens: this.#estimatedTokens,
      usage,
      usdMicros: usage === null || known === null ? 0 : priceOf(known, model, usage),
      attempt: known?.attempt ?? 1,
      resends: this.#resends,
      rejections: this.#rejections,
      requestBytes: call.bodyBytes,
      responseBytes: this.#responseBytes,
    };
    events.record(record, { headers: call.headers, modelVersion });
  }
}
