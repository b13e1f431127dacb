import t from 'tap';
import { loadConfig } from '../../src/config/load.ts';
import { price, type PricedTokens } from '../../src/config/pricing.ts';
import { addUsage } from '../../src/exchange/live-usage.ts';
import { pricedTokens } from '../../src/exchange/settlement.ts';
import { usageOf } from '../../src/gemini/answer-json.ts';

const config = loadConfig({ file: null, env: { HOME: '/users/me' }, cwd: '/cwd', flags: {} });
const OCTOBER = Date.UTC(2026, 9, 13);
const LAST_OF_NOVEMBER = Date.UTC(2026, 10, 30, 23, 59, 59, 999);
const DECEMBER = Date.UTC(2026, 11, 1);
const JANUARY = Date.UTC(2027, 0, 1);

interface PricedCase {
  readonly what: string;
  readonly model: string;
  readonly atMs?: number;
  readonly tokens: PricedTokens;
  /** Reckoned by hand from the public price list, per million tokens. */
  readonly dollars: number;
}

const none = { text: 0, audio: 0, image: 0, video: 0 };

const CASES: readonly PricedCase[] = [
  {
    what: 'a million of each: 0.30 + 2.50',
    model: 'gemini-2.5-flash',
    tokens: { input: 1_000_000, output: 1_000_000, cached: 0 },
    dollars: 2.8,
  },
  {
    what: 'a short call: 1,204 x 0.30 + 50 x 2.50, rounded to millionths',
    model: 'gemini-2.5-flash',
    tokens: { input: 1_204, output: 50, cached: 0 },
    dollars: 0.000_486,
  },
  {
    what: 'three quarters cached: 50,000 x 1.25 + 150,000 x 0.125',
    model: 'gemini-2.5-pro',
    tokens: { input: 200_000, output: 0, cached: 150_000 },
    dollars: 0.081_25,
  },
  {
    what: '200,000 are not yet a long prompt: 0.25 + 0.1',
    model: 'gemini-2.5-pro',
    tokens: { input: 200_000, output: 10_000, cached: 0 },
    dollars: 0.35,
  },
  {
    what: 'one more is, with its output and cache too: 100,001 x 2.50 + 100,000 x 0.25 + 10,000 x 15',
    model: 'gemini-2.5-pro',
    tokens: { input: 200_001, output: 10_000, cached: 100_000 },
    dollars: 0.425_003,
  },
  {
    what: 'the other model with a long prompt: 300,000 x 4 + 1,000 x 18',
    model: 'gemini-3.1-pro-preview',
    tokens: { input: 300_000, output: 1_000, cached: 0 },
    dollars: 1.218,
  },
  {
    what: 'no long prompts: 900,000 x 2 + 1,000 x 10',
    model: 'gemini-4-carbon',
    atMs: OCTOBER,
    tokens: { input: 900_000, output: 1_000, cached: 0 },
    dollars: 1.81,
  },
  {
    what: 'until the last day of November: 2 + 10, and 0.10 cached',
    model: 'gemini-4-argon',
    atMs: LAST_OF_NOVEMBER,
    tokens: { input: 2_000_000, output: 1_000_000, cached: 1_000_000 },
    dollars: 12.1,
  },
  {
    what: 'from December on: 4 + 20, and 0.20 cached',
    model: 'gemini-4-argon',
    atMs: DECEMBER,
    tokens: { input: 2_000_000, output: 1_000_000, cached: 1_000_000 },
    dollars: 24.2,
  },
  {
    what: 'December changes nothing for others: 0.75 + 3.75',
    model: 'gemini-3.6-flash',
    atMs: DECEMBER,
    tokens: { input: 1_000_000, output: 1_000_000, cached: 0 },
    dollars: 4.5,
  },
  {
    what: 'the new year does: 1.50 + 7.50',
    model: 'gemini-3.7-flash',
    atMs: JANUARY,
    tokens: { input: 1_000_000, output: 1_000_000, cached: 0 },
    dollars: 9,
  },
  {
    what: 'a dated name takes the price of its model: 0.25 + 1.50',
    model: 'gemini-3.1-flash-lite-preview-11-2026',
    tokens: { input: 1_000_000, output: 1_000_000, cached: 0 },
    dollars: 1.75,
  },
  {
    what: 'audio beside text: 200 x 0.30 + 800 x 1.00, of which 300 cached at 0.10, + 100 x 2.50',
    model: 'gemini-2.5-flash',
    tokens: {
      input: 1_000,
      output: 100,
      cached: 300,
      kinds: {
        input: { ...none, text: 200, audio: 800 },
        cached: { ...none, audio: 300 },
        output: { ...none, text: 100 },
      },
    },
    dollars: 0.000_84,
  },
  {
    what: 'pictures have the price of text where no other is named: 1,290 x 0.30',
    model: 'gemini-2.5-flash',
    tokens: {
      input: 1_290,
      output: 0,
      cached: 0,
      kinds: { input: { ...none, image: 1_290 }, cached: none, output: none },
    },
    dollars: 0.000_387,
  },
  {
    what: 'a picture of 1k: 1,120 x 120, its prompt 10 x 2, its thoughts 200 x 12',
    model: 'gemini-3-pro-image',
    tokens: {
      input: 10,
      output: 1_320,
      cached: 0,
      kinds: {
        input: { ...none, text: 10 },
        cached: none,
        output: { ...none, text: 200, image: 1_120 },
      },
    },
    dollars: 0.136_82,
  },
  {
    what: 'a picture of which no kind is told is no text: 1,290 x 30',
    model: 'gemini-2.5-flash-image',
    tokens: { input: 0, output: 1_290, cached: 0 },
    dollars: 0.038_7,
  },
  {
    what: 'a Live turn: 1,000 x 3 heard, 500 x 0.75 read, 258 x 1 seen, 400 x 12 said, 20 x 4.50 thought',
    model: 'gemini-3.1-flash-live-preview',
    tokens: {
      input: 1_758,
      output: 420,
      cached: 0,
      kinds: {
        input: { ...none, text: 500, audio: 1_000, video: 258 },
        cached: none,
        output: { ...none, text: 20, audio: 400 },
      },
    },
    dollars: 0.008_523,
  },
  {
    what: 'speech from text: 100 x 1.00 + 1,000 x 20',
    model: 'gemini-2.5-pro-preview-tts',
    tokens: { input: 100, output: 1_000, cached: 0 },
    dollars: 0.020_1,
  },
  {
    what: 'a film to embed: 10,000 x 12',
    model: 'gemini-embedding-2',
    tokens: {
      input: 10_000,
      output: 0,
      cached: 0,
      kinds: { input: { ...none, video: 10_000 }, cached: none, output: none },
    },
    dollars: 0.12,
  },
  {
    what: 'more told of a part than of the whole costs no more than the whole: 100 x 1.00',
    model: 'gemini-2.5-flash',
    tokens: {
      input: 100,
      output: 0,
      cached: 0,
      kinds: { input: { ...none, audio: 5_000 }, cached: { ...none, audio: 70 }, output: none },
    },
    dollars: 0.000_1,
  },
  {
    what: 'open weights are free',
    model: 'gemma-4-31b-it',
    tokens: { input: 1_000_000, output: 1_000_000, cached: 0 },
    dollars: 0,
  },
];

