import t from 'tap';
import type { ExplainView } from '../../src/http/views.ts';
import { call, type Gate, generate, limits, MODEL, saying, startGate } from '../support/gate.ts';

async function explain(gate: Gate, tokens: number): Promise<ExplainView> {
  const { text } = await call(gate, '/limits/explain', {
    method: 'POST',
    body: { model: MODEL, tokens },
  });
  // What the daemon answers is described there.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return JSON.parse(text) as ExplainView;
}

t.test('a budget is explained in dollars, at the price of the call', async (t) => {
  const windows = [{ name: 'spend', unit: 'usd', limit: 0.03, per: 'day' }];
  const gate = await startGate(t, { config: { rate_limits: limits({ windows }) } });
  const small = await explain(gate, 10);
  t.match(small, { admit: true, limited_by: [] });
  const large = await explain(gate, 900_000);
  t.match(large, { admit: false, wait_ms: null });
  t.match(large.limited_by, [
    {
      policy: 'spend',
      used: 0,
      limit: 0.03,
      free_at: null,
      message: /^needs \$0\.29\d\d, more than the whole limit of \$0\.0300$/,
    },
  ]);

  const path = generate(MODEL);
  const body = saying('word '.repeat(20_000));
  const answer = await call(gate, path, {
    body: { ...body, generationConfig: { maxOutputTokens: 4 } },
  });
  t.equal(answer.status, 200);
  const next = await explain(gate, 10_000);
  t.equal(next.admit, false);
  const [limited] = next.limited_by;
  t.match(limited, {
    policy: 'spend',
    limit: 0.03,
    message: /^dollars per day: needs \$0\.02\d\d, \$0\.00\d\d of \$0\.0300 used$/,
  });
  t.ok((limited?.used ?? 1) < 0.03, 'dollars, not millionths of them');
  t.type(limited?.free_at, 'string');
});
