import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ManualClock } from '../support/manual-clock.ts';
import { runInside } from '../support/cli.ts';
import { directoryFor, daemonFor, simulatorFor, writeConfig } from '../support/daemon.ts';
import { csvOf } from '../../src/cli/usage.ts';
import type { UsageView } from '../../src/http/views.ts';
import { dateIn, GOOGLE_QUOTA_ZONE } from '../../src/quota/window.ts';
import { openStore, type Store } from '../../src/store/store.ts';

/** 2026-11-20 22:00 in Los Angeles, which is the 21st in most of the world. */
const NOW_MS = Date.UTC(2026, 10, 21, 6);

/** Days long past, and agents with names that a table or a spreadsheet may trip over. */
const ROWS = [
  { day: '2026-01-04', model: 'gemini-2.5-pro', agent: '=cmd()', usdMicros: 1_500_000 },
  { day: '2026-01-05', model: 'gemini-2.5-flash', agent: 'a "b", c', usdMicros: 20 },
  { day: '2026-01-05', model: 'gemini-2.5-flash', agent: 'a\u001b[2J', usdMicros: 30 },
];

function addRows(store: Store): void {
  for (const row of ROWS) {
    const counts = { project: 'default', outcome: 'ok', inputTokens: 1000, outputTokens: 10 };
    store.learning.addUsage({ ...counts, ...row });
  }
}

/** A daemon whose database knows these rows. */
async function daemonWithUsage(t: Test): Promise<string> {
  const directory = directoryFor(t);
  const clock = new ManualClock({ wallMs: NOW_MS });
  const store = openStore({
    path: join(directory, 'headgate.db'),
    clock,
    eventsMs: () => 90_000_000,
    onError: (error) => t.error(error),
  });
  addRows(store);
  store.close();
  const simulator = await simulatorFor(t, {});
  const limits = { rpm: 100, tpm: null };
  const file = writeConfig(t, { upstreamUrl: simulator.url, limits, directory });
  return (await daemonFor(t, file)).url;
}

// The tests share one daemon.
t.test('Usage is read from a daemon.', async (t) => {
  const url = await daemonWithUsage(t);
  const usage = (...flags: string[]) =>
    runInside(t, ['usage', ...flags], { env: { HEADGATE_URL: url } });

  await t.test(
    'A table has aligned columns, a total, and says whose days these are.',
    async (t) => {
      const { code, stdout, stderr } = await usage('--since', '2026-01-01');
      t.equal(code, 0);
      t.equal(
        stdout,
        [
          'MODEL             REQUESTS  INPUT TOKENS  OUTPUT TOKENS  DOLLARS',
          'gemini-2.5-flash         2         2,000             20  $0.0001',
          'gemini-2.5-pro           1         1,000             10  $1.5000',
          'total                    3         3,000             30  $1.5001',
          '',
        ].join('\n'),
      );
      t.match(stderr, /^2026-01-01 to \d{4}-\d\d-\d\d; a day ends at midnight in America/);
    },
  );

  await t.test('Days are bounded on both sides, the newest first.', async (t) => {
    const both = await usage('--by', 'day', '--since', '2026-01-01', '--until', '2026-02-28');
    t.match(both.stdout, /DAY[^]*\n2026-01-05 +2 [^]*\n2026-01-04 +1 [^]*\ntotal +3 /);
    const one = await usage('--by', 'day', '--until', '2026-01-04', '--json');
    t.match(JSON.parse(one.stdout), {
      by: 'day',
      since: null,
      until: '2026-01-04',
      zone: 'America/Los_Angeles',
      rows: [{ key: '2026-01-04', requests: 1, usd: 1.5 }],
      total: { requests: 1, usd: 1.5 },
    });
    const none = await usage('--since', '1d', '--until', '2099-12-31');
    t.match(none.stdout, /^MODEL .*\ntotal +0 +0 +0 +\$0\.0000\n$/);
  });

  await t.test('7d is today in Los Angeles and the six days before it.', async (t) => {
    const before = Date.now();
    const view: UsageView = JSON.parse((await usage('--since', '7d', '--json')).stdout);
    const todays = [before, Date.now()].map((at) => dateIn(GOOGLE_QUOTA_ZONE, at));
    t.ok(todays.includes(view.until), `${view.until} is today`);
    t.equal(Date.parse(view.until) - Date.parse(view.since ?? ''), 6 * 86_400_000);
  });

  await t.test('CSV is RFC 4180, and no cell of it is a formula.', async (t) => {
    const { stdout, stderr } = await usage('--by', 'agent', '--csv');
    t.equal(stderr, '');
    t.equal(
      stdout,
      [
        'agent,requests,input_tokens,output_tokens,usd',
        `'=cmd(),1,1000,10,1.500000`,
        'a\u001b[2J,1,1000,10,0.000030',
        '"a ""b"", c",1,1000,10,0.000020',
        '',
      ].join('\r\n'),
    );
    // oxlint-disable-next-line eslint/no-control-regex
    t.notMatch((await usage('--by', 'agent')).stdout, /\u001b/, 'a table moves no cursor');
    t.equal((await usage('--csv', '--json')).code, 2, 'one or the other');
  });

  await t.test('A day that is none is refused with the name of the flag.', async (t) => {
    for (const flags of [
      ['--since', '2026-02-31'],
      ['--since', 'monday'],
      ['--since', '0d'],
      ['--until', '7d'],
    ]) {
      const { code, stderr } = await usage(...flags);
      t.equal(code, 2, flags.join(' '));
      t.match(stderr, new RegExp(`${flags[0]?.slice(2)} is "${flags[1]}"; say a day such as`));
    }
    const turned = await usage('--since', '2026-01-05', '--until', '2026-01-04');
    t.match(turned, { code: 2, stderr: /since is 2026-01-05, which is behind until, 2026-01-04/ });
    t.equal((await usage('--by', 'week')).code, 2);
  });
});

t.test('An amount of money keeps its millionths in CSV.', async (t) => {
  const sums = { requests: 1, input_tokens: 1, output_tokens: 1, usd: 0.000001 };
  const view = { by: 'model', since: null, until: '2026-01-05', zone: 'z', total: sums } as const;
  t.match(csvOf({ ...view, rows: [{ key: 'm', ...sums }] }), 'm,1,1,1,0.000001\r\n');
});
