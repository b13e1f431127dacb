import t from 'tap';
import type { StatusView } from '../../src/http/views.ts';
import { clip, fitted, type Style, styleFor, visibleLength } from '../../src/cli/style.ts';
import { watchLines } from '../../src/cli/watch-screen.ts';
import { busyStatus, SEEN_MS } from '../support/status-view.ts';

const PLAIN = styleFor({ isTTY: false }, {});
const COLORED = styleFor({ isTTY: true }, {});

function draw(
  view: StatusView,
  columns: number,
  rows: number,
  { style = PLAIN, news = null }: { style?: Style; news?: string | null } = {},
): string[] {
  return watchLines(view, { style, columns, rows, nowMs: SEEN_MS, news });
}

t.test('80 columns and 24 rows hold windows, queue, agents and the day.', (t) => {
  const lines = draw(busyStatus(), 80, 24);
  const text = lines.join('\n');
  t.match(lines[0], /^headgate 1\.2\.3 .*4290 for generativelanguage\.googleapis\.com/);
  t.match(lines[1], '1,234 calls, 1,200 answered, 2 running, 5 waiting, 30 refused, 0 upstream');
  t.match(lines[2], /^Pacific 12:00:00 █{4}░{4} 12 h to midnight {2}profile tier-1, up 1 h$/);
  t.match(text, /gemini-2\.5-flash +rpm █+▓+ +10 \/ 10 +13 s tier-1\n2 running, 5 waiting +tpm/);
  t.match(text, /rpd █+░+ +1,240 \/ 1,500 +learned\n/);
  t.match(text, /gemini-2\.5-flash-lite .*\n0 running .*\ncooldown 33 s, minute +rpd/);
  t.match(
    text,
    /WAITING 5 +# MODEL +TOKENS +IN WAITS FOR\nagent-0 +1 gemini-2\.5-flash +12,400 +13 s rpm: needs 1, 10 of 10 used\n/,
  );
  t.match(
    text,
    /AGENTS 3 of 6 +RUN WAIT +CALLS REFUSED TOKENS +COST NOW\nagent-0 +1 +2 +200 +· +1\.2M \$0\.0125 runs, next in 13 s\n/,
  );
  t.match(text, /agent-2 +· +1 .*next in 15 s, rpm/);
  t.ok(lines.length <= 24);
  t.end();
});

t.test(
  '140 columns and 40 rows also hold what calls hold, waits, reasons whole, refusals.',
  (t) => {
    const lines = draw(busyStatus(), 140, 40);
    const text = lines.join('\n');
    t.match(lines[0], /q quits$/);
    t.equal(visibleLength(lines[0] ?? ''), 140);
    t.match(text, /tpm █+▓+░+ +12,000 116,987 \/ 250,000 +profile tier-1/);
    t.match(
      text,
      /EXPECTED IN WAITS FOR\nagent-0 .* 2 s +13 s requests per minute: needs 1, 10 of/,
    );
    t.match(text, /agent-1 +5 .* unknown requests/, 'what nobody knows comes last');
    t.match(text, /agent-5 .* idle 5 s\n/);
    t.match(text, /QUOTA_DAY +gemini-2\.5-pro: the day is used up\./);
    t.ok(lines.includes(''), 'there is room for empty lines');
    t.end();
  },
);

t.test('No size is too small, and no line is wider than the terminal.', (t) => {
  const views = [
    busyStatus({ waiting: 1_000, agents: 100 }),
    { ...busyStatus(), banners: Array.from({ length: 9 }, (_, at) => `${at} `.repeat(90)) },
    { ...busyStatus(), partitions: [], queue: [], agents: [], recent_refusals: [] },
    strangelyNamed(),
  ];
  for (const [columns, rows] of [
    [80, 24],
    [140, 40],
    [60, 15],
    [40, 8],
    [40, 1],
    [250, 90],
  ] as const) {
    for (const view of views) {
      for (const style of [PLAIN, COLORED]) {
        const lines = draw(view, columns, rows, { style });
        if (rows > 4) t.ok(lines.length <= rows, `${lines.length} lines in ${columns}x${rows}`);
        t.strictSame(
          lines.filter((line) => visibleLength(line) > columns),
          [],
        );
      }
    }
  }
  t.end();
});

