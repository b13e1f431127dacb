import type {
  AgentView,
  PartitionView,
  QueuedView,
  RefusalView,
  StatusView,
} from '../http/views.ts';
import type { ScreenOptions } from './status-screen.ts';
import { clipStyled, fitted, printable, visibleLength } from './style.ts';
import type { WatchSection } from './watch-section.ts';
import { compact, counted, dollars, thousands, timeOfDay, wholeSeconds } from './words.ts';

/** A column of fixed width, so that nothing moves sideways while numbers change. */
interface FixedColumn<Row> {
  readonly title: string;
  readonly width: number;
  readonly align?: 'right';
  readonly cell: (row: Row) => string;
  readonly paint?: (row: Row) => ((text: string) => string) | null;
}

const WIDE_COLUMNS = 120;
/** How every refusal begins; what follows is the model and why. */
const HELD_BACK = /^headgate held back this call to /;

/** Who waits for what; those that go next come first. */
export function queueSection(
  { queue }: StatusView,
  { style, width, nowMs }: ScreenOptions,
): WatchSection {
  const isWide = width >= WIDE_COLUMNS;
  const rows = queue.toSorted((a, b) => instant(a.expected_at) - instant(b.expected_at));
  const columns: FixedColumn<QueuedView>[] = [
    {
      title: `WAITING ${thousands(queue.length)}`,
      width: nameWidth(
        queue.map(({ agent }) => agent),
        isWide ? 28 : 15,
      ),
      cell: ({ agent }) => agent,
    },
    { title: '#', width: 3, align: 'right', cell: ({ position }) => String(position) },
    {
      title: 'MODEL',
      width: nameWidth(
        queue.map(({ model }) => model),
        isWide ? 32 : 21,
      ),
      cell: ({ model }) => model,
    },
    { title: 'TOKENS', width: 7, align: 'right', cell: ({ tokens }) => tokenWords(tokens) },
    ...(isWide
      ? [
          {
            title: 'WAITED',
            width: 10,
            align: 'right',
            cell: ({ waited_ms: waitedMs }: QueuedView) => wholeSeconds(waitedMs),
          } as const,
        ]
      : []),
    {
      title: isWide ? 'EXPECTED IN' : 'IN',
      width: isWide ? 11 : 8,
      align: 'right',
      cell: ({ expected_at: expectedAt }) => expectedWords(expectedAt, nowMs),
      paint: () => style.yellow,
    },
    {
      title: 'WAITS FOR',
      width: Infinity,
      cell: ({ reason }) => (isWide ? reason : shortReason(reason)),
    },
  ];
  return {
    total: rows.length,
    least: 3,
    linesOf: (count) => table(columns, rows, { count, width, dim: style.dim, noun: 'more call' }),
  };
}

/** Who calls: those with calls under way first, then the latest. */
export function agentSection(view: StatusView, options: ScreenOptions): WatchSection {
  const { style, width } = options;
  const { agents } = view;
  const isWide = width >= WIDE_COLUMNS;
  const busy = agents.filter(({ running, waiting }) => running + waiting > 0).length;
  const columns: FixedColumn<AgentView>[] = [
    {
      title: `AGENTS ${busy} of ${agents.length}`,
      width: nameWidth(
        agents.map(({ agent }) => agent),
        isWide ? 28 : 16,
      ),
      cell: ({ agent }) => agent,
      paint: ({ running }) => (running > 0 ? style.bold : null),
    },
    numeric(isWide ? 'RUNNING' : 'RUN', isWide ? 7 : 3, ({ running }) => blank(running)),
    {
      ...numeric(isWide ? 'WAITING' : 'WAIT', isWide ? 7 : 4, ({ waiting }) => blank(waiting)),
      paint: ({ waiting }) => (waiting > 0 ? style.yellow : null),
    },
    numeric('CALLS', 6, ({ calls }) => thousands(calls)),
    numeric('REFUSED', 7, ({ refused }) => blank(refused)),
    numeric('TOKENS', isWide ? 11 : 6, ({ input_tokens: input, output_tokens: output }) =>
      isWide ? thousands(input + output) : compact(input + output),
    ),
    numeric('COST', isWide ? 9 : 7, ({ usd }) => dollars(usd)),
    {
      title: 'NOW',
      width: Infinity,
      cell: (agent) => stateWords(agent, view, options),
      paint: ({ running, waiting }) =>
        running > 0 ? style.green : waiting > 0 ? style.yellow : style.dim,
    },
  ];
  return {
    total: agents.length,
    least: 3,
    linesOf: (count) =>
      table(columns, byName(agents, count), { count, width, dim: style.dim, noun: 'more agent' }),
  };
}

/** The busiest and latest, but in an order in which nobody jumps about. */
function byName(agents: readonly AgentView[], count: number): readonly AgentView[] {
  const shown = agents.slice(0, count).toSorted((a, b) => (a.agent < b.agent ? -1 : 1));
  return [...shown, ...agents.slice(count)];
}

