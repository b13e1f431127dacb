import t from 'tap';
import { cooldownFor } from '../../src/exchange/rejection-rules.ts';
import { classifyRejection } from '../../src/gemini/rejection.ts';

function reasonFor(message: string): string {
  const body = JSON.stringify({ error: { code: 429, status: 'RESOURCE_EXHAUSTED', message } });
  const rejection = classifyRejection(body, 0);
  return cooldownFor(rejection, { atMs: 0, upstreamOffsetMs: 0, repeats: 0 }).reason;
}

t.test('a cooldown says its reason in one line, cut between words', async (t) => {
  t.equal(reasonFor('Too many requests.\nMore of it.'), 'Too many requests.');
  const words = 'quota '.repeat(60).trim();
  t.equal(reasonFor(words), `${'quota '.repeat(33).trim()}…`);
  t.equal(reasonFor('q'.repeat(300)), `${'q'.repeat(200)}…`);
  t.notMatch(reasonFor(`${'quota '.repeat(31)}AIza${'S'.repeat(35)}`), 'AIza');
});