/** Names as callers may send them. */
function strangelyNamed(): StatusView {
  const view = busyStatus();
  const names = [
    '研究者エージェント'.repeat(4),
    `${'long-'.repeat(30)}name`,
    'two\u001b[2Jlines\n',
    '🤖🤖',
  ];
  const rename = (at: number): string => names[at % names.length] ?? '';
  return {
    ...view,
    partitions: view.partitions.map((row, at) => ({ ...row, model: rename(at) })),
    queue: view.queue.map((row, at) => ({ ...row, agent: rename(at), model: rename(at + 1) })),
    agents: view.agents.map((row, at) => ({ ...row, agent: rename(at) })),
  };
}

t.test('East Asian characters and emoji take two cells, marks none.', (t) => {
  const widths = { 'agent…': 6, 研究者: 6, 'e\u0301': 1, '🤖': 2, ａ: 2, 가: 2, '▓░': 2, '✓': 1 };
  for (const [text, cells] of Object.entries(widths)) t.equal(visibleLength(text), cells, text);
  t.strictSame(
    [clip('研究者', 6), clip('研究者', 5), clip('研究者', 4)],
    ['研究者', '研究…', '研…'],
  );
  t.equal(fitted('研究者', 8), '研究者  ');
  t.equal(fitted('研究者', 4), '研… ');
  t.end();
});

t.test('Names of callers move nothing: columns stay where they are.', (t) => {
  const lines = draw(strangelyNamed(), 140, 40);
  const title = lines.find((line) => line.startsWith('WAITING'));
  const column = title?.indexOf('WAITS FOR') ?? -1;
  const calls = lines.filter((line) =>
    line.endsWith('requests per minute: needs 1, 10 of 10 used'),
  );
  t.equal(calls.length, 5);
  for (const line of calls) {
    t.equal(visibleLength(line.slice(0, line.indexOf('requests per'))), column);
    // oxlint-disable-next-line eslint/no-control-regex
    t.notMatch(line, /[\u0000-\u001f]/);
  }
  t.end();
});

t.test('What has no room is counted, the idle first.', (t) => {
  const view = busyStatus({ waiting: 300, agents: 40 });
  const idle = view.partitions[2];
  const many =
    idle === undefined
      ? []
      : Array.from({ length: 9 }, (_, at) => ({ ...idle, model: `idle-${at}` }));
  const text = draw({ ...view, partitions: [...many, ...view.partitions] }, 80, 24).join('\n');
  t.match(text, /gemini-2\.5-flash .*rpm/, 'the one that calls wait for is there');
  t.match(text, /and \d+ more models\n/);
  t.match(text, /WAITING 300/);
  t.match(text, /and \d{3} more calls\n/);
  t.match(text, /and \d\d more agents$/);
  t.end();
});

t.test(
  'Sentences come first, in up to two lines each, and those without room are counted.',
  (t) => {
    const banners = [
      'The last reload was not taken: '.concat('word '.repeat(12), 'END'),
      'Second.',
      'Third.',
    ];
    const lines = draw({ ...busyStatus(), banners }, 80, 24, {
      news: 'No daemon answers since 12:00.',
    });
    t.equal(lines[0], 'No daemon answers since 12:00.');
    t.match(lines[4], /^! The last reload/);
    t.match(lines[5], /^ {2}word .*END$/);
    t.match(lines[6], '  and 2 more notes: headgate status');
    t.match(draw({ ...busyStatus(), banners }, 80, 40).slice(3, 7), [
      /^! The/,
      /END$/,
      '! Second.',
      '! Third.',
    ]);
    t.end();
  },
);

t.test(
  'A startup cooldown is told of with the agent that waits for it, and shadow mode is named.',
  (t) => {
    const view = busyStatus({ waiting: 3 });
    const cooldowns = [
      { kind: 'startup', until: '', remaining_ms: 4_200, reason: 'an agent has just started' },
    ];
    const text = draw(
      {
        ...view,
        mode: 'shadow',
        partitions: view.partitions.map((row) => ({ ...row, cooldowns })),
        queue: view.queue.map((row) => ({ ...row, reason: 'startup cooldown of another agent' })),
      },
      140,
      40,
    ).join('\n');
    t.match(text, /agent-2 .* cooldown 5 s, startup\n/);
    t.match(text, /to midnight {2}mode shadow, profile/);
    t.end();
  },
);
