import type { AdmissionFacts } from '../../src/quota/admission.ts';
import { NO_ADJUSTMENT } from '../../src/quota/admission.ts';
import { expectedAtMs } from '../../src/quota/forecast.ts';
import type {
  AdjustedLimit,
  Block,
  Cooldown,
  LedgerStore,
  PublishedHead,
  ReserveOutcome,
  ReserveRequest,
} from '../../src/quota/ledger.ts';
import type { Partition, QuotaRules, StartRule } from '../../src/quota/policy.ts';
import type { Units } from '../../src/quota/units.ts';
import { NO_UNITS, plus } from '../../src/quota/units.ts';
import type { OracleView } from './oracle-window.ts';
import { blockOf, delayedUntilMs, logOf, needsUnder, roomAtMs, stateOf } from './oracle-window.ts';

/** An agent's last call is written down at most this often. */
const SEEN_STEP_MS = 5_000;
/** Starts per minute, and how much later the second of two calls may arrive. */
const START_SPAN_MS = 60_000;
const TRANSIT_MS = 100;

interface Event {
  partition: string;
  atMs: number;
  units: Units;
}

interface Reservation {
  readonly id: string;
  partition: string;
  readonly processId: number;
  readonly agent: string;
  readonly ceiling: Units;
  /** Null while the call is held. */
  event: Event | null;
}

interface Start {
  readonly reservationId: string;
  partition: string;
  atMs: number;
  pending: boolean;
}

interface Head extends PublishedHead {
  readonly partition: string;
  readonly processId: number;
}

interface Adjustment extends Omit<AdjustedLimit, 'partition'> {
  readonly partition: Partition;
}

export interface OracleLedger extends LedgerStore {
  useProcess(processId: number): void;
  reap(processId: number, atMs: number): void;
}

/**
 * The ledger, told the long way: every event ever counted in one array, every question answered by
 * going through it. It keeps no totals and nothing expires, so it cannot share a fault with a
 * store that does.
 */
