import type { LoadedConfig } from '../config/loaded.ts';
import { isPriced } from '../config/pricing.ts';
import type { ConfigView } from '../http/views.ts';
import type { LedgerStore } from '../quota/ledger.ts';
import type { QuotaRules } from '../quota/policy.ts';
import { limitInForce } from '../quota/policy.ts';
import { budgetLevel, budgetWords } from './budgets.ts';
import { policyLimitText, projectText } from './limit-words.ts';

/** Limits told of one by one; more would bury what else there is to say. */
const LIMITS_TOLD_MAX = 20;

/** What a person should see first: each a sentence that says what is so, and what to do. */
export function bannersOf(options: {
  readonly config: LoadedConfig;
  readonly view: ConfigView;
  readonly ledger: LedgerStore;
  readonly rulesOf: (project: string, requestedModel: string) => QuotaRules;
  readonly isDraining: boolean;
  /** On the timeline. */
  readonly nowMs: number;
}): string[] {
  const { config, view, isDraining } = options;
  const banners = isDraining
    ? [
        'headgate is stopping: calls under way may end, and new ones are refused until it is started.',
      ]
    : [];
  banners.push(...config.warnings);
  if (view.reload_error !== null) {
    banners.push(
      `The last reload was not taken, and the former configuration stays in force: ${sentence(view.reload_error)} Correct it and save the file, or run "headgate reload".`,
    );
  }
  if (config.mode === 'shadow') {
    banners.push(
      'Shadow mode: calls are counted and never held, so Google may answer with 429. Set mode to enforce to hold them.',
    );
  } else if (config.mode === 'off') {
    banners.push(
      'The rate limit is off: calls go out at once and are only counted, so Google may answer with 429. Set enable_rate_limit to true and start without --no-rate-limit to hold them.',
    );
  }
  banners.push(...budgetBanners(options).slice(0, LIMITS_TOLD_MAX));
  const limits = limitBanners(options);
  banners.push(...limits.slice(0, LIMITS_TOLD_MAX));
  const untold = limits.length - LIMITS_TOLD_MAX;
  if (untold > 0) {
    banners.push(
      `${untold} more limits are learned or set live; "headgate limits list" tells them.`,
    );
  }
  return banners;
}

/** Budgets that are nearly used up, and those that cannot be, for want of a price. */
function budgetBanners({
  config,
  ledger,
  rulesOf,
  nowMs,
}: Pick<Parameters<typeof bannersOf>[0], 'config' | 'ledger' | 'rulesOf' | 'nowMs'>): string[] {
  return ledger.partitions().flatMap((partition) => {
    const { policies, ...rest } = rulesOf(partition.project, partition.model);
    const budgets = policies.filter(({ unit }) => unit === 'usd');
    if (budgets.length === 0) return [];
    if (!isPriced(config.prices, partition.model)) {
      return [
        `${partition.model} has no price, so that its calls count as $0 in its budget. Add it to a price list of your own and name that in pricing.`,
      ];
    }
    return ledger
      .windows({ ...rest, partition, policies: budgets }, nowMs)
      .windows.flatMap((window, index) =>
        budgetLevel(window) === 0
          ? []
          : [budgetWords(partition, window, budgets[index]?.holds !== false)],
      );
  });
}

function limitBanners({
  ledger,
  rulesOf,
}: Pick<Parameters<typeof bannersOf>[0], 'ledger' | 'rulesOf'>): string[] {
  return ledger.adjustedLimits().flatMap((row) => {
    const { project, model } = row.partition;
    const policy = rulesOf(project, model).policies.find(({ name }) => name === row.policy);
    // A window that is configured no more holds nothing, whatever was once learned of it.
    if (policy === undefined) return [];
    const { limit, source } = limitInForce(policy.limit, row);
    const name = `${row.policy} of ${model}${projectText(project)}`;
    const reset = `"headgate limits reset ${model}${project === 'default' ? '' : ` --project ${project}`}"`;
    const configured = policyLimitText(policy, policy.limit);
    if (source === 'override') {
      return [
        `${name} is set live to ${policyLimitText(policy, limit)}; ${reset} brings back ${configured}, as configured.`,
      ];
    }
    if (source === 'learned') {
      return [
        `${name} was learned from an upstream 429: ${policyLimitText(policy, limit)}, where ${configured} is configured. Configure what Google grants you, or forget it with ${reset}.`,
      ];
    }
    return [];
  });
}

/** Messages of errors may or may not end like a sentence. */
function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
