import { readFileSync } from 'node:fs';
import t from 'tap';
import { ERROR_CATALOGUE, type ErrorReason, ProxyError } from '../../src/errors.ts';
import { closeOf, closeOfRefusal, goingAway } from '../../src/exchange/live-close.ts';
import { classify } from '../../src/gemini/route.ts';

const page = readFileSync(new URL('../../docs/surfaces.md', import.meta.url), 'utf8');

/** The rows of the first table below a heading or sentence, as cells. */
function tableBelow(start: string): string[][] {
  const [, rest = ''] = page.split(start);
  const table = /\n\|[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n)+)/.exec(rest)?.[1] ?? '';
  const rows = table.trim().split('\n');
  return rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const wordsIn = (cell = ''): string[] =>
  [...cell.matchAll(/`([^`]+)`/g)].map(([, word = '']) => word);

t.test('the table of closes tells every code, and each reason under its own', async (t) => {
  const told = new Map<string, number>();
  for (const [code, reasons] of tableBelow('## Live')) {
    for (const word of wordsIn(reasons)) told.set(word, Number(code));
  }
  for (const [word, code] of told) {
    if (!Object.hasOwn(ERROR_CATALOGUE, word)) continue;
    // Sound because the catalogue has it.
    const reason = word as ErrorReason;
    const isTimed = code === 1013;
    const error = new ProxyError(reason, 'A sentence.', isTimed ? { retryAfterMs: 23_000 } : {});
    const close = closeOf(error);
    t.equal(close.code, code, reason);
    const start = isTimed ? `headgate ${reason}. Please retry in 23s. A` : `headgate ${reason}. A`;
    t.ok(close.reason.toString().startsWith(start), close.reason.toString());
  }
  for (const [reason, { http }] of Object.entries(ERROR_CATALOGUE)) {
    if (http === 429) t.ok(told.has(reason), `${reason} is told`);
  }
  t.equal(told.get(goingAway().reason.toString()), goingAway().code);
  const codes = tableBelow('## Live').map(([code]) => Number(code));
  for (const status of [400, 401, 403, 404, 429, 500, 503]) {
    const { code, reason } = closeOfRefusal(status, '{"error":{"message":"What it says."}}');
    t.ok(codes.includes(code), String(status));
    t.equal(reason.toString(), 'What it says.');
  }
});

t.test('the tables of paths tell what is counted', async (t) => {
  const counted = tableBelow('Counted, against').flatMap(([path]) => wordsIn(path));
  const methods = new Set<string>();
  for (const path of counted) {
    if (!path.startsWith('/')) continue;
    const endpoint = classify('POST', path);
    t.ok(endpoint.counted, path);
    methods.add(endpoint.method);
  }
  t.equal(methods.size, 11, 'each kind of counted call');
  for (const path of tableBelow('Not counted').flatMap(([cell]) => wordsIn(cell))) {
    for (const method of ['GET', 'POST']) t.notOk(classify(method, path).counted, path);
  }
});
