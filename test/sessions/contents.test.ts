import fc from 'fast-check';
import t from 'tap';
import {
  type KnownContents,
  newContents,
  normaliseContents,
  prefixHashes,
  readContents,
  textOfContents,
} from '../../src/sessions/recording/contents.ts';
import type { GeminiContent } from '../../src/sessions/session.ts';

const user = (...texts: readonly string[]): GeminiContent => ({
  role: 'user',
  parts: texts.map((text) => ({ text })),
});
const model = (...texts: readonly string[]): GeminiContent => ({
  ...user(...texts),
  role: 'model',
});

function hashOf(contents: readonly GeminiContent[]): string | undefined {
  return prefixHashes(normaliseContents(contents)).at(-1);
}

function known(
  contents: readonly GeminiContent[],
  more: Partial<KnownContents> = {},
): KnownContents {
  const prefixes = prefixHashes(normaliseContents(contents));
  return { prefixes, lastKeep: 0, lastNew: null, lastBare: false, ...more };
}

const CHAT = [user('q1'), model('a1'), user('q2'), model('a2')];

t.test('the same contents in other shapes are the same', async (t) => {
  const shapes: readonly (readonly [string, unknown])[] = [
    ['chunks as contents', [{ role: 'user', parts: [{ text: 'Hi' }] }, model('a'), model('bc')]],
    ['chunks as parts', [user('Hi'), model('a', 'b', 'c')]],
    ['no role', [{ parts: [{ text: 'Hi' }] }, model('abc')]],
    ['a single part', [{ role: 'user', parts: { text: 'Hi' } }, model('abc')]],
    ['an empty last chunk', [user('Hi'), model('abc'), model(''), { role: 'model', parts: [] }]],
    ['an empty first content', [model(''), user('Hi'), model('abc')]],
    ['white space around it', [user('Hi\n'), model('abc ')]],
    [
      'thoughts and signatures',
      [
        user('Hi'),
        { role: 'model', parts: [{ text: 'hm', thought: true }, { text: 'ab' }] },
        { role: 'model', parts: [{ text: 'c', thoughtSignature: 'x' }] },
        { role: 'model', parts: [{ text: '', thought_signature: 'y' }] },
      ],
    ],
  ];
  const wanted = hashOf([user('Hi'), model('abc')]);
  for (const [name, contents] of shapes) t.equal(hashOf(readContents(contents)), wanted, name);
  t.not(hashOf([user('Hi'), model('abd')]), wanted, 'another text');
  t.not(hashOf([user('Hi', 'abc')]), wanted, 'another role');
});

t.test('parts other than text compare in both spellings, and by what they hold', async (t) => {
  const camel = [
    {
      role: 'model',
      parts: [{ functionCall: { name: 'f', args: { a_b: 1, c: { d: 2, e: 3 } } } }],
    },
    { role: 'user', parts: [{ functionResponse: { id: '1', name: 'f', response: { ok: true } } }] },
    { role: 'user', parts: [{ inlineData: { mimeType: 'image/png', data: 'AA==' } }] },
  ];
  const snake = [
    {
      role: 'model',
      parts: [{ function_call: { args: { c: { e: 3, d: 2 }, a_b: 1 }, name: 'f', id: '7' } }],
    },
    { role: 'function', parts: [{ function_response: { name: 'f', response: { ok: true } } }] },
    { parts: [{ inline_data: { data: 'AA==', mime_type: 'image/png' } }] },
  ];
  t.equal(hashOf(readContents(camel)), hashOf(readContents(snake)));
  const other: unknown = JSON.parse(JSON.stringify(camel).replace('"d":2', '"d":4'));
  t.not(hashOf(readContents(other)), hashOf(readContents(camel)), 'other arguments');
  // The arguments' own keys are data.
  t.not(
    hashOf(readContents([{ parts: [{ functionCall: { name: 'f', args: { aB: 1 } } }] }])),
    hashOf(readContents([{ parts: [{ functionCall: { name: 'f', args: { a_b: 1 } } }] }])),
  );
});

