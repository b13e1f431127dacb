import type { ExchangeRecord } from '../exchange/call.ts';
import type { ExchangeEvents } from '../exchange/exchange.ts';
import type { Logger } from '../log.ts';
import { exchangeLine } from '../log.ts';
import { dateIn, GOOGLE_QUOTA_ZONE } from '../quota/window.ts';
import type { WaitingState } from '../queue/waiting-state.ts';
import type { UsageRow } from '../store/learning-store.ts';

/** What happens to exchanges, as lines in the log. */
export interface Journal extends Omit<ExchangeEvents, 'rejected'> {
  /** A call has waited for two seconds. */
  longWait(state: WaitingState): void;
}

export function createJournal(options: {
  readonly logger: Logger;
  readonly timeline: { nowMs(): number };
}): Journal {
  const { logger, timeline } = options;
  const inSeconds = (atMs: number) => `${((atMs - timeline.nowMs()) / 1000).toFixed(1)} s`;
  return {
    record(record) {
      // A good exchange is worth an info line; where those are not wanted, none is made.
      if (record.outcome === 'ok' && !logger.isEnabled('info')) return;
      const { level, msg, fields } = exchangeLine(record);
      logger[level](msg, fields);
    },
    longWait({ ticket, partition, position, expectedAtMs, reason }) {
      const { id: requestId, agent, attempt = 1 } = ticket;
      const which = attempt > 1 ? `; try ${attempt} of its client` : '';
      const { model } = partition;
      const when = Number.isFinite(expectedAtMs)
        ? `expected in ${inSeconds(expectedAtMs)}`
        : 'its time is not known yet';
      logger.info(`waiting ${model} ${agent}: ${reason}; position ${position}, ${when}${which}`, {
        requestId,
      });
    },
    parked: ({ model }, { kind, untilMs, reason }) =>
      logger.warn(
        `upstream 429 (${kind}): ${model} is parked for ${inSeconds(untilMs)}. ${reason}`,
      ),
    learned: ({ model }, policy, { limit }) =>
      logger.warn(
        `learned from an upstream 429: ${policy} of ${model} is ${limit}. ` +
          `To forget it: headgate limits reset ${model}`,
      ),
    aliased: (alias, model) =>
      logger.info(`${alias} is another name of ${model}; both are counted as one`),
    shadowed: ({ model, agent, reason, waitMs }) => {
      const wait = Number.isFinite(waitMs) ? `${(waitMs / 1000).toFixed(1)} s` : 'a while';
      logger.info(`shadow: ${model} ${agent} would have waited ${wait} (${reason})`);
    },
    unkept: ({ requestId, session, agent, error }) =>
      logger.warn(
        `not recorded: a call of ${agent} for ${session ?? 'a session of its own'}: ${error.message}`,
        { requestId },
      ),
  };
}

/** The exchange's part in the sums of its Pacific day; null for calls that take no quota. */
export function usageRowOf(record: ExchangeRecord, upstreamNowMs: number): UsageRow | null {
  if (record.method === 'pass') return null;
  const { project, model, agent, outcome, usage, usdMicros } = record;
  return {
    day: dateIn(GOOGLE_QUOTA_ZONE, upstreamNowMs),
    project,
    model,
    agent,
    outcome,
    inputTokens: usage?.inputTokens ?? 0,
    outputTokens: usage?.outputTokens ?? 0,
    usdMicros,
  };
}