t.test('Calls cost what a person reckons from the price list.', (t) => {
  for (const { what, model, atMs = OCTOBER, tokens, dollars } of CASES) {
    t.equal(price(config, model, tokens, atMs), Math.round(dollars * 1e6), `${model}: ${what}`);
  }
  t.end();
});

t.test('What answers tell is what is priced: thoughts, caches, kinds, on every surface.', (t) => {
  const dollarsOf = (model: string, answer: Record<string, unknown>): number => {
    const usage = usageOf(answer);
    return usage === null ? -1 : price(config, model, pricedTokens(usage), OCTOBER) / 1e6;
  };
  // 900 x 0.30 + 100 x 0.03 + (50 + 450) x 2.50
  const native = {
    promptTokenCount: 1_000,
    cachedContentTokenCount: 100,
    candidatesTokenCount: 50,
    thoughtsTokenCount: 450,
    totalTokenCount: 1_500,
    promptTokensDetails: [{ modality: 'TEXT', tokenCount: 1_000 }],
  };
  t.equal(dollarsOf('gemini-2.5-flash', { usageMetadata: native }), 0.001_523);
  // 200 x 0.30 + 800 x 1.00 + 10 x 2.50; an empty entry counts nothing.
  const heard = {
    promptTokenCount: 1_000,
    candidatesTokenCount: 10,
    totalTokenCount: 1_010,
    promptTokensDetails: [
      { modality: 'TEXT', tokenCount: 200 },
      { modality: 'AUDIO', tokenCount: 800 },
      { modality: 'VIDEO' },
      'strange',
    ],
  };
  t.equal(dollarsOf('gemini-2.5-flash', { usageMetadata: heard }), 0.000_885);
  // The same, as an interaction tells it.
  const interaction = {
    total_input_tokens: 1_000,
    total_output_tokens: 10,
    total_tokens: 1_010,
    input_tokens_by_modality: [
      { modality: 'text', tokens: 200 },
      { modality: 'audio', tokens: 800 },
    ],
  };
  t.equal(dollarsOf('gemini-2.5-flash', { interaction: { usage: interaction } }), 0.000_885);
  // 35 x 0.30 + 74 x 2.50: thoughts show only in the total.
  const chat = { prompt_tokens: 35, completion_tokens: 12, total_tokens: 109 };
  t.equal(dollarsOf('gemini-2.5-flash', { usage: chat }), 0.000_196);
  // 1,120 x 60 + (30 + 70) x 3 + 10 x 0.50
  const drawn = {
    promptTokenCount: 10,
    candidatesTokenCount: 1_150,
    thoughtsTokenCount: 70,
    candidatesTokensDetails: [
      { modality: 'IMAGE', tokenCount: 1_120 },
      { modality: 'TEXT', tokenCount: 30 },
    ],
  };
  t.equal(dollarsOf('gemini-3.1-flash-image', { usageMetadata: drawn }), 0.067_505);
  t.end();
});

t.test('Turns of a Live session are priced by what all of them were made of.', (t) => {
  const turn = (modality: string) =>
    usageOf({
      usageMetadata: {
        promptTokenCount: 100,
        responseTokenCount: 10,
        totalTokenCount: 110,
        promptTokensDetails: [{ modality, tokenCount: 100 }],
        responseTokensDetails: [{ modality: 'AUDIO', tokenCount: 10 }],
      },
    });
  const [heard, read] = [turn('AUDIO'), turn('TEXT')];
  if (heard === null || read === null) throw new Error('a turn told nothing');
  const both = pricedTokens(addUsage(addUsage(null, heard), read));
  // 100 x 3 + 100 x 0.50 + 20 x 12
  t.equal(price(config, 'gemini-live-2.5-flash', both, OCTOBER), 590);
  t.end();
});