t.test('what is no content is left out', async (t) => {
  for (const nothing of [undefined, null, 'text', 7, [], [null, 'x', 3]]) {
    t.strictSame(readContents(nothing), []);
  }
  t.strictSame(readContents([{ role: 'model', parts: [null, 'x', { text: 'y' }] }]), [model('y')]);
  t.equal(textOfContents([user('a', 'b'), model('c')]), 'abc');
});

t.test('of a history that goes on, only what is new is taken', async (t) => {
  const sent = [...CHAT, user('q3')];
  t.strictSame(newContents(known(CHAT), sent), {
    keep: 4,
    contents: [user('q3')],
    bare: false,
  });
  const chunked = [
    user('q1'),
    model('a'),
    model('1'),
    model(''),
    user('q2'),
    model('a2'),
    user('q3'),
  ];
  t.match(newContents(known(CHAT), chunked), { keep: 4, contents: [user('q3')] });
});

t.test('a first request is new as a whole', async (t) => {
  const first = [user('q1')];
  t.strictSame(newContents(known([]), first), { keep: 0, contents: first, bare: false });
  const adopted = [...CHAT, user('q3')];
  t.strictSame(newContents(known([]), adopted), { keep: 0, contents: adopted, bare: false });
  t.equal(newContents(known([]), []), null);
  t.equal(newContents(known([]), [user('')]), null);
});

t.test('a rewind keeps what is common', async (t) => {
  const edited = [user('q1'), model('a1'), user('other')];
  t.strictSame(newContents(known(CHAT), edited), {
    keep: 2,
    contents: [user('other')],
    bare: false,
  });
});

t.test('the last request again replaces its answer', async (t) => {
  t.match(newContents(known(CHAT), CHAT.slice(0, 3)), { keep: 2, contents: [user('q2')] });
  t.match(newContents(known(CHAT.slice(0, 2)), [user('q1')]), { keep: 0, contents: [user('q1')] });
});

t.test('a summary in place of the history replaces it', async (t) => {
  const sent = [user('summary'), model('ok'), user('q3')];
  t.strictSame(newContents(known(CHAT), sent), { keep: 0, contents: sent, bare: false });
});

t.test('a client that sends no history takes the next turn', async (t) => {
  const next = [user('q3')];
  t.strictSame(newContents(known(CHAT), next), { keep: 4, contents: next, bare: true });
  const bare = known(CHAT, { lastBare: true, lastKeep: 2, lastNew: hashOf([user('q2')]) ?? '' });
  t.match(newContents(bare, [user('q1')]), { keep: 4, bare: true }, 'its first words again');
  t.match(newContents(bare, [user('q2')]), { keep: 2, bare: true }, 'its last words again');
});

t.test('results of functions go on from the call', async (t) => {
  const call = { role: 'model', parts: [{ functionCall: { name: 'f', args: {} } }] } as const;
  const result = {
    role: 'user',
    parts: [{ functionResponse: { name: 'f', response: { x: 1 } } }],
  } as const;
  const before = [user('q1'), call];
  t.match(newContents(known(before), [...before, result]), { keep: 2, contents: [result] });
  t.equal(normaliseContents([result])[0]?.hasFunctionResponse, true);
  t.equal(normaliseContents([user('x')])[0]?.hasFunctionResponse, false);
});

t.test('kept and new together are always what was sent', async () => {
  const content = fc.record({
    role: fc.constantFrom('user' as const, 'model' as const),
    parts: fc.array(fc.record({ text: fc.constantFrom('', 'a', 'b') }), { maxLength: 2 }),
  });
  const contents = fc.array(content, { maxLength: 6 });
  fc.assert(
    fc.property(contents, contents, (before, sent) => {
      const normal = normaliseContents(before);
      const fresh = newContents(known(before), sent);
      if (fresh === null) return hashOf(sent) === undefined;
      if (fresh.bare) return fresh.contents === sent;
      const base = prefixHashes(normal)[fresh.keep - 1] ?? '';
      const rest = normaliseContents(fresh.contents);
      return rest.length > 0 && prefixHashes(rest, base).at(-1) === hashOf(sent);
    }),
  );
});
