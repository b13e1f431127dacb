import { Type, type Static } from 'typebox';
import type { ConfigDocument } from './document.ts';
import type { LimitTable, LoadedConfig, PriceEntry, PriceRates } from './loaded.ts';
import { DEFAULT_KEY, matchingKey } from './patterns.ts';
import type { Problem } from './problems.ts';

const AMOUNT = Type.Number({ minimum: 0, maximum: 1_000_000, title: 'dollars per million tokens' });
/** Tokens that have a price of their own beside those that the model is for. */
const KINDS = ['text', 'audio', 'image', 'video'] as const;
type Kind = (typeof KINDS)[number];

const AMOUNTS = {
  in: Type.Optional(AMOUNT),
  out: Type.Optional(AMOUNT),
  cached: Type.Optional(AMOUNT),
  text_in: Type.Optional(AMOUNT),
  text_out: Type.Optional(AMOUNT),
  text_cached: Type.Optional(AMOUNT),
  audio_in: Type.Optional(AMOUNT),
  audio_out: Type.Optional(AMOUNT),
  audio_cached: Type.Optional(AMOUNT),
  image_in: Type.Optional(AMOUNT),
  image_out: Type.Optional(AMOUNT),
  image_cached: Type.Optional(AMOUNT),
  video_in: Type.Optional(AMOUNT),
  video_out: Type.Optional(AMOUNT),
  video_cached: Type.Optional(AMOUNT),
};
const LONG = Type.Object(AMOUNTS, { additionalProperties: false, title: 'a mapping of prices' });
const DATE = Type.String({
  pattern: '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$',
  title: 'a date such as 2026-12-31',
});
const LATER = Type.Object(
  { ...AMOUNTS, over_200k: Type.Optional(LONG) },
  { additionalProperties: false, title: 'a mapping of prices' },
);
const PRICE = Type.Object(
  {
    ...AMOUNTS,
    over_200k: Type.Optional(LONG),
    until: Type.Optional(DATE),
    // oxlint-disable-next-line unicorn/no-thenable -- a key of the file; its schema is never awaited.
    then: Type.Optional(LATER),
    same_as: Type.Optional(Type.String()),
  },
  { additionalProperties: false, title: 'a mapping of prices' },
);

/** A pricing file: US dollars per million tokens by model, with the dates on which they change. */
export const PRICING_SCHEMA = Type.Object(
  {
    as_of: DATE,
    models: Type.Record(Type.String(), PRICE, { title: 'a mapping of models' }),
  },
  { additionalProperties: false, title: 'a pricing file' },
);

type PricingFile = Static<typeof PRICING_SCHEMA>;
type PriceFile = Static<typeof PRICE>;

const LONG_CONTEXT_TOKENS = 200_000;

/** What an exchange took. `input` includes `cached`, `output` the thoughts. */
export interface PricedTokens {
  readonly input: number;
  readonly output: number;
  readonly cached: number;
  /** What of each the answer told apart; the rest is of the kind that the model is for. */
  readonly kinds?: Readonly<Record<'input' | 'output' | 'cached', Readonly<Record<Kind, number>>>>;
}

/**
 * Micro-dollars of an exchange; 0 for a model without a price. Prices are those of the standard
 * service tier: batch and flex calls cost less than told, and those of the priority tier more.
 */
export function price(
  config: LoadedConfig,
  model: string,
  tokens: PricedTokens,
  wallMs: number,
): number {
  const key = matchingKey(config.prices, model);
  let entry = key === null ? undefined : config.prices.get(key);
  while (entry?.next && entry.untilMs !== null && wallMs >= entry.untilMs) entry = entry.next;
  if (entry === undefined) return 0;
  const rates = tokens.input > LONG_CONTEXT_TOKENS ? (entry.over200k ?? entry) : entry;
  const cached = Math.min(tokens.cached, tokens.input);
  const asUsual =
    (tokens.input - cached) * rates.input + cached * rates.cached + tokens.output * rates.output;
  return Math.max(0, Math.round(asUsual + differences({ ...tokens, cached }, rates)));
}

