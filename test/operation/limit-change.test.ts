import t from 'tap';
import { call, generate, limits, saying, startGate, statusOf } from '../support/gate.ts';

t.test('limits are set of one model, not of a row that stands for several', async (t) => {
  const gate = await startGate(t, { config: { rate_limits: limits({ rpm: 5 }) } });
  const change = (method: string, model: string, body?: object) =>
    call(gate, `/limits/${encodeURIComponent(model)}`, { method, ...(body && { body }) });
  for (const key of ['default', 'gemini-2.5*', 'gemini-{2,3}-pro']) {
    const { status, text } = await change('PATCH', key, { rpm: 1 });
    t.equal(status, 400, key);
    t.match(JSON.parse(text), { reason: 'BAD_REQUEST', where: 'model', detail: /one by its name/ });
  }
  t.equal((await change('PATCH', 'gemini-2.5-pro', { rpm: 1 })).status, 200);
  const { banners, partitions } = await statusOf(gate);
  t.strictSame(
    partitions.map(({ model }) => model),
    ['gemini-2.5-pro'],
  );
  t.equal(banners.length, 1);
  t.equal((await call(gate, generate('gemini-2.5-pro'), { body: saying('Hello') })).status, 200);
});

t.test('a reset of what was never called shows nothing new', async (t) => {
  const gate = await startGate(t, { config: { rate_limits: limits({ rpm: 5 }) } });
  const { status, text } = await call(gate, '/limits/mistyped', { method: 'DELETE' });
  t.equal(status, 200);
  t.match(JSON.parse(text), { model: 'mistyped', windows: [{ policy: 'rpm', limit: 5 }] });
  t.strictSame((await statusOf(gate)).partitions, []);
});
