/** A deliberate fault: one place of the engine, changed. */
export interface Mutant {
  /** What is broken, as a clause. */
  readonly fault: string;
  readonly file: string;
  /** Must be found exactly once in the file. */
  readonly search: string;
  readonly replace: string;
  /** The tests that must notice; any one of them is enough. */
  readonly tests: readonly string[];
}

const LEDGER = ['test/properties/ledger.test.ts'];
const QUEUE = ['test/properties/queue.test.ts'];
const HOPS = ['test/queue/hops.test.ts'];
const STARTS = ['test/properties/starts.test.ts', 'test/queue/scheduler.test.ts'];
const CONTRACT = ['test/store/ledger-units.test.ts', 'test/store/ledger-order.test.ts'];

export const MUTANTS: readonly Mutant[] = [
  {
    fault: 'a sliding window has no guard',
    file: 'src/quota/window.ts',
    search: 'return atMs + window.spanMs + guardMs;',
    replace: 'return atMs + window.spanMs;',
    tests: LEDGER,
  },
  {
    fault: 'a calendar window has no guard before its edge',
    file: 'src/quota/window.ts',
    search: 'atMs + upstreamOffsetMs + guardMs;',
    replace: 'atMs + upstreamOffsetMs;',
    tests: LEDGER,
  },
  {
    fault: 'requests in flight are not counted',
    file: 'src/store/sqlite-ledger.ts',
    search: 'requests: row.held_requests,',
    replace: 'requests: 0,',
    tests: LEDGER,
  },
  {
    fault: 'a unit leaves a millisecond early',
    file: 'src/store/event-log.ts',
    search: 'if (leavesMs > at.atMs ||',
    replace: 'if (leavesMs > at.atMs + 1 ||',
    tests: LEDGER,
  },
  {
    fault: 'one unit too many fits',
    file: 'src/quota/admission.ts',
    search: 'if (missing > 0 && needs > 0) {',
    replace: 'if (missing > 1 && needs > 0) {',
    tests: LEDGER,
  },
  {
    fault: 'a full window is never quite filled',
    file: 'src/quota/admission.ts',
    search: 'if (missing > 0 && needs > 0) {',
    replace: 'if (missing >= 0 && needs > 0) {',
    tests: LEDGER,
  },
  {
    fault: 'the estimate is held instead of the ceiling',
    file: 'src/store/sqlite-ledger.ts',
    search: 'changePartition(id, ceiling, 1);',
    replace: 'changePartition(id, request.units, 1);',
    tests: LEDGER,
  },
  {
    fault: 'settling changes windows that the event has left',
    file: 'src/store/event-log.ts',
    search: 'WHERE partition_id = @partition_id AND tail_key < @event_key`,',
    replace: 'WHERE partition_id = @partition_id AND 0 < @event_key`,',
    tests: LEDGER,
  },
  {
    fault: 'a released call goes on running',
    file: 'src/store/sqlite-ledger.ts',
    search: 'unhold(row, -1);\n      if (row.event_key !== null)',
    replace: 'unhold(row, 0);\n      if (row.event_key !== null)',
    tests: LEDGER,
  },
  {
    fault: 'the calls of a dead process are given back',
    file: 'src/store/sqlite-ledger.ts',
    search: 'end(row, toCeiling(row), atMs);',
    replace: 'end(row, NO_UNITS, atMs);',
    tests: LEDGER,
  },
  {
    fault: 'a call is dated twice',
    file: 'src/store/sqlite-ledger.ts',
    search: 'if (row === undefined || row.event_key !== null) return;',
    replace: 'if (row === undefined) return;',
    tests: LEDGER,
  },
  {
    fault: 'rejected requests count in the day',
    file: 'src/quota/units.ts',
    search: 'spanMs < REJECTED_SPAN_MS_MAX ?',
    replace: 'spanMs < Infinity ?',
    tests: CONTRACT,
  },
  {
    fault: 'the head is not looked at in the ledger',
    file: 'src/store/sqlite-ledger.ts',
    search: 'heads: rules.enforce ? headsOf(request, facts.row.partition_id) : [],',
    replace: 'heads: [],',
    tests: LEDGER,
  },
  {
    fault: "the head's concurrency slot is taken",
    file: 'src/quota/admission.ts',
    search: 'facts.running + 2 > maxConcurrent',
    replace: 'facts.running + 1 > maxConcurrent',
    tests: CONTRACT,
  },
  {
    fault: 'two agents start while the first one has not left',
    file: 'src/quota/admission.ts',
    search: 'if (starts.pending) return Infinity;',
    replace: '',
    tests: LEDGER,
  },
  {
    fault: 'the queue does not tell the ledger of its head',
    file: 'src/queue/round.ts',
    search: 'behind: head === null ? null : { ceiling: head.ceiling },',
    replace: 'behind: null,',
    tests: QUEUE,
  },
  {
    fault: 'batch calls never have their turn',
    file: 'src/queue/lane.ts',
    search: 'this.#turns >= BATCH_TURN_EVERY - 1',
    replace: 'this.#turns >= Infinity',
    tests: QUEUE,
  },
  {
    fault: 'the virtual time stands still',
    file: 'src/queue/fair-order.ts',
    search: 'this.#virtualTime = Math.max(this.#virtualTime, flow.startTag);',
    replace: '',
    tests: ['test/queue/fair-order.test.ts'],
  },
  {
    fault: 'an agent that has had its turn owes nothing',
    file: 'src/queue/fair-order.ts',
    search: 'this.#debts.set(flow.agent, standingOf(flow));',
    replace: '',
    tests: QUEUE,
  },
  {
    fault: 'hops go ahead of strangers without end',
    file: 'src/queue/fair-order.ts',
    search: 'this.#lead.inRow += 1;',
    replace: '',
    tests: HOPS,
  },
  {
    fault: 'what an agent is ahead by is never paid back',
    file: 'src/queue/fair-order.ts',
    search: 'flow.ahead += 1;',
    replace: 'this.#virtualTime = Math.max(this.#virtualTime, flow.startTag - cost);',
    tests: HOPS,
  },
  {
    fault: 'whoever passes a blocked head makes way for more hops',
    file: 'src/queue/round.ts',
    search: 'costOf(ticket, rules), round.head !== null);',
    replace: 'costOf(ticket, rules));',
    tests: HOPS,
  },
  {
    fault: 'nobody is woken when room comes',
    file: 'src/queue/round.ts',
    search: 'lane.retryAtMs = Math.min(lane.retryAtMs, retryAtMs);',
    replace: '',
    tests: QUEUE,
  },
  {
    fault: 'a call refused while it was taken out ends twice',
    file: 'src/queue/scheduler.ts',
    search: 'if (this.#remove(ticket, keepUntilMs)) ticket.refused(error);',
    replace: 'this.#remove(ticket, keepUntilMs);\n      ticket.refused(error);',
    tests: QUEUE,
  },
  {
    fault: 'kept places are forgotten with an empty lane',
    file: 'src/queue/scheduler.ts',
    search: 'if (lane.isOver(atMs))',
    replace: 'if (lane.size === 0)',
    tests: QUEUE,
  },
  {
    fault: 'a failed start holds its place for ever',
    file: 'src/store/sqlite-ledger.ts',
    search: 'will.\n      statements.deleteStart.run(reservationId);',
    replace: 'will.',
    tests: LEDGER,
  },
  {
    fault: 'whoever waits to start claims room before others',
    file: 'src/queue/round.ts',
    search: 'round.startsBlocked = true;',
    replace: 'round.head ??= ticket;',
    tests: STARTS,
  },
  {
    fault: 'a head whose tokens were counted is told of for ever',
    file: 'src/queue/scheduler.ts',
    search:
      '// Other processes must hear of the smaller need.\n        lane.publishedHead = undefined;',
    replace: 'lane.publishedHead = null;',
    tests: STARTS,
  },
];
