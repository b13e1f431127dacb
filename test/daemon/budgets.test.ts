import t, { type Test } from 'tap';
import type { StatusView } from '../../src/http/views.ts';
import { watchBudgets } from '../../src/operation/budgets.ts';
import type { QuotaRules } from '../../src/quota/policy.ts';
import { NO_UNITS } from '../../src/quota/units.ts';
import { openStore } from '../../src/store/store.ts';
import { daemonFor, simulatorFor, writeConfig } from '../support/daemon.ts';
import { ManualClock } from '../support/manual-clock.ts';

/** A daemon with one budget for a model of which an answer costs some ten millionths of a dollar. */
async function daemonWithBudget(t: Test, window: object) {
  const simulator = await simulatorFor(t, {
    models: {},
    default: { rpm: null, tpm: null, rpd: null },
    latency: { first_byte: [0, 1] },
  });
  const open = { rpm: null, tpm: null, rpd: null };
  const budget = { name: 'spend', unit: 'usd', limit: 0.0004, per: 'day', ...window };
  const gemini = { default: open, 'gemini-2.5-flash': { ...open, windows: [budget] } };
  const file = writeConfig(t, {
    upstreamUrl: simulator.url,
    limits: { rpm: null, tpm: null },
    rest: { rate_limits: { profile: 'none', gemini } },
  });
  const { url } = await daemonFor(t, file);
  return {
    status: async (): Promise<StatusView> =>
      // What the daemon answers is described there.
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      (await (await fetch(`${url}/status`)).json()) as StatusView,
    call: () =>
      fetch(`${url}/v1beta/models/gemini-2.5-flash:generateContent`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          contents: [{ role: 'user', parts: [{ text: 'Why is the sky blue?' }] }],
          generationConfig: { maxOutputTokens: 4 },
        }),
      }),
  };
}

/** Calls until one is refused, at most so often. */
async function callUntilRefused(call: () => Promise<Response>, most: number) {
  for (let calls = 1; calls <= most; calls += 1) {
    const reply = await call();
    if (reply.status !== 200) return { calls, reply };
    await reply.text();
  }
  return { calls: most, reply: null };
}

t.test(
  'A budget that is used up refuses at once, and says what is spent and until when.',
  async (t) => {
    const { call, status } = await daemonWithBudget(t, {});
    const { reply, calls } = await callUntilRefused(call, 60);
    t.ok(calls > 1, 'it had room at first');
    t.equal(reply?.status, 429);
    t.equal(reply?.headers.get('x-headgate-refused'), 'QUOTA_DAY');
    const hours = Number(reply?.headers.get('retry-after')) / 3600;
    t.ok(hours > 20 && hours <= 26, `comes back in ${hours} hours, as the day does`);
    const error: unknown = await reply?.json();
    t.match(error, {
      error: { message: /dollars per day: needs \$0\.00\d\d, \$0\.000[34] of \$0\.0004 used/ },
    });
    t.match((await status()).banners, [
      /^The budget spend of gemini-2\.5-flash: \$0\.0+.* of \$0\.0/,
    ]);
  },
);

t.test(
  'A budget that only warns holds no call, and stands among the first things to see.',
  async (t) => {
    const { call, status } = await daemonWithBudget(t, { action: 'warn' });
    const { reply } = await callUntilRefused(call, 60);
    t.equal(reply, null);
    const { banners, partitions, totals } = await status();
    t.match(totals, { answered: 60, refused: 0 });
    const spend = partitions[0]?.windows.find(({ policy }) => policy === 'spend');
    t.ok((spend?.used ?? 0) > (spend?.limit ?? Infinity), 'it is counted on');
    t.match(banners, [
      /^The budget spend of gemini-2\.5-flash: .* it only warns, and calls go on\.$/,
    ]);
  },
);

t.test('A budget is told of once at 80 % and once at 100 %, and anew in its next window.', (t) => {
  const clock = new ManualClock();
  const onError = (error: unknown) => t.error(error);
  const store = openStore({ path: ':memory:', clock, eventsMs: () => 90_000_000, onError });
  t.teardown(() => store.close());
  const partition = { project: 'team', model: 'm' };
  const rules: QuotaRules = {
    partition,
    policies: [
      {
        name: 'spend',
        unit: 'usd',
        limit: 1_000_000,
        window: { kind: 'sliding', spanMs: 3_600_000 },
        holds: false,
        guardMs: 0,
        source: 'test',
      },
    ],
    maxConcurrent: null,
    start: null,
    enforce: true,
    learn: false,
  };
  const lines: string[] = [];
  const budgets = watchBudgets({
    clock,
    ledger: store.ledger,
    nowMs: () => store.timeline.nowMs(),
    rulesOf: () => rules,
    flush: () => undefined,
    tell: (sentence) => lines.push(sentence),
  });
  const spend = (usdMicros: number): void => {
    const atMs = store.timeline.nowMs();
    store.ledger.transact(() => {
      store.ledger.charge(partition, { ...NO_UNITS, usdMicros }, atMs);
    });
    budgets.note(partition);
    clock.advance(1_000);
  };
  spend(790_000);
  t.same(lines, []);
  spend(20_000);
  t.same(lines.splice(0), [
    'The budget spend of m in team: $0.81 of $1 per hour are used; it only warns, and calls go on.',
  ]);
  spend(20_000);
  t.same(lines, [], 'once');
  spend(500_000);
  t.match(lines.splice(0), [/\$1\.33 of \$1/]);
  spend(500_000);
  t.same(lines, []);
  clock.advance(3_600_000);
  spend(1);
  t.same(lines, [], 'what has left the window counts no more');
  spend(1_000_000);
  t.match(lines.splice(0), [/\$1 of \$1/], 'both levels at once are one line');
  budgets.close();
  t.end();
});
