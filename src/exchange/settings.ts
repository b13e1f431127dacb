import type { TokensByKind } from '../gemini/token-kinds.ts';
import type { QuotaRules } from '../quota/policy.ts';

/**
 * What one configuration means for an exchange. Upstream settings are taken when a call arrives;
 * `rules` is asked again at every admission, of the settings then in force.
 */
export interface Settings {
  readonly upstreamBaseUrl: string;
  /** Injected when the client sends no key, or the key "headgate"; null when none is configured. */
  readonly upstreamApiKey: string | null;
  /** The project whose quota this key uses; null is a call without a key of its own. */
  projectOf(apiKey: string | null): string;
  /** The model that a configured alias stands for, else the name itself. */
  resolveAlias(model: string): string;
  /** Everything that holds for one model of one project. */
  rules(project: string, model: string): QuotaRules;
  /** Estimates are multiplied by this; at least 1. */
  readonly tokenMargin: number;
  /** Whether a policy counts output tokens too (tpm_counts: total, or a total_tokens window). */
  readonly countsOutput: boolean;
  readonly mode: 'enforce' | 'shadow' | 'off';
  readonly queue: QueueBounds;
  /** Micro-dollars of an exchange at today's prices; 0 for a model without a price. */
  price(model: string, tokens: PricedTokens): number;
}

/** `input` includes `cached`, `output` the thoughts; `kinds` is what the answer told apart. */
export interface PricedTokens {
  readonly input: number;
  readonly output: number;
  readonly cached: number;
  readonly kinds?: TokensByKind;
}

export interface QueueBounds {
  readonly depthMax: number;
  readonly depthPerAgentMax: number;
  readonly bytesMax: number;
  readonly waitMsMax: number;
  readonly drainMs: number;
}
