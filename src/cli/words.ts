/** Milliseconds as people say them: 250 ms, 3.2 s, 2 min 5 s, 3 h 12 min, 2 d 3 h. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return pair(seconds, 60, 'min', 's');
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return pair(minutes, 60, 'h', 'min');
  return pair(Math.round(minutes / 60), 24, 'd', 'h');
}

/** What is left, or has passed, in whole seconds: for what is redrawn while it runs. */
export function wholeSeconds(ms: number): string {
  return ms < MINUTE_MS ? `${Math.max(0, Math.ceil(ms / 1000))} s` : duration(ms);
}

/** Dollars of a sum of calls: hundredths of cents below ten cents, as calls cost. */
export function dollars(usd: number): string {
  if (usd === 0) return '$0';
  if (usd < 0.0001) return '<$0.0001';
  if (usd < 0.1) return `$${usd.toFixed(4)}`;
  return `$${usd < 10_000 ? usd.toFixed(2) : COMPACT.format(usd)}`;
}

/** 1234567 becomes 1,234,567, whatever the machine's language. */
export function thousands(count: number): string {
  return count.toLocaleString('en-US', { maximumFractionDigits: 4 });
}

/** 1234567 becomes 1.2M, where there is room for six characters. */
export function compact(count: number): string {
  return COMPACT.format(count);
}

/** Units of a policy: dollars carry their sign. */
export function amount(count: number, unit: string): string {
  return unit === 'usd' ? `$${thousands(count)}` : thousands(count);
}

/** A limit in a table's cell. */
export function limitWords(limit: number | null, unit: string): string {
  return limit === null ? 'none' : amount(limit, unit);
}

/** An instant as the time of day here, with the date when that is another day. */
export function timeOfDay(iso: string, nowMs: number): string {
  const instant = new Date(iso);
  const time = instant.toTimeString().slice(0, 8);
  const isToday = instant.toDateString() === new Date(nowMs).toDateString();
  return isToday ? time : `${iso.slice(0, 10)} ${time}`;
}

/** How long ago an instant is, and when that was here: "2 h ago, 14:03", "3 d ago, 2026-03-01 14:03". */
export function ago(atMs: number, nowMs: number): string {
  const then = new Date(atMs);
  const time = then.toTimeString().slice(0, 5);
  const isToday = then.toDateString() === new Date(nowMs).toDateString();
  const day = [then.getFullYear(), then.getMonth() + 1, then.getDate()]
    .map((part) => String(part).padStart(2, '0'))
    .join('-');
  const passedMs = nowMs - atMs;
  // Clocks of two machines differ; nobody wants to read "in 3 s".
  const relative = passedMs < MINUTE_MS ? 'just now' : `${coarse(passedMs)} ago`;
  return `${relative}, ${isToday ? time : `${day} ${time}`}`;
}

/** "1 call", "2 calls". */
export function counted(count: number, noun: string): string {
  return `${thousands(count)} ${noun}${count === 1 ? '' : 's'}`;
}

const MINUTE_MS = 60_000;
const COMPACT = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });

/** The largest unit alone: 5 min, 3 h, 12 d. */
function coarse(ms: number): string {
  const minutes = Math.floor(ms / MINUTE_MS);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${thousands(Math.floor(hours / 24))} d`;
}

function pair(amount: number, per: number, whole: string, rest: string): string {
  const left = amount % per;
  const head = `${Math.floor(amount / per)} ${whole}`;
  return left === 0 ? head : `${head} ${left} ${rest}`;
}
