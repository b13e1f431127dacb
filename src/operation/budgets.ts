import type { Clock, Timer } from '../clock.ts';
import type { LedgerStore, WindowState } from '../quota/ledger.ts';
import { LedgerBusyError } from '../quota/ledger.ts';
import type { Partition, QuotaRules } from '../quota/policy.ts';
import { spanWords } from '../quota/words.ts';

/** Shares of a budget at which it is told of, in percent. */
const LEVELS = [100, 80];
/** Calls of one second are looked at together. */
const LOOK_MS = 1_000;
const USD_MICROS = 1_000_000;

/** The share of a budget that is used, as one of the levels; 0 below the lowest, or without a budget. */
export function budgetLevel({ unit, limit, used }: Pick<WindowState, 'unit' | 'limit' | 'used'>) {
  if (unit !== 'usd' || limit === null || limit === 0) return 0;
  return LEVELS.find((level) => used * 100 >= limit * level) ?? 0;
}

/** What to say of a budget at one of its levels. Amounts in micro-dollars. */
export function budgetWords(
  { project, model }: Partition,
  { policy, limit, used, spanMs }: WindowState,
  holds: boolean,
): string {
  const where = project === 'default' ? model : `${model} in ${project}`;
  const amount = `${dollars(used)} of ${dollars(limit ?? 0)} per ${spanWords(spanMs)} are used`;
  const then = holds
    ? 'calls that no longer fit are held or refused'
    : 'it only warns, and calls go on';
  return `The budget ${policy} of ${where}: ${amount}; ${then}.`;
}

export interface Budgets {
  /** Looks, within a second, at the budgets of a partition that has had costs. */
  note(partition: Partition): void;
  close(): void;
}

/** Tells once each time that a budget rises over one of its levels. */
export function watchBudgets(options: {
  readonly clock: Clock;
  readonly ledger: LedgerStore;
  readonly nowMs: () => number;
  readonly rulesOf: (project: string, requestedModel: string) => QuotaRules;
  /** Writes down what has ended. */
  readonly flush: () => void;
  readonly tell: (sentence: string) => void;
}): Budgets {
  const { clock, ledger, nowMs, rulesOf, flush, tell } = options;
  const changed = new Map<string, Partition>();
  /** By partition and policy; bounded by the partitions that the configuration gives budgets. */
  const told = new Map<string, number>();
  let timer: Timer | null = null;

  function look(): void {
    timer = null;
    flush();
    for (const [key, partition] of changed) {
      const { policies, ...rest } = rulesOf(partition.project, partition.model);
      const rules = { ...rest, partition, policies: policies.filter(({ unit }) => unit === 'usd') };
      const { windows } = ledger.transact(() => ledger.windows(rules, nowMs()));
      changed.delete(key);
      windows.forEach((window, index) => {
        const name = `${key}\n${window.policy}`;
        const level = budgetLevel(window);
        if (level > (told.get(name) ?? 0)) {
          tell(budgetWords(partition, window, rules.policies[index]?.holds !== false));
        }
        if (level === 0) told.delete(name);
        else told.set(name, level);
      });
    }
  }

  function lookSoon(): void {
    timer ??= clock.after(LOOK_MS, () => {
      try {
        look();
      } catch (error) {
        if (!(error instanceof LedgerBusyError)) throw error;
        lookSoon();
      }
    });
  }

  return {
    note(partition) {
      const { policies } = rulesOf(partition.project, partition.model);
      if (!policies.some(({ unit }) => unit === 'usd')) return;
      changed.set(`${partition.project}\n${partition.model}`, partition);
      lookSoon();
    },
    close() {
      timer?.cancel();
    },
  };
}

function dollars(micros: number): string {
  return `$${(micros / USD_MICROS).toLocaleString('en-US', { maximumFractionDigits: 4 })}`;
}
