import type { Settings } from '../exchange/settings.ts';
import type { LedgerStore } from '../quota/ledger.ts';

/** Names remembered; a caller could make up any number. */
const ALIASES_MAX = 1_000;

export interface ModelNamesOptions {
  readonly settings: () => Settings;
  readonly ledger: LedgerStore;
  /** As learned before. */
  readonly learned: ReadonlyMap<string, string>;
  /** Runs database work soon. */
  readonly note: (write: () => void) => void;
  readonly writeAlias: (alias: string, model: string) => void;
  /** A name has been learned: whoever waits under it must be matched anew. */
  readonly onLearned: (alias: string, model: string) => void;
}

/** Several names of one model, which Google counts as one: configured ones, and learned ones. */
export class ModelNames {
  readonly #options: ModelNamesOptions;
  readonly #learned: Map<string, string>;

  constructor(options: ModelNamesOptions) {
    this.#options = options;
    this.#learned = new Map(options.learned);
  }

  /** The model that a name stands for, else the name itself. What is configured comes first. */
  resolve(requestedModel: string): string {
    const configured = this.#options.settings().resolveAlias(requestedModel);
    if (configured !== requestedModel) return configured;
    return this.#learned.get(requestedModel) ?? configured;
  }

  /** Takes over what the upstream says of a name. Configured names are never renamed. */
  learn(alias: string, model: string): void {
    const { settings, note, writeAlias, onLearned } = this.#options;
    if (this.#learned.get(alias) === model || this.#learned.size >= ALIASES_MAX) return;
    // Two names must not stand for each other.
    if (settings().resolveAlias(alias) !== alias || this.resolve(model) === alias) return;
    this.#learned.set(alias, model);
    note(() => {
      writeAlias(alias, model);
      this.#merge(alias, model);
    });
    onLearned(alias, model);
  }

  /** Counts together what was counted under names that are configured as one. */
  mergeConfigured(aliases: Iterable<string>): void {
    const { settings, note } = this.#options;
    note(() => {
      for (const alias of aliases) this.#merge(alias, settings().resolveAlias(alias));
    });
  }

  #merge(alias: string, model: string): void {
    const { ledger } = this.#options;
    for (const partition of ledger.partitions()) {
      if (partition.model === alias) ledger.mergePartitions(partition, { ...partition, model });
    }
  }
}