/** What tokens with prices of their own cost more, or less, than those that the model is for. */
function differences({ input, output, cached, kinds }: PricedTokens, rates: PriceRates): number {
  if (kinds === undefined || rates.kinds.size === 0) return 0;
  // An answer may tell more of the parts than of the whole.
  const left = { input: input - cached, cached, output };
  const take = (from: keyof typeof left, wanted: number): number => {
    const taken = Math.min(Math.max(0, wanted), left[from]);
    left[from] -= taken;
    return taken;
  };
  let sum = 0;
  for (const [kind, own] of rates.kinds) {
    const fromCache = take('cached', kinds.cached[kind]);
    sum += fromCache * (own.cached - rates.cached);
    sum += take('input', kinds.input[kind] - fromCache) * (own.input - rates.input);
    sum += take('output', kinds.output[kind]) * (own.output - rates.output);
  }
  return sum;
}

/** Whether the price list has prices for a model; without them its calls cost nothing here. */
export function isPriced(prices: ReadonlyMap<string, unknown>, model: string): boolean {
  return matchingKey(prices, model) !== null;
}

/**
 * Sentences about rows that count dollars for models without a price. A pattern is told of when no
 * model of the list matches it; `default` never, for it stands for models of which nothing is known.
 */
export function unpricedBudgets(
  tables: readonly LimitTable[],
  prices: ReadonlyMap<string, PriceEntry>,
): string[] {
  return tables.flatMap((table) =>
    [...table].flatMap(([key, { windows }]) => {
      const budgets = windows?.value.filter(({ unit }) => unit === 'usd') ?? [];
      if (key === DEFAULT_KEY || isPriced(prices, key)) return [];
      const row = new Map([[key, null]]);
      if ([...prices.keys()].some((model) => matchingKey(row, model) !== null)) return [];
      return budgets.map(
        ({ name, source }) =>
          `${source}: ${name} of ${key} counts dollars, and the price list has no price for it: its calls count as $0. Add it to a file of your own and name that in pricing`,
      );
    }),
  );
}

/** The prices of a checked pricing file, with `same_as` followed. */
export function priceEntries(
  file: PricingFile,
  document: ConfigDocument,
  problems: Problem[],
): ReadonlyMap<string, PriceEntry> {
  const entries = new Map<string, PriceEntry>();
  for (const [model, written] of Object.entries(file.models)) {
    const path = ['models', model];
    const source = followSameAs(file, model, written);
    if (source === null) {
      const message = `same_as leads nowhere: ${written.same_as}`;
      problems.push(document.problem([...path, 'same_as'], message, 'Name a model with prices'));
      continue;
    }
    if ((source.until === undefined) !== (source.then === undefined)) {
      problems.push(document.problem(path, 'until and then belong together', '', 'key'));
    }
    entries.set(model, priceEntry(source));
  }
  return entries;
}

function followSameAs(file: PricingFile, model: string, written: PriceFile): PriceFile | null {
  const seen = new Set([model]);
  let current: PriceFile | undefined = written;
  while (current?.same_as !== undefined) {
    if (seen.has(current.same_as)) return null;
    seen.add(current.same_as);
    current = file.models[current.same_as];
  }
  return current ?? null;
}

function priceEntry(written: PriceFile): PriceEntry {
  const { over_200k: long, until, then } = written;
  return {
    ...rates(written),
    over200k: long === undefined ? null : rates(long),
    untilMs: until === undefined ? null : dayAfterMs(until),
    next: then === undefined ? null : priceEntry(then),
  };
}

/** A model without a price for cached tokens charges them as any other input. */
function rates(written: Static<typeof LONG>): PriceRates {
  const { in: input = 0, out: output = 0 } = written;
  const cached = written.cached ?? input;
  const kinds = new Map(
    KINDS.flatMap((kind) => {
      const own = [written[`${kind}_in`], written[`${kind}_out`], written[`${kind}_cached`]];
      const [ownInput, ownOutput, ownCached = ownInput] = own;
      if (own.every((amount) => amount === undefined)) return [];
      const rates = {
        input: ownInput ?? input,
        output: ownOutput ?? output,
        cached: ownCached ?? cached,
      };
      return [[kind, rates] as const];
    }),
  );
  return { input, output, cached, kinds };
}

/** A price holds through its last day. In UTC: at a rise, some hours early, so never too low. */
function dayAfterMs(date: string): number {
  const [year = 0, month = 1, day = 1] = date.split('-').map(Number);
  return Date.UTC(year, month - 1, day + 1);
}
