import type { Ticket } from './ticket.ts';

/**
 * In what order the calls of one partition and class are served: deficit round robin between
 * agents, so that an agent's turn comes as often as its calls are cheap. The deficits are kept as
 * start tags on one virtual time axis, which gives the order of a round robin with an infinitely
 * small quantum and needs no rounds to be walked.
 *
 *   start tag of a call = max(virtual time, end of the agent's last call)
 *   end of a call       = its start tag + its cost (the largest share of any limit)
 *
 *   virtual time  = the largest start tag that has been served
 *
 * The smallest start tag goes first. An agent that joins starts at the present virtual time: it
 * can neither claim the past nor be made to wait for two turns of another. Whoever has been passed
 * over (a start that had to wait, a head that smaller calls went ahead of, a kept place) has one
 * turn from before the virtual time and goes on from there: nobody saves up turns.
 */
interface Flow {
  readonly agent: string;
  readonly tickets: Ticket[];
  startTag: number;
  /** Order of arrival, for equal start tags. */
  arrival: number;
}

interface KeptPlace {
  readonly startTag: number;
  readonly arrival: number;
  readonly untilMs: number;
}

/** Agents whose debts or places are remembered while they have nothing waiting. */
const REMEMBERED_MAX = 10_000;
/** How many calls of one agent are looked at when the head is blocked and a smaller one may pass. */
const DEPTH_MAX = 8;

export class FairOrder {
  readonly #flows = new Map<string, Flow>();
  /** Where idle agents' last calls ended; only those beyond the virtual time matter. */
  readonly #debts = new Map<string, number>();
  readonly #places = new Map<string, KeptPlace>();
  #placesUntilMs = -Infinity;
  #virtualTime = 0;
  #arrivals = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  sizeOf(agent: string): number {
    return this.#flows.get(agent)?.tickets.length ?? 0;
  }

  /** Whether a place may still be kept for somebody. */
  keepsPlaces(atMs: number): boolean {
    return atMs <= this.#placesUntilMs;
  }

  push(ticket: Ticket, atMs: number): void {
    this.#size += 1;
    const flow = this.#flows.get(ticket.agent);
    if (flow !== undefined) {
      flow.tickets.push(ticket);
      return;
    }
    const place = this.#places.get(ticket.agent);
    const isKept = place !== undefined && atMs <= place.untilMs;
    this.#arrivals += 1;
    this.#flows.set(ticket.agent, {
      agent: ticket.agent,
      tickets: [ticket],
      startTag: isKept
        ? place.startTag
        : Math.max(this.#virtualTime, this.#debts.get(ticket.agent) ?? 0),
      arrival: isKept ? place.arrival : this.#arrivals,
    });
    this.#places.delete(ticket.agent);
    this.#debts.delete(ticket.agent);
  }

  /**
   * The waiting calls in the order of their turns: every agent's first, then, for a blocked head's
   * sake, the next few of each.
   */
  *inOrder(): Generator<Ticket> {
    const flows = this.#sorted();
    for (let depth = 0; depth < DEPTH_MAX; depth += 1) {
      let found = false;
      for (const flow of flows) {
        const ticket = flow.tickets[depth];
        if (ticket === undefined) continue;
        found = true;
        yield ticket;
      }
      if (!found) return;
    }
  }

  /** All waiting calls in the order in which they will be served, given their costs. */
  forecast(costOf: (ticket: Ticket) => number): Ticket[] {
    const tagged: { ticket: Ticket; startTag: number; arrival: number }[] = [];
    for (const flow of this.#flows.values()) {
      let { startTag } = flow;
      for (const ticket of flow.tickets) {
        tagged.push({ ticket, startTag, arrival: flow.arrival });
        startTag += costOf(ticket);
      }
    }
    tagged.sort((a, b) => a.startTag - b.startTag || a.arrival - b.arrival);
    return tagged.map(({ ticket }) => ticket);
  }

  /** The call has had its turn, at this cost. */
  take(ticket: Ticket, cost: number): void {
    const flow = this.#flows.get(ticket.agent);
    if (flow === undefined || !this.#cut(flow, ticket)) return;
    this.#virtualTime = Math.max(this.#virtualTime, flow.startTag);
    flow.startTag = this.#virtualTime + cost;
    this.#arrivals += 1;
    flow.arrival = this.#arrivals;
    // A place kept for another call of this agent has been used by this one.
    this.#places.delete(ticket.agent);
    if (flow.tickets.length === 0) this.#forget(flow);
  }

  /** The call leaves without a turn. Its agent keeps its place until `keepUntilMs`, if given. */
  remove(ticket: Ticket, keepUntilMs: number | null): boolean {
    const flow = this.#flows.get(ticket.agent);
    if (flow === undefined || !this.#cut(flow, ticket)) return false;
    if (keepUntilMs !== null) {
      const { startTag, arrival } = flow;
      this.#places.set(ticket.agent, { startTag, arrival, untilMs: keepUntilMs });
      this.#placesUntilMs = Math.max(this.#placesUntilMs, keepUntilMs);
      bound(this.#places);
    }
    if (flow.tickets.length === 0) this.#forget(flow);
    return true;
  }

  #sorted(): Flow[] {
    return [...this.#flows.values()].toSorted(
      (a, b) => a.startTag - b.startTag || a.arrival - b.arrival,
    );
  }

  #cut(flow: Flow, ticket: Ticket): boolean {
    const index = flow.tickets.indexOf(ticket);
    if (index === -1) return false;
    flow.tickets.splice(index, 1);
    this.#size -= 1;
    return true;
  }

  #forget(flow: Flow): void {
    this.#flows.delete(flow.agent);
    if (flow.startTag > this.#virtualTime) {
      this.#debts.set(flow.agent, flow.startTag);
      bound(this.#debts);
    }
  }
}

/** Forgets the oldest entry of a map that has grown too large. */
function bound(map: Map<string, unknown>): void {
  if (map.size <= REMEMBERED_MAX) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}
