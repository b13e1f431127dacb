import { HopLead } from './hop-lead.ts';
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
 *
 * The next hop of an interaction goes ahead of other agents' calls, within the bounds of HopLead. It
 * does so on credit: the agent's start tag moves on and the virtual time does not, so that the others
 * catch up afterwards.
 */
interface Flow {
  readonly agent: string;
  /** In the order of their receipt, first tries and those that came back alike. */
  readonly tickets: Ticket[];
  startTag: number;
  /** Order of arrival, for equal start tags. */
  arrival: number;
  /** Hops that went ahead of their turn and that the others have not caught up with. */
  ahead: number;
}

type Standing = Readonly<Pick<Flow, 'startTag' | 'arrival' | 'ahead'>>;

interface KeptPlace extends Standing {
  readonly untilMs: number;
}

/** A turn that was taken: where the agent stood before it, and its start tag afterwards. */
interface Turn {
  readonly before: Standing;
  readonly cost: number;
  readonly endTag: number;
}

/** Agents whose debts or places are remembered while they have nothing waiting. */
const REMEMBERED_MAX = 10_000;
/** How many calls of one agent are looked at when the head is blocked and a smaller one may pass. */
const DEPTH_MAX = 8;

export class FairOrder {
  readonly #flows = new Map<string, Flow>();
  /** Where idle agents' last calls ended; only those beyond the virtual time matter. */
  readonly #debts = new Map<string, Standing>();
  readonly #places = new Map<string, KeptPlace>();
  readonly #turns = new WeakMap<Ticket, Turn>();
  readonly #lead = new HopLead();
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
    if (ticket.isHop === true) this.#lead.waiting += 1;
    const flow = this.#flows.get(ticket.agent);
    if (flow !== undefined) {
      insert(flow.tickets, ticket);
      return;
    }
    const place = this.#places.get(ticket.agent);
    const isKept = place !== undefined && atMs <= place.untilMs;
    this.#arrivals += 1;
    this.#flows.set(ticket.agent, {
      agent: ticket.agent,
      tickets: [ticket],
      ...(isKept ? standingOf(place) : this.#standingOfNew(ticket.agent)),
    });
    this.#places.delete(ticket.agent);
    this.#debts.delete(ticket.agent);
  }

  /**
   * The waiting calls in the order of their turns: hops that may go ahead, then every agent's first,
   * then, for a blocked head's sake, the next few of each.
   */
  *inOrder(): Generator<Ticket> {
    const flows = [...this.#flows.values()].toSorted(byTurn);
    const hops = new Set(this.#lead.ahead(flows));
    yield* hops;
    for (let depth = 0; depth < DEPTH_MAX; depth += 1) {
      let found = false;
      for (const flow of flows) {
        const ticket = flow.tickets[depth];
        if (ticket === undefined) continue;
        found = true;
        if (!hops.has(ticket)) yield ticket;
      }
      if (!found) return;
    }
  }

  /** All waiting calls in the order in which they will be served, given their costs. */
  forecast(costOf: (ticket: Ticket) => number): Ticket[] {
    const turns: Expected[] = [];
    const hops: Expected[] = [];
    for (const flow of this.#flows.values()) {
      let { startTag } = flow;
      const { arrival } = flow;
      const early = this.#lead.onCredit(flow);
      for (const ticket of [...early, ...flow.tickets.filter((one) => !early.includes(one))]) {
        (early.includes(ticket) ? hops : turns).push({ ticket, startTag, arrival });
        startTag += costOf(ticket);
      }
    }
    turns.sort(byTurn);
    hops.sort(byTurn);
    return this.#lead.merge(hops, turns, byTurn).map(({ ticket }) => ticket);
  }

  /**
   * The call has had its turn, at this cost. `isBackfill` says that a head was blocked and is still
   * waiting for its own.
   */
  take(ticket: Ticket, cost: number, isBackfill = false): void {
    const flow = this.#flows.get(ticket.agent);
    if (flow === undefined) return;
    const isEarly = this.#lead.allows(flow, ticket) && this.#isPreceded(flow);
    if (!this.#cut(flow, ticket)) return;
    const before = standingOf(flow);
    if (isEarly) {
      flow.startTag = Math.max(this.#virtualTime, flow.startTag) + cost;
      flow.ahead += 1;
      this.#lead.inRow += 1;
    } else {
      this.#virtualTime = Math.max(this.#virtualTime, flow.startTag);
      flow.startTag = this.#virtualTime + cost;
      // Whoever passes a blocked head has not had the turn that hops owe.
      if (!isBackfill) {
        flow.ahead = 0;
        this.#lead.inRow = 0;
      }
    }
    this.#turns.set(ticket, { before, cost, endTag: flow.startTag });
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
    if (keepUntilMs !== null) this.#keep(flow.agent, standingOf(flow), keepUntilMs);
    if (flow.tickets.length === 0) this.#forget(flow);
    return true;
  }

  /**
   * The call had its turn and was not sent after all: its agent stands where it stood before, until
   * `keepUntilMs` where nothing else of it waits.
   */
  giveBack(ticket: Ticket, keepUntilMs: number): void {
    const turn = this.#turns.get(ticket);
    if (turn === undefined) return;
    this.#turns.delete(ticket);
    const { agent } = ticket;
    const { before, cost, endTag } = turn;
    const flow = this.#flows.get(agent);
    const debt = this.#debts.get(agent);
    const startTag = flow?.startTag ?? debt?.startTag ?? endTag;
    // Of an agent that has had further turns, they were dated from the end of this one.
    const after: Standing = { ...before, startTag: Math.max(before.startTag, startTag - cost) };
    const now = startTag === endTag ? before : after;
    if (flow !== undefined) Object.assign(flow, now);
    else {
      this.#debts.delete(agent);
      this.#keep(agent, now, keepUntilMs);
    }
  }

  #standingOfNew(agent: string): Standing {
    const debt = this.#debts.get(agent);
    const owes = debt !== undefined && debt.startTag > this.#virtualTime;
    const arrival = this.#arrivals;
    if (owes) return { ...debt, arrival };
    return { startTag: this.#virtualTime, ahead: 0, arrival };
  }

  #isPreceded(flow: Flow): boolean {
    for (const other of this.#flows.values()) if (byTurn(other, flow) < 0) return true;
    return false;
  }

  #cut(flow: Flow, ticket: Ticket): boolean {
    const index = flow.tickets.indexOf(ticket);
    if (index === -1) return false;
    flow.tickets.splice(index, 1);
    this.#size -= 1;
    if (ticket.isHop === true) this.#lead.waiting -= 1;
    return true;
  }

  #keep(agent: string, standing: Standing, untilMs: number): void {
    this.#places.set(agent, { ...standing, untilMs });
    this.#placesUntilMs = Math.max(this.#placesUntilMs, untilMs);
    bound(this.#places);
  }

  #forget(flow: Flow): void {
    this.#flows.delete(flow.agent);
    if (flow.startTag > this.#virtualTime) {
      this.#debts.set(flow.agent, standingOf(flow));
      bound(this.#debts);
    }
  }
}

interface Expected extends Omit<Standing, 'ahead'> {
  readonly ticket: Ticket;
}

function standingOf({ startTag, arrival, ahead }: Standing): Standing {
  return { startTag, arrival, ahead };
}

function byTurn(a: Omit<Standing, 'ahead'>, b: Omit<Standing, 'ahead'>): number {
  return a.startTag - b.startTag || a.arrival - b.arrival;
}

/** A call that has come back goes before those of its agent that were received after its first try. */
function insert(tickets: Ticket[], ticket: Ticket): void {
  let at = tickets.length;
  while (at > 0 && (tickets[at - 1]?.sinceMs ?? 0) > ticket.sinceMs) at -= 1;
  tickets.splice(at, 0, ticket);
}

/** Forgets the oldest entry of a map that has grown too large. */
function bound(map: Map<string, unknown>): void {
  if (map.size <= REMEMBERED_MAX) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}
