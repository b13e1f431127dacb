import type { Ticket } from './ticket.ts';

/**
 * So many hops may go ahead of other agents' calls in a row: then somebody has a turn in the fair
 * order, so that however many interactions go on, every fourth turn is a stranger's.
 */
export const HOPS_IN_ROW_MAX = 3;
/**
 * So many turns an agent may be ahead of its fair share. SDKs stop an automatic continuation, and
 * most programs a tool loop, at about as many; a longer one goes on in the fair order until the
 * others have caught up.
 */
export const HOPS_AHEAD_MAX = 8;

/** An agent that waits, as far as hops are concerned. */
interface HopFlow {
  readonly tickets: readonly Ticket[];
  /** Hops that went ahead of their turn and that the others have not caught up with. */
  readonly ahead: number;
}

/**
 * Which hops may go ahead of strangers. A person waits for all hops of an interaction together: each
 * of them at the end of the line would make that person wait once per hop for what others wait for
 * once.
 */
export class HopLead {
  /** Hops in line. */
  waiting = 0;
  /** Hops that have gone ahead since the last turn in the fair order. */
  inRow = 0;

  /** Of each agent the hop that may go ahead, in the order of the agents. */
  ahead(flows: readonly HopFlow[]): Ticket[] {
    if (this.waiting === 0 || this.inRow >= HOPS_IN_ROW_MAX) return [];
    return flows.flatMap((flow) => {
      const hop = flow.ahead < HOPS_AHEAD_MAX ? flow.tickets.find(isHop) : undefined;
      return hop === undefined ? [] : [hop];
    });
  }

  allows(flow: HopFlow, ticket: Ticket): boolean {
    return isHop(ticket) && flow.ahead < HOPS_AHEAD_MAX && this.inRow < HOPS_IN_ROW_MAX;
  }

  /** The agent's hops that may still go ahead. */
  onCredit(flow: HopFlow): readonly Ticket[] {
    if (this.waiting === 0 || flow.ahead >= HOPS_AHEAD_MAX) return [];
    return flow.tickets.filter(isHop).slice(0, HOPS_AHEAD_MAX - flow.ahead);
  }

  /** Both in the order in which they will be served; each is in order by itself. */
  merge<T>(hops: readonly T[], turns: readonly T[], byTurn: (a: T, b: T) => number): readonly T[] {
    if (hops.length === 0) return turns;
    const merged: T[] = [];
    let { inRow } = this;
    let hopAt = 0;
    let turnAt = 0;
    while (merged.length < hops.length + turns.length) {
      const hop = hops[hopAt];
      const turn = turns[turnAt];
      const isDue = hop !== undefined && (turn === undefined || byTurn(hop, turn) < 0);
      const next = isDue || (hop !== undefined && inRow < HOPS_IN_ROW_MAX) ? hop : turn;
      if (next === undefined) break;
      merged.push(next);
      inRow = isDue || next === turn ? 0 : inRow + 1;
      if (next === hop) hopAt += 1;
      else turnAt += 1;
    }
    return merged;
  }
}

function isHop(ticket: Ticket): boolean {
  return ticket.isHop === true;
}
