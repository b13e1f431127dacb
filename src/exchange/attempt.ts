import type { QuotaRules } from '../quota/policy.ts';
import type { Units } from '../quota/units.ts';
import { NO_UNITS } from '../quota/units.ts';
import type { Ticket } from '../queue/ticket.ts';
import type { InboundCall } from './call.ts';
import type { ExchangeContext } from './exchange.ts';
import type { Outbound } from './outbound.ts';
import { BODY_TIMEOUT_MS, HEADERS_TIMEOUT_MS, outboundHeaders } from './outbound.ts';
import type { UpstreamCall } from './upstream.ts';

/** Larger bodies take time to transfer, so they are dated at the first byte of the answer. */
const SMALL_BODY_BYTES_MAX = 65_536;
/**
 * A small call is counted by the upstream at most this long after its bytes left. With the default
 * guard of 1 s it is dated when sent; a shorter guard dates it later, by what its answer took.
 */
const TRANSIT_MS_MAX = 1_000;

/** Errors before which no byte of the call can have left. */
const NEVER_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'EMFILE',
  'UND_ERR_CONNECT_TIMEOUT',
]);

export interface AttemptParts {
  readonly ticket: Ticket;
  readonly rules: QuotaRules;
  /** Whether this is its agent's first call. */
  readonly starts: boolean;
  readonly call: InboundCall;
  readonly outbound: Outbound;
  readonly baseUrl: string;
  readonly queuedMs: number;
  readonly head: (status: number, headers: readonly string[], firstByteMs: number) => void;
  /** False when the client is slow. */
  readonly data: (chunk: Buffer) => boolean;
  readonly end: () => void;
  readonly error: (error: Error, wasSent: boolean) => void;
}

/**
 * One admission: its call to the upstream and its reservation, which ends in exactly one settle or
 * release. Dates its units as soon as the upstream must have counted them.
 */
export class Attempt {
  readonly #context: ExchangeContext;
  readonly #parts: AttemptParts;
  readonly #beganAtMs: number;
  #upstreamCall: UpstreamCall | null = null;
  /** Timeline ms. */
  #sentAtMs: number | null = null;
  #firstByteAtMs: number | null = null;
  #dated = false;
  #closed = false;
  #endedAfterMs: number | null = null;

  constructor(context: ExchangeContext, parts: AttemptParts) {
    this.#context = context;
    this.#parts = parts;
    this.#beganAtMs = context.clock.monotonicMs();
  }

  /** From dispatch to the end of the answer, or to now. */
  get upstreamMs(): number {
    return this.#endedAfterMs ?? this.#context.clock.monotonicMs() - this.#beganAtMs;
  }

  send(): void {
    const { call, outbound, baseUrl, queuedMs } = this.#parts;
    this.#context.undated.add(this);
    this.#upstreamCall = this.#context.upstream.send(
      {
        baseUrl,
        method: call.method,
        path: outbound.path,
        headers: outboundHeaders(outbound.headers, queuedMs),
        body: call.body,
        bodyBytes: call.bodyBytes,
        headersTimeoutMs: HEADERS_TIMEOUT_MS,
        bodyTimeoutMs: BODY_TIMEOUT_MS,
      },
      {
        sent: () => this.#sent(),
        head: (status, headers) => this.#head(status, headers),
        data: (chunk) => {
          if (!this.#parts.data(chunk)) this.#upstreamCall?.pause();
        },
        end: () => {
          this.#endedAfterMs = this.#context.clock.monotonicMs() - this.#beganAtMs;
          this.#parts.end();
        },
        error: (error) => {
          this.#endedAfterMs = this.#context.clock.monotonicMs() - this.#beganAtMs;
          this.#parts.error(error, this.#sentAtMs !== null || !isNeverSent(error));
        },
      },
    );
  }

  resume(): void {
    this.#upstreamCall?.resume();
  }

