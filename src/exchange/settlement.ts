import type { Usage } from '../gemini/answer-json.ts';
import type { AnswerFacts } from '../gemini/answer-reader.ts';
import type { QuotaRules } from '../quota/policy.ts';
import type { Units } from '../quota/units.ts';
import type { ClassifiedCall } from './classified-call.ts';
import type { ExchangeContext } from './exchange.ts';
import type { PricedTokens } from './settings.ts';

/**
 * What an exchange really took: as the answer told; the estimate where it told nothing. An answer
 * that failed or was cut short takes the larger of the two, for its request has been counted.
 */
export function takenUnits(
  known: ClassifiedCall,
  rules: QuotaRules,
  answer: { facts: AnswerFacts | null; isOk: boolean; estimated: Units },
): Units {
  const usage = answer.facts?.usage ?? null;
  const estimated = answer.estimated.inputTokens;
  const isTold = usage !== null && usage.inputTokens > 0;
  return {
    requests: known.units.requests,
    rejected: 0,
    inputTokens:
      answer.isOk && isTold ? usage.inputTokens : Math.max(usage?.inputTokens ?? 0, estimated),
    outputTokens: usage?.outputTokens ?? 0,
    usdMicros: usage === null ? 0 : priceOf(known, rules.partition.model, usage),
  };
}

/** Micro-dollars of an answer. */
export function priceOf({ settings }: ClassifiedCall, model: string, usage: Usage): number {
  return settings.price(model, pricedTokens(usage));
}

/** A usage as prices take it. */
export function pricedTokens(usage: Usage): PricedTokens {
  const { inputTokens: input, outputTokens: output, cachedTokens: cached, kinds } = usage;
  return { input, output, cached, ...(kinds !== undefined && { kinds }) };
}

/** Takes in what a good answer teaches: how far the estimate was off, and what an alias stands for. */
export function learnFrom(
  { calibration, learnAlias }: ExchangeContext,
  known: ClassifiedCall,
  { partition: { model } }: QuotaRules,
  { usage, modelVersion }: AnswerFacts,
): void {
  const actual = usage?.inputTokens ?? 0;
  if (actual > 0) {
    calibration.observe({ model, client: known.client }, { estimate: known.rawEstimate, actual });
  }
  // Only names that say of themselves that they stand for another one: some upstreams answer with
  // one fixed modelVersion whatever was asked.
  if (modelVersion !== null && modelVersion !== model && model.endsWith('-latest')) {
    learnAlias(model, modelVersion);
  }
}
