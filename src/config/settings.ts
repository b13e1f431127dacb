import type { QuotaRules } from '../quota/policy.ts';
import type { LoadedConfig } from './loaded.ts';
import { projectOf, resolveAlias, rulesFor } from './limits.ts';
import { price } from './pricing.ts';

/** What a configuration means for an exchange; has the shape that the exchange asks for. */
export interface ExchangeSettings {
  readonly upstreamBaseUrl: string;
  readonly upstreamApiKey: string | null;
  projectOf(apiKey: string | null): string;
  resolveAlias(model: string): string;
  rules(project: string, model: string): QuotaRules;
  readonly tokenMargin: number;
  /** Whether any policy counts output tokens. */
  readonly countsOutput: boolean;
  readonly mode: LoadedConfig['mode'];
  readonly queue: LoadedConfig['queue'];
  price(
    model: string,
    tokens: { readonly input: number; readonly output: number; readonly cached: number },
  ): number;
}

/** `wallMs` dates the prices: some change on a known day. */
export function settingsFrom(config: LoadedConfig, wallMs: () => number): ExchangeSettings {
  return {
    upstreamBaseUrl: config.upstream.baseUrl,
    upstreamApiKey: config.upstream.apiKey,
    projectOf: (apiKey) => projectOf(config, apiKey),
    resolveAlias: (model) => resolveAlias(config, model),
    rules: (project, model) => rulesFor(config, project, model),
    tokenMargin: config.rateLimits.tokenMargin,
    countsOutput: countsOutput(config),
    mode: config.mode,
    queue: config.queue,
    price: (model, tokens) => price(config, model, tokens, wallMs()),
  };
}

function countsOutput({ rateLimits, projects }: LoadedConfig): boolean {
  if (rateLimits.tpmCounts === 'total') return true;
  const tables = [...rateLimits.tables, ...[...projects.values()].map(({ table }) => table)];
  return tables
    .flatMap((table) => [...table.values()])
    .some(({ windows }) => windows?.value.some(({ unit }) => unit === 'total_tokens'));
}
