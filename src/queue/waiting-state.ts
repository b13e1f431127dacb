import type { LedgerStore } from '../quota/ledger.ts';
import type { Partition, QuotaRules } from '../quota/policy.ts';
import type { Units } from '../quota/units.ts';
import { NO_UNITS, plus } from '../quota/units.ts';
import { blockDetail } from '../quota/words.ts';
import { costOf } from './cost.ts';
import type { Lane } from './lane.ts';
import type { Ticket } from './ticket.ts';

/** A waiting call as people see it. Times are ms on the timeline. */
export interface WaitingState {
  readonly ticket: Ticket;
  readonly partition: Partition;
  /** 1 is next. */
  readonly position: number;
  /** Infinity when it cannot be known. */
  readonly expectedAtMs: number;
  /** What holds it, in words with numbers; before the first attempt, how many are ahead. */
  readonly reason: string;
}

/** The waiting calls of one lane in the expected order. Call inside a ledger transaction. */
export function waitingStates(
  lane: Lane,
  rules: QuotaRules,
  ledger: LedgerStore,
  atMs: number,
): WaitingState[] {
  const waiting = lane.forecast((ticket) => costOf(ticket, rules));
  let sum: Units = NO_UNITS;
  const needed = waiting.map((ticket) => {
    sum = plus(sum, ticket.exact ? ticket.ceiling : ticket.units);
    return sum;
  });
  const expectedAtMs = ledger.expectedAtMs(rules, needed, atMs);
  return waiting.map((ticket, index) => {
    const [block] = ticket.blocks;
    const ownMs = block !== undefined && block.freeAtMs < Infinity ? block.freeAtMs : 0;
    return {
      ticket,
      partition: lane.partition,
      position: index + 1,
      expectedAtMs: Math.max(ownMs, expectedAtMs[index] ?? Infinity),
      reason: block === undefined ? aheadWords(index) : blockDetail(block),
    };
  });
}

/** For the moment until a call has had its first attempt. */
function aheadWords(ahead: number): string {
  if (ahead === 0) return 'its turn, which is now';
  return ahead === 1 ? '1 call ahead of it' : `${ahead} calls ahead of it`;
}