/** The last refusals, the newest first. */
export function refusalSection(
  { recent_refusals: refusals }: StatusView,
  { style, width, nowMs }: ScreenOptions,
): WatchSection {
  const columns: FixedColumn<RefusalView>[] = [
    { title: 'REFUSED', width: 8, cell: ({ at }) => timeOfDay(at, nowMs).slice(-8) },
    {
      title: 'AGENT',
      width: nameWidth(
        refusals.map(({ agent }) => agent),
        28,
      ),
      cell: ({ agent }) => agent,
    },
    {
      title: 'REASON',
      width: nameWidth(
        refusals.map(({ reason }) => reason),
        28,
      ),
      cell: ({ reason }) => reason,
    },
    { title: 'WHY', width: Infinity, cell: ({ message }) => message.replace(HELD_BACK, '') },
  ];
  return {
    total: refusals.length,
    least: 0,
    linesOf: (count) =>
      table(columns, refusals, { count, width, dim: style.dim, noun: 'earlier one' }),
  };
}

/** A column of numbers of agents. */
function numeric(title: string, width: number, cell: (agent: AgentView) => string) {
  return { title, width, align: 'right', cell } as const;
}

function table<Row>(
  columns: readonly FixedColumn<Row>[],
  rows: readonly Row[],
  options: {
    readonly count: number;
    readonly width: number;
    readonly dim: (text: string) => string;
    readonly noun: string;
  },
): string[] {
  const { count, width, dim, noun } = options;
  if (rows.length === 0 || count === 0) return [];
  const cell = (text: string, { width: cells, align }: FixedColumn<Row>): string => {
    if (cells === Infinity) return text;
    const shown = fitted(text, cells);
    const bare = shown.trimEnd();
    return align === 'right' ? ' '.repeat(shown.length - bare.length) + bare : shown;
  };
  const line = (row: Row): string =>
    columns
      .map((column) => {
        const text = cell(printable(column.cell(row)), column);
        return (column.paint?.(row) ?? ((plain: string) => plain))(text);
      })
      .join(' ');
  const more = rows.length - count;
  return [
    dim(columns.map((column) => cell(column.title, column)).join(' ')),
    ...rows.slice(0, count).map(line),
    ...(more > 0 ? [dim(`and ${counted(more, noun)}`)] : []),
  ].map((text) => clipStyled(text, width));
}

/** What an agent does, or until when it cannot. */
function stateWords(
  { agent, running, waiting, last_ended_at: lastEndedAt }: AgentView,
  { queue, partitions }: StatusView,
  { nowMs }: ScreenOptions,
): string {
  const next = queue
    .filter((call) => call.agent === agent)
    .toSorted((a, b) => instant(a.expected_at) - instant(b.expected_at))[0];
  if (waiting > 0 && next !== undefined) {
    const held = heldBy(next, partitions);
    if (held !== null) return held;
    const expected = expectedWords(next.expected_at, nowMs);
    const when = next.expected_at === null ? 'waits' : `next in ${expected}`;
    return running > 0 ? `runs, ${when}` : `${when}, ${shortReason(next.reason)}`;
  }
  if (running > 0) return 'runs';
  if (lastEndedAt === null) return '';
  return `idle ${wholeSeconds(Math.max(0, nowMs - Date.parse(lastEndedAt)))}`;
}

/** The cooldown that keeps a call back, with what is left of it. */
function heldBy(call: QueuedView, partitions: readonly PartitionView[]): string | null {
  const { cooldowns = [] } =
    partitions.find(({ project, model }) => project === call.project && model === call.model) ?? {};
  const isStartup = call.reason.startsWith('startup');
  if (!isStartup && !call.reason.startsWith('upstream cooldown')) return null;
  const cooldown = cooldowns.find(({ kind }) => (kind === 'startup') === isStartup);
  if (cooldown === undefined) return null;
  return `cooldown ${wholeSeconds(cooldown.remaining_ms)}, ${cooldown.kind.replaceAll('_', ' ')}`;
}

/** With the names that the windows have: "rpm: needs 1, 10 of 10 used". */
function shortReason(reason: string): string {
  return reason
    .replace(/^requests per minute/, 'rpm')
    .replace(/^requests per day/, 'rpd')
    .replace(/^(?:input )?tokens per minute/, 'tpm');
}

function expectedWords(expectedAt: string | null, nowMs: number): string {
  if (expectedAt === null) return 'unknown';
  const leftMs = Date.parse(expectedAt) - nowMs;
  return leftMs <= 0 ? 'now' : wholeSeconds(leftMs);
}

/** Unknown times come last. */
function instant(iso: string | null): number {
  return iso === null ? Number.MAX_SAFE_INTEGER : Date.parse(iso);
}

function tokenWords(tokens: number): string {
  return tokens < 1_000_000 ? thousands(tokens) : compact(tokens);
}

/** Nothing where there is nothing: what is there stands out. */
function blank(count: number): string {
  return count === 0 ? '·' : thousands(count);
}

function nameWidth(names: readonly string[], most: number): number {
  return Math.min(most, Math.max(13, ...names.map(visibleLength)));
}