  /** Closes the connection; the `error` of the parts follows. */
  abort(): void {
    this.#upstreamCall?.abort();
  }

  /**
   * Called now and then while the units are held: writes them into the log once it is certain that
   * the upstream has counted them.
   */
  dateIfDue(): void {
    const atMs = this.#countedAtMs();
    if (atMs === null || this.#dated || this.#closed) return;
    this.#dated = true;
    this.#context.undated.delete(this);
    const { ledger, scheduler } = this.#context;
    scheduler.write(this.#parts.rules.partition, () => ledger.date(this.#parts.ticket.id, atMs));
  }

  /** Ends the reservation with what the call really took. */
  settle(units: Units): void {
    const { ledger, timeline, settings } = this.#context;
    const { partition } = this.#parts.rules;
    const { id } = this.#parts.ticket;
    const nowMs = timeline.nowMs();
    const atMs = this.#countedAtMs() ?? nowMs;
    const chargesOutput = settings().countsOutput && units.outputTokens > 0;
    this.#close(() => {
      const output = { ...NO_UNITS, outputTokens: units.outputTokens };
      const input = chargesOutput ? { ...units, outputTokens: 0 } : units;
      ledger.settle(id, { units: input, atMs, sent: true });
      if (chargesOutput) ledger.charge(partition, output, nowMs);
    });
  }

  /** Gives the reservation back: nothing was sent. */
  release(): void {
    const { ledger, timeline } = this.#context;
    const atMs = timeline.nowMs();
    this.#close(() => ledger.release(this.#parts.ticket.id, atMs));
  }

  #close(write: () => void): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#context.undated.delete(this);
    this.#context.scheduler.write(this.#parts.rules.partition, write);
  }

  #sent(): void {
    const { ledger, scheduler, timeline } = this.#context;
    const atMs = timeline.nowMs();
    this.#sentAtMs ??= atMs;
    if (!this.#parts.starts || this.#closed) return;
    scheduler.write(this.#parts.rules.partition, () => {
      ledger.dateStart(this.#parts.ticket.id, atMs);
    });
  }

  #head(status: number, headers: readonly string[]): void {
    const { clock, timeline } = this.#context;
    const atMs = timeline.nowMs();
    if (this.#sentAtMs === null) this.#sent();
    this.#firstByteAtMs ??= atMs;
    this.#readDate(headers, atMs);
    this.#parts.head(status, headers, clock.monotonicMs() - this.#beganAtMs);
  }

  /** When the units are to be dated, timeline ms; null while that is not known. */
  #countedAtMs(): number | null {
    const sentAtMs = this.#sentAtMs;
    const firstByteAtMs = this.#firstByteAtMs;
    if (sentAtMs === null) return null;
    if (this.#parts.call.bodyBytes > SMALL_BODY_BYTES_MAX) return firstByteAtMs;
    const latestMs = sentAtMs + TRANSIT_MS_MAX;
    if (firstByteAtMs === null && this.#context.timeline.nowMs() < latestMs) return null;
    const guardMs = Math.min(...this.#parts.rules.policies.map((policy) => policy.guardMs));
    const counted = Math.min(firstByteAtMs ?? latestMs, latestMs);
    return Math.max(sentAtMs, Number.isFinite(guardMs) ? counted - guardMs : counted);
  }

  #readDate(headers: readonly string[], receivedAtMs: number): void {
    if (this.#sentAtMs === null) return;
    const at = headers.findIndex((name, index) => index % 2 === 0 && /^date$/i.test(name));
    const dateMs = at === -1 ? NaN : Date.parse(headers[at + 1] ?? '');
    if (Number.isNaN(dateMs)) return;
    this.#context.observeDate({ dateMs, sentAtMs: this.#sentAtMs, receivedAtMs });
  }
}

function isNeverSent(error: Error): boolean {
  const { cause } = error;
  const code: unknown = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return typeof code === 'string' && (NEVER_SENT.has(code) || code.startsWith('ERR_TLS'));
}
