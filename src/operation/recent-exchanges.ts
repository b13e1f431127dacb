import type { ExchangeRecord } from '../exchange/call.ts';
import type { ExchangesQuery } from '../http/page-control.ts';
import { EXCHANGES_KEPT } from '../http/page-routes.ts';
import type { ExchangeView } from '../http/views.ts';

const USD_MICROS = 1_000_000;

/** The last counted exchanges, in memory. */
export class RecentExchanges {
  /** The oldest first. A record holds nothing of what was asked or answered. */
  readonly #records: ExchangeRecord[] = [];

  add(record: ExchangeRecord): void {
    this.#records.push(record);
    if (this.#records.length > EXCHANGES_KEPT) this.#records.shift();
  }

  /** The newest first. */
  find({ limit, model, agent, outcome }: ExchangesQuery): ExchangeView[] {
    return this.#records
      .toReversed()
      .filter(
        (record) =>
          (model === null || record.model === model || record.requestedModel === model) &&
          (agent === null || record.agent === agent) &&
          (outcome === null || record.outcome === outcome),
      )
      .slice(0, limit)
      .map(exchangeView);
  }
}

/** An ended exchange as it is shown. */
export function exchangeView(record: ExchangeRecord): ExchangeView {
  const { usage } = record;
  return {
    at: new Date(record.startedWallMs + record.durationMs).toISOString(),
    id: record.requestId,
    project: record.project,
    model: record.model,
    requested_model: record.requestedModel,
    method: record.method,
    agent: record.agent,
    outcome: record.outcome,
    reason: record.reason,
    message: record.message,
    status: record.status,
    queued_ms: Math.round(record.queuedMs),
    wait_reason: record.waitReason,
    first_byte_ms:
      record.upstreamFirstByteMs === null ? null : Math.round(record.upstreamFirstByteMs),
    upstream_ms: Math.round(record.upstreamMs),
    duration_ms: Math.round(record.durationMs),
    overhead_ms: Math.round(record.overheadMs * 1000) / 1000,
    estimated_tokens: record.estimatedTokens,
    input_tokens: usage?.inputTokens ?? null,
    output_tokens: usage?.outputTokens ?? null,
    usd: record.usdMicros / USD_MICROS,
    resends: record.resends,
  };
}
