/** A stretch of wall time; `endMs` belongs to the next one. */
export interface Period {
  readonly startMs: number;
  readonly endMs: number;
}

/** Whichever hour the clocks change at, a Pacific day ends within this of any of its moments. */
const DAY_MS_MAX = 26 * 3_600_000;

const date = new Intl.DateTimeFormat('en-CA', {
  timeZone: 'America/Los_Angeles',
  year: 'numeric',
  month: '2-digit',
  day: '2-digit',
});

let latest: Period = { startMs: 0, endMs: 0 };

/** The Pacific calendar day around a moment: 24 hours, or 23 or 25 when the clocks change. */
export function pacificDay(wallMs: number): Period {
  if (wallMs < latest.startMs || wallMs >= latest.endMs) {
    const atMs = Math.floor(wallMs);
    const today = date.format(atMs);
    latest = {
      startMs: edge(atMs - DAY_MS_MAX, atMs, (day) => day === today),
      endMs: edge(atMs, atMs + DAY_MS_MAX, (day) => day !== today),
    };
  }
  return latest;
}

/** The fixed period of `spanMs` around a moment, counted from 1970 UTC. */
export function utcPeriod(wallMs: number, spanMs: number): Period {
  const startMs = Math.floor(wallMs / spanMs) * spanMs;
  return { startMs, endMs: startMs + spanMs };
}

/** The first ms whose date is past the edge; that of `fromMs` is not, that of `toMs` is. */
function edge(fromMs: number, toMs: number, isPast: (day: string) => boolean): number {
  let low = fromMs;
  let high = toMs;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (isPast(date.format(middle))) high = middle;
    else low = middle;
  }
  return high;
}
