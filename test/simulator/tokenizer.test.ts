import fc from 'fast-check';
import t from 'tap';
import { countTextTokens, countTokens } from '../../src/simulator/tokenizer.ts';
import { makePrompt, type PromptKind } from '../support/fleet.ts';

t.test(
  'a text never has more tokens than UTF-8 bytes, nor none when it says something',
  async () => {
    const anyText = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.string({ unit: fc.constantFrom(',', ';', '!') }),
    );
    fc.assert(
      fc.property(anyText, (text) => {
        const tokens = countTextTokens(text);
        return (
          tokens <= Buffer.byteLength(text) &&
          tokens === countTextTokens(text) &&
          (tokens > 0 || text === '')
        );
      }),
    );
  },
);

t.test(
  'tokens come at about the rate of each script, off by up to a quarter from text to text',
  async (t) => {
    const charsPerToken: Record<PromptKind, number> = {
      latin: 4,
      cyrillic: 2.7,
      chinese: 1.25,
      code: 2.8,
    };
    for (const kind of ['latin', 'cyrillic', 'chinese', 'code'] as const) {
      const rates = Array.from({ length: 200 }, (_, seed) => {
        const text = makePrompt(kind, 500, seed);
        return text.length / countTextTokens(text);
      }).sort((a, b) => a - b);
      const median = rates[100] ?? 0;
      const off = median / charsPerToken[kind];
      t.ok(off > 0.8 && off < 1.25, `${kind}: ${median.toFixed(2)} characters a token`);
      const spread = (rates.at(-1) ?? 0) / (rates[0] ?? 1);
      t.ok(spread > 1.3 && spread < 1.9, `${kind}: the extremes are ${spread.toFixed(2)} apart`);
    }
  },
);

t.test('a request counts its contents, its system instruction and its tools', async (t) => {
  const contents = [{ role: 'user', parts: [{ text: 'How deep is the sea?' }] }];
  const base = countTokens({ contents });
  t.equal(base, countTextTokens('How deep is the sea?'));
  const systemInstruction = { parts: [{ text: 'Answer briefly.' }] };
  t.ok(countTokens({ contents, systemInstruction }) > base);
  t.equal(
    countTokens({ contents, systemInstruction }),
    countTokens({ contents, system_instruction: systemInstruction }),
  );
  const tools = [{ functionDeclarations: [{ name: 'sound', description: 'Measures a depth.' }] }];
  t.ok(countTokens({ contents, tools }) > base);
  t.equal(countTokens({ generateContentRequest: { contents } }), base);
  const image = { inlineData: { mimeType: 'image/png', data: 'AAAA' } };
  t.equal(countTokens({ contents: [{ parts: [image] }] }), 1100);
  const call = { functionCall: { name: 'sound', args: { place: 'Mariana' } } };
  t.ok(countTokens({ contents: [{ parts: [call] }] }) > 0);
  for (const odd of [null, 3, 'x', [], { contents: 7 }, { contents: [{ parts: {} }] }]) {
    t.equal(countTokens(odd), 0, 'what cannot be read costs nothing');
  }
});
