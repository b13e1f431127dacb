import { ProxyError } from '../errors.ts';
import { OUTPUT_TOKENS_ASSUMED } from '../exchange/classified-call.ts';
import type { Settings } from '../exchange/settings.ts';
import type { ExplainQuery } from '../http/control.ts';
import type { ExplainView } from '../http/views.ts';
import type { Block, LedgerStore, WindowState } from '../quota/ledger.ts';
import { LedgerBusyError } from '../quota/ledger.ts';
import type { Partition, QuotaRules } from '../quota/policy.ts';
import { NO_UNITS } from '../quota/units.ts';
import { amountWords, blockDetail } from '../quota/words.ts';
import type { Scheduler } from '../queue/scheduler.ts';
import type { Store } from '../store/store.ts';

const USD_MICROS = 1_000_000;

export interface ExplainContext {
  readonly store: Store;
  readonly scheduler: Scheduler;
  readonly configuration: { readonly settings: Pick<Settings, 'price'> };
  readonly rulesOf: (project: string, requestedModel: string) => QuotaRules;
}

/** Asks the ledger, and says so plainly when another process holds the database just now. */
export function reading<T>(ledger: LedgerStore, work: () => T): T {
  try {
    return ledger.transact(work);
  } catch (error) {
    if (!(error instanceof LedgerBusyError)) throw error;
    throw new ProxyError(
      'DATABASE_UNAVAILABLE',
      'the database is held by another process just now. Ask again.',
      { retryAfterMs: 100, cause: error },
    );
  }
}

/** Thrown to roll back what was only tried. */
class Undo extends Error {}

/** Reserves the imagined call and rolls that back: the answer is what would really happen. */
export function explain(
  query: ExplainQuery,
  { configuration, scheduler, store, rulesOf }: ExplainContext,
  isoOrNull: (atMs: number | null) => string | null,
): ExplainView {
  const { ledger, timeline } = store;
  const inForce = rulesOf(query.project, query.model);
  // Without an agent the question is about quota, not about whether somebody has just started.
  const rules = query.agent === null ? { ...inForce, start: null } : inForce;
  const { partition } = rules;
  const { model } = partition;
  // An answer of unknown length is expected to be as long as that of a call that does not limit it.
  const tokens = { input: query.tokens, output: OUTPUT_TOKENS_ASSUMED, cached: 0 };
  const usdMicros = configuration.settings.price(model, tokens);
  const units = { ...NO_UNITS, requests: 1, inputTokens: query.tokens, usdMicros };
  const head = reading(ledger, () => scheduler.states()).find((one) =>
    isSame(one.partition, partition),
  );
  const atMs = timeline.nowMs();
  let outcome: ReturnType<LedgerStore['reserve']> | null = null;
  try {
    reading(ledger, () => {
      outcome = ledger.reserve({
        reservationId: 'explain',
        rules,
        agent: query.agent ?? 'explain',
        units,
        ceiling: units,
        exact: true,
        sinceMs: atMs,
        interactive: true,
        atMs,
        behind: head === undefined ? null : { ceiling: head.ticket.ceiling },
      });
      throw new Undo();
    });
  } catch (error) {
    if (!(error instanceof Undo)) throw error;
  }
  return explained(partition, outcome, atMs, isoOrNull);
}

function explained(
  partition: Partition,
  outcome: ReturnType<LedgerStore['reserve']> | null,
  atMs: number,
  isoOrNull: (atMs: number | null) => string | null,
): ExplainView {
  if (outcome === null || outcome.kind === 'admitted') {
    return { ...partition, admit: true, wait_ms: 0, limited_by: [] };
  }
  if (outcome.kind === 'too_large') {
    const { state, needs } = outcome;
    const [wanted, most] = [needs, state.limit ?? 0].map((amount) => amountWords(amount, state));
    const message = `needs ${wanted}, more than the whole limit of ${most}`;
    const row = { policy: state.policy, ...amounts(state), free_at: null, message };
    return { ...partition, admit: false, wait_ms: null, limited_by: [row] };
  }
  const { blocks, retryAtMs } = outcome;
  return {
    ...partition,
    admit: false,
    wait_ms: Number.isFinite(retryAtMs) ? Math.max(0, Math.ceil(retryAtMs - atMs)) : null,
    limited_by: blocks.map((block: Block) => ({
      policy: block.state?.policy ?? block.cooldown?.kind ?? block.reason,
      ...amounts(block.state),
      free_at: isoOrNull(block.freeAtMs),
      message: blockDetail(block),
    })),
  };
}

function isSame(a: Partition, b: Partition): boolean {
  return a.project === b.project && a.model === b.model;
}

/** Dollars are counted in millionths and told whole, as in GET /status. */
function amounts(state: WindowState | null): { used: number; limit: number | null } {
  if (state === null) return { used: 0, limit: null };
  const scale = state.unit === 'usd' ? USD_MICROS : 1;
  const { used, limit } = state;
  return { used: used / scale, limit: limit === null ? null : limit / scale };
}