export function createOracleLedger(options: {
  readonly processId: number;
  readonly upstreamOffsetMs: () => number;
  readonly othersLive: () => boolean;
}): OracleLedger {
  let { processId } = options;
  const known = new Map<string, Partition>();
  const events: Event[] = [];
  let reservations: Reservation[] = [];
  let starts: Start[] = [];
  let seen: { partition: string; agent: string; atMs: number }[] = [];
  let cooldowns: (Cooldown & { partition: string })[] = [];
  let heads: Head[] = [];
  let adjustments: Adjustment[] = [];

  function keyOf(partition: Partition): string {
    const key = `${partition.project}\n${partition.model}`;
    if (!known.has(key)) known.set(key, partition);
    return key;
  }

  function view({ partition }: QuotaRules, atMs: number): OracleView {
    const key = keyOf(partition);
    return {
      atMs,
      offsetMs: options.upstreamOffsetMs(),
      events: events.filter((event) => event.partition === key),
      held: reservations
        .filter((row) => row.partition === key && row.event === null)
        .reduce((sum, { ceiling }) => plus(sum, ceiling), NO_UNITS),
      adjustment: ({ name }) =>
        adjustments.find((row) => keyOf(row.partition) === key && row.policy === name) ??
        NO_ADJUSTMENT,
    };
  }

  function running(key: string): number {
    return reservations.filter(({ partition }) => partition === key).length;
  }

  function parked(key: string, atMs: number): Cooldown[] {
    return cooldowns
      .filter(({ partition, untilMs }) => partition === key && untilMs > atMs)
      .toSorted((a, b) => b.untilMs - a.untilMs)
      .map(({ kind, untilMs, reason }) => ({ kind, untilMs, reason }));
  }

  function seenAtMs(key: string, agent: string): number {
    return seen.find((row) => row.partition === key && row.agent === agent)?.atMs ?? -Infinity;
  }

  function see(key: string, agent: string, atMs: number, stepMs = SEEN_STEP_MS): void {
    const row = seen.find((row) => row.partition === key && row.agent === agent);
    if (row === undefined) seen.push({ partition: key, agent, atMs });
    else if (row.atMs < atMs - stepMs) row.atMs = atMs;
  }

  function started(key: string, agent: string, rule: StartRule | null, atMs: number): boolean {
    return rule === null || seenAtMs(key, agent) > atMs - rule.idleMs;
  }

  /** When the agent may start: now, later, or (Infinity) after another one's bytes have left. */
  function startAllowedAtMs(key: string, rule: StartRule, atMs: number): number {
    const own = starts.filter(({ partition }) => partition === key);
    if (own.some(({ pending }) => pending)) return Infinity;
    const times = own.map((start) => start.atMs).toSorted((a, b) => b - a);
    const [last] = times;
    let allowedAtMs = atMs;
    if (last !== undefined && rule.cooldownMs > 0) {
      allowedAtMs = Math.max(allowedAtMs, last + rule.cooldownMs + TRANSIT_MS);
    }
    const crowded = rule.perMinute === null ? undefined : times[rule.perMinute - 1];
    if (crowded !== undefined) {
      allowedAtMs = Math.max(allowedAtMs, crowded + START_SPAN_MS + TRANSIT_MS);
    }
    return allowedAtMs;
  }

  /** Whatever holds the call apart from quota and from calls ahead. */
  function plainBlocks(request: ReserveRequest, key: string): Block[] {
    const { rules, agent, atMs } = request;
    const blocks = parked(key, atMs).map((cooldown) =>
      blockOf('cooldown', { freeAtMs: cooldown.untilMs, cooldown }),
    );
    if (!started(key, agent, rules.start, atMs) && rules.start !== null) {
      const freeAtMs = startAllowedAtMs(key, rules.start, atMs);
      if (freeAtMs > atMs) blocks.push(blockOf('startup', { freeAtMs }));
    }
    if (rules.maxConcurrent !== null && running(key) >= rules.maxConcurrent) {
      blocks.push(blockOf('concurrency', { freeAtMs: Infinity }));
    }
    return blocks;
  }

  function claimsAhead(request: ReserveRequest, key: string): Units[] {
    const others = heads.filter(
      (head) =>
        options.othersLive() &&
        head.partition === key &&
        head.processId !== processId &&
        head.sinceMs < request.sinceMs &&
        (head.interactive || !request.interactive),
    );
    const own = request.behind === null ? [] : [request.behind];
    return [...own, ...others].map(({ ceiling }) => ceiling);
  }

  function reserve(request: ReserveRequest): ReserveOutcome {
    const { rules, atMs, ceiling, exact } = request;
    const key = keyOf(rules.partition);
    const now = view(rules, atMs);
    const blocks = plainBlocks(request, key);
    for (const policy of rules.policies) {
      const state = stateOf(policy, now);
      if (state.limit === null) continue;
      const needs = needsUnder(policy, state.limit, ceiling, exact);
      const never = needs > state.limit || (state.limit === 0 && policy.unit !== 'usd');
      if (never && rules.enforce) return { kind: 'too_large', state, needs };
      if (never) break;
      if (needs > 0 && state.used + needs > state.limit) {
        const freeAtMs = roomAtMs(policy, now, needs);
        blocks.push(blockOf('quota', { state, needs, freeAtMs }));
      }
    }
    if (rules.enforce && blocks.length === 0) {
      const isCrowded = rules.maxConcurrent !== null && running(key) + 2 > rules.maxConcurrent;
      for (const claim of claimsAhead(request, key)) {
        const freeAtMs = isCrowded ? Infinity : delayedUntilMs(rules, now, claim, request);
        if (freeAtMs !== null) blocks.push(blockOf('head', { freeAtMs }));
      }
    }
    blocks.sort((a, b) => (a.freeAtMs === b.freeAtMs ? 0 : b.freeAtMs - a.freeAtMs));
    if (rules.enforce && blocks[0] !== undefined) {
      return { kind: 'blocked', blocks, retryAtMs: blocks[0].freeAtMs };
    }
    return admit(request, key, blocks);
  }

  function admit(request: ReserveRequest, key: string, ignored: Block[]): ReserveOutcome {
    const { reservationId: id, rules, agent, ceiling, atMs } = request;
    const starting = !started(key, agent, rules.start, atMs);
    reservations.push({ id, partition: key, processId, agent, ceiling, event: null });
    if (starting) starts.push({ reservationId: id, partition: key, atMs, pending: true });
    else if (rules.start !== null) see(key, agent, atMs);
    const windows = rules.policies.map((policy) => stateOf(policy, view(rules, atMs)));
    return { kind: 'admitted', windows, starts: starting, ignored };
  }

  function dateStart(reservation: Reservation, atMs: number): void {
    const start = starts.find((row) => row.reservationId === reservation.id && row.pending);
    if (start === undefined) return;
    start.pending = false;
    start.atMs = atMs;
    see(reservation.partition, reservation.agent, atMs, 0);
  }

  function end(reservation: Reservation, units: Units, atMs: number): void {
    if (reservation.event === null) events.push({ partition: reservation.partition, atMs, units });
    else reservation.event.units = units;
    reservations = reservations.filter((row) => row !== reservation);
  }

  function forgetStart({ id }: Reservation): void {
    starts = starts.filter((start) => start.reservationId !== id || !start.pending);
  }

  function find(id: string): Reservation | undefined {
    return reservations.find((row) => row.id === id);
  }

  function adjust(partition: Partition, policy: string, change: Partial<Adjustment>): void {
    keyOf(partition);
    const old = adjustments.find(
      (row) => keyOf(row.partition) === keyOf(partition) && row.policy === policy,
    );
    const none = { learned: null, learnedUnder: null, learnedAtMs: null };
    const row = { ...none, override: null, overrideAtMs: null, ...old, ...change };
    adjustments = adjustments.filter((candidate) => candidate !== old);
    if (row.learned !== null || row.override !== null) {
      adjustments.push({ ...row, partition, policy });
    }
  }

  return {
    transact: (work) => work(),
    reserve,
    useProcess(id) {
      processId = id;
    },
    date(id, atMs) {
      const row = find(id);
      if (row === undefined || row.event !== null) return;
      row.event = { partition: row.partition, atMs, units: row.ceiling };
      events.push(row.event);
    },
    dateStart(id, atMs) {
      const row = find(id);
      if (row !== undefined) dateStart(row, atMs);
    },
    settle(id, { units, atMs, sent }) {
      const row = find(id);
      if (row === undefined) return;
      end(row, units, atMs);
      if (sent) dateStart(row, atMs);
      else forgetStart(row);
      if (seenAtMs(row.partition, row.agent) > -Infinity) see(row.partition, row.agent, atMs);
    },
    charge(partition, units, atMs) {
      events.push({ partition: keyOf(partition), atMs, units });
    },
    release(id) {
      const row = find(id);
      if (row === undefined) return;
      if (row.event !== null) row.event.units = NO_UNITS;
      reservations = reservations.filter((candidate) => candidate !== row);
      forgetStart(row);
    },
    reap(deadProcessId, atMs) {
      for (const row of reservations.filter((row) => row.processId === deadProcessId)) {
        end(row, row.ceiling, atMs);
        dateStart(row, atMs);
      }
      heads = heads.filter((head) => head.processId !== deadProcessId);
    },
    windows(rules, atMs) {
      const key = keyOf(rules.partition);
      const recent = starts.filter(
        (start) => start.partition === key && (start.pending || start.atMs > atMs - START_SPAN_MS),
      );
      return {
        windows: rules.policies.map((policy) => stateOf(policy, view(rules, atMs))),
        cooldowns: parked(key, atMs),
        running: running(key),
        lastStartAtMs: recent.length === 0 ? null : Math.max(...recent.map((start) => start.atMs)),
        starts: recent.length,
      };
    },
    expectedAtMs(rules, needed, atMs) {
      const now = view(rules, atMs);
      const facts: AdmissionFacts = {
        rules,
        atMs,
        held: now.held,
        running: 0,
        windowLog: (policy) => logOf(policy, now),
        adjustment: now.adjustment,
        cooldowns: parked(keyOf(rules.partition), atMs),
        starts: { started: true, pending: false, atMs: [] },
      };
      return expectedAtMs(facts, needed);
    },
    isStarted: (partition, agent, idleMs, atMs) =>
      seenAtMs(keyOf(partition), agent) > atMs - idleMs,
    park(partition, cooldown) {
      const key = keyOf(partition);
      const old = cooldowns.find((row) => row.partition === key && row.kind === cooldown.kind);
      if (old !== undefined && old.untilMs >= cooldown.untilMs) return;
      cooldowns = cooldowns.filter((row) => row !== old);
      cooldowns.push({ ...cooldown, partition: key });
    },
    unpark(partition, kind) {
      const key = keyOf(partition);
      cooldowns = cooldowns.filter(
        (row) => row.partition !== key || (kind !== null && row.kind !== kind),
      );
    },
    learnLimit(partition, policy, { limit, configured, atMs }) {
      if (limit <= 0 || (configured !== null && limit >= configured)) return false;
      const key = keyOf(partition);
      const isNews = !adjustments.some(
        (row) =>
          keyOf(row.partition) === key &&
          row.policy === policy &&
          row.learned === limit &&
          row.learnedUnder === configured,
      );
      if (isNews) {
        adjust(partition, policy, { learned: limit, learnedUnder: configured, learnedAtMs: atMs });
      }
      return isNews;
    },
    overrideLimit(partition, policy, limit, atMs) {
      adjust(partition, policy, { override: limit, overrideAtMs: atMs });
    },
    resetLimits(partition) {
      const key = keyOf(partition);
      adjustments = adjustments.filter((row) => keyOf(row.partition) !== key);
    },
    adjustedLimits: () =>
      adjustments.toSorted((a, b) =>
        [keyOf(a.partition), a.policy].join('\n') < [keyOf(b.partition), b.policy].join('\n')
          ? -1
          : 1,
      ),
    mergePartitions(from, to) {
      const old = `${from.project}\n${from.model}`;
      if (!known.has(old)) return;
      const key = keyOf(to);
      if (old === key) return;
      for (const row of [...events, ...reservations, ...starts]) {
        if (row.partition === old) row.partition = key;
      }
      const ofOld = seen.filter(({ partition }) => partition === old);
      seen = seen.filter(({ partition }) => partition !== old);
      for (const { agent, atMs } of ofOld) {
        const row = seen.find((row) => row.partition === key && row.agent === agent);
        if (row === undefined) seen.push({ partition: key, agent, atMs });
        else row.atMs = Math.max(row.atMs, atMs);
      }
      const parkedOld = cooldowns.filter(({ partition }) => partition === old);
      cooldowns = cooldowns.filter(({ partition }) => partition !== old);
      for (const { kind, untilMs, reason } of parkedOld) this.park(to, { kind, untilMs, reason });
      for (const row of adjustments.filter((row) => keyOf(row.partition) === old)) {
        const isKnown = adjustments.some(
          (other) => keyOf(other.partition) === key && other.policy === row.policy,
        );
        if (!isKnown) adjustments.push({ ...row, partition: to });
      }
      adjustments = adjustments.filter((row) => keyOf(row.partition) !== old);
      heads = heads.filter(({ partition }) => partition !== old);
      known.delete(old);
    },
    partitions: () =>
      [...known.keys()].toSorted().map((key) => {
        const [project = '', model = ''] = key.split('\n');
        return { project, model };
      }),
    publishHead(partition, head) {
      const key = keyOf(partition);
      heads = heads.filter((row) => row.partition !== key || row.processId !== processId);
      if (head !== null) heads.push({ ...head, partition: key, processId });
    },
  };
}
