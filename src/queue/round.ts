import type { ProxyError } from '../errors.ts';
import type { Block, LedgerStore, ReserveOutcome } from '../quota/ledger.ts';
import type { QuotaRules } from '../quota/policy.ts';
import { costOf } from './cost.ts';
import type { Lane } from './lane.ts';
import { PLACE_KEPT_MS } from './lane.ts';
import { refusalFor, tooLargeFor } from './refusal.ts';
import type { Ticket } from './ticket.ts';

/** Calls that are tried behind a blocked head in one round. */
const BACKFILL_TRIES_MAX = 32;

export interface RoundContext {
  readonly ledger: LedgerStore;
  /** Timeline ms. */
  readonly nowMs: () => number;
  readonly rulesOf: (project: string, requestedModel: string) => QuotaRules;
}

/** A call that has left its lane in a round, and how to tell it once the round is written down. */
export interface Ending {
  readonly ticket: Ticket;
  readonly lane: Lane;
  readonly tell: () => void;
}

/** What a round has found out about a lane so far. */
interface Round {
  /** The first call that quota holds: none may pass that would delay it. */
  head: Ticket | null;
  /** No agent may start now, so those that have not started need not be tried. */
  startsBlocked: boolean;
  tries: number;
  readonly blocked: Set<Ticket>;
}

/**
 * One lane's turn in a round, inside its transaction: admits the head and whoever follows while
 * there is room, then whatever passes behind a blocked head without delaying it. Sets when the lane
 * is worth another try, and tells other processes of the head.
 */
export function admitFrom(lane: Lane, context: RoundContext, ended: Ending[]): void {
  lane.dirty = false;
  lane.retryAtMs = Infinity;
  const round: Round = { head: null, startsBlocked: false, tries: 0, blocked: new Set() };
  // The order changes with every admission, so it is asked for again after each.
  while (admitNext(lane, context, round, ended));
  publish(lane, context, round.head);
}

/** Goes through the order until one call is admitted. False when none is. */
function admitNext(lane: Lane, context: RoundContext, round: Round, ended: Ending[]): boolean {
  for (const ticket of lane.inOrder()) {
    if (round.blocked.has(ticket)) continue;
    // Each call is tried once at once: it may be hopeless, and then it is told without delay.
    const isNew = ticket.blocks.length === 0;
    if (round.tries >= BACKFILL_TRIES_MAX && !isNew) continue;
    const rules = context.rulesOf(ticket.project, ticket.requestedModel);
    if (round.startsBlocked && !isNew && !isStarted(ticket, rules, context)) continue;
    const outcome = reserve(ticket, rules, context, round.head);
    if (outcome.kind === 'admitted') {
      lane.take(ticket, costOf(ticket, rules), round.head !== null);
      ended.push({ ticket, lane, tell: () => ticket.admitted(outcome, context.nowMs()) });
      return true;
    }
    round.blocked.add(ticket);
    const error =
      outcome.kind === 'too_large'
        ? tooLargeFor(rules.partition, outcome.state, outcome.needs)
        : refusalIfHopeless(ticket, rules, outcome.blocks, context.nowMs());
    if (error !== null) {
      const { retryAfterMs } = error;
      const keepUntilMs =
        retryAfterMs === null ? null : context.nowMs() + retryAfterMs + PLACE_KEPT_MS;
      lane.remove(ticket, keepUntilMs);
      ended.push({ ticket, lane, tell: () => ticket.refused(error) });
      return true;
    }
    if (outcome.kind === 'blocked') noteBlocked(ticket, lane, outcome, round);
  }
  return false;
}

function noteBlocked(
  ticket: Ticket,
  lane: Lane,
  { blocks, retryAtMs }: Extract<ReserveOutcome, { kind: 'blocked' }>,
  round: Round,
): void {
  ticket.blocks = blocks;
  lane.retryAtMs = Math.min(lane.retryAtMs, retryAtMs);
  if (blocks.some(({ reason }) => reason === 'startup')) {
    // Another agent's startup holds it, which is nobody else's concern.
    round.startsBlocked = true;
  } else if (round.head === null) {
    round.head = ticket;
  } else {
    round.tries += 1;
  }
}

function reserve(
  ticket: Ticket,
  rules: QuotaRules,
  { ledger, nowMs }: RoundContext,
  head: Ticket | null,
): ReserveOutcome {
  return ledger.reserve({
    reservationId: ticket.id,
    rules,
    agent: ticket.agent,
    units: ticket.units,
    ceiling: ticket.ceiling,
    exact: ticket.exact,
    sinceMs: ticket.sinceMs,
    interactive: ticket.interactive,
    atMs: nowMs(),
    behind: head === null ? null : { ceiling: head.ceiling },
  });
}

function isStarted(ticket: Ticket, rules: QuotaRules, { ledger, nowMs }: RoundContext): boolean {
  if (rules.start === null) return true;
  return ledger.isStarted(rules.partition, ticket.agent, rules.start.idleMs, nowMs());
}

/** Whether not even an empty queue could admit the call before its deadline. */
function refusalIfHopeless(
  ticket: Ticket,
  rules: QuotaRules,
  blocks: readonly Block[],
  atMs: number,
): ProxyError | null {
  const worst = blocks.find(({ reason, freeAtMs }) => reason !== 'head' && freeAtMs < Infinity);
  if (worst === undefined) return null;
  const kind = worst.cooldown?.kind;
  const waitingHelps = kind !== 'billing' && kind !== 'zero_limit';
  if (waitingHelps && worst.freeAtMs <= ticket.deadlineMs) return null;
  return refusalFor(rules.partition, worst, {
    atMs,
    expectedAtMs: worst.freeAtMs,
    waitedMs: atMs - ticket.sinceMs,
  });
}

function publish(lane: Lane, { ledger }: RoundContext, head: Ticket | null): void {
  const id = head?.id ?? null;
  if (id === lane.publishedHead) return;
  lane.publishedHead = id;
  const published =
    head === null
      ? null
      : { sinceMs: head.sinceMs, interactive: head.interactive, ceiling: head.ceiling };
  ledger.publishHead(lane.partition, published);
}
