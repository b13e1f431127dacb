const NUMBERS = new Intl.NumberFormat('en-US', { maximumFractionDigits: 4 });
const CENTS = new Intl.NumberFormat('en-US', {
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
});
const ROUNDED = new Intl.NumberFormat('en-US', { maximumFractionDigits: 1 });
const SHORT = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });
const ZONE = new Intl.DateTimeFormat('en-GB', { timeZoneName: 'short' });

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/**
 * 1234567 becomes 1,234,567.
 *
 * @param {number} count
 */
export function thousands(count) {
  return NUMBERS.format(count);
}

/**
 * 1234567 becomes 1.2M, for the axes of plots.
 *
 * @param {number} count
 */
export function compact(count) {
  return SHORT.format(count);
}

/**
 * "1 call", "2 calls".
 *
 * @param {number} count
 * @param {string} noun
 */
export function counted(count, noun) {
  return `${thousands(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/**
 * Units of a policy: dollars carry their sign.
 *
 * @param {number} count
 * @param {string} unit
 */
export function amount(count, unit) {
  return unit === 'usd' ? dollars(count) : thousands(count);
}

/**
 * Cents, and hundredths of them below ten cents, as calls cost.
 *
 * @param {number} usd
 */
export function dollars(usd) {
  if (usd === 0) return '$0';
  if (usd < 0.0001) return '<$0.0001';
  return usd < 0.1 ? `$${usd.toFixed(4)}` : `$${CENTS.format(usd)}`;
}

/**
 * Milliseconds as people say them: 250 ms, 3.2 s, 2 min 5 s, 3 h 12 min, 2 d 3 h.
 *
 * @param {number} ms
 */
export function duration(ms) {
  if (ms < SECOND_MS) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < MINUTE_MS - 50) return `${(ms / SECOND_MS).toFixed(1)} s`;
  return longDuration(ms);
}

/**
 * What is left until something, to the second: 12 s, 2 min 5 s, 7 h 12 min.
 *
 * @param {number} ms
 */
export function countdown(ms) {
  if (ms <= 0) return 'now';
  if (ms < MINUTE_MS) return `${Math.ceil(ms / SECOND_MS)} s`;
  return longDuration(ms);
}

/** @param {number} ms */
function longDuration(ms) {
  const seconds = Math.round(ms / SECOND_MS);
  if (seconds < 3600) return pair(seconds, 60, 'min', 's');
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return pair(minutes, 60, 'h', 'min');
  return pair(Math.round(minutes / 60), 24, 'd', 'h');
}

/**
 * @param {number} count
 * @param {number} per
 * @param {string} whole
 * @param {string} rest
 */
function pair(count, per, whole, rest) {
  return `${Math.floor(count / per)} ${whole} ${count % per} ${rest}`;
}

/**
 * How long ago an instant is, in its largest unit: "4 s ago", "3 h ago".
 *
 * @param {number} atMs
 * @param {number} nowMs
 */
export function ago(atMs, nowMs) {
  const passedMs = nowMs - atMs;
  if (passedMs < 2 * SECOND_MS) return 'just now';
  if (passedMs < MINUTE_MS) return `${Math.floor(passedMs / SECOND_MS)} s ago`;
  if (passedMs < HOUR_MS) return `${Math.floor(passedMs / MINUTE_MS)} min ago`;
  if (passedMs < 2 * DAY_MS) return `${Math.floor(passedMs / HOUR_MS)} h ago`;
  return `${thousands(Math.floor(passedMs / DAY_MS))} d ago`;
}

/**
 * An instant to the second as it is here: "2026-03-01 14:03:22 CET".
 *
 * @param {string} iso
 */
export function exact(iso) {
  const at = new Date(iso);
  const zone = ZONE.formatToParts(at).find(({ type }) => type === 'timeZoneName')?.value ?? '';
  const day = [at.getFullYear(), at.getMonth() + 1, at.getDate()].map(twoDigits).join('-');
  return `${day} ${timeOfDay(iso)} ${zone}`;
}

/**
 * The time of day here: 14:03:22.
 *
 * @param {string} iso
 */
export function timeOfDay(iso) {
  const at = new Date(iso);
  return [at.getHours(), at.getMinutes(), at.getSeconds()].map(twoDigits).join(':');
}

/** @param {number} count */
function twoDigits(count) {
  return String(count).padStart(2, '0');
}

/**
 * 1,258,291 becomes "1.2 MB": powers of 1024, as file managers count.
 *
 * @param {number} bytes
 */
export function size(bytes) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(
    units.length - 1,
    Math.floor(Math.log(Math.max(1, bytes)) / Math.log(1024)),
  );
  return `${ROUNDED.format(bytes / 1024 ** power)} ${units[power] ?? 'B'}`;
}

/** @type {Readonly<Record<string, string>>} */
const UNITS = {
  requests: 'Requests',
  input_tokens: 'Input tokens',
  total_tokens: 'Tokens',
  usd: 'Dollars',
};

/**
 * What a window counts, and over what time: "Requests per minute", "Dollars per day".
 *
 * @param {string} unit
 * @param {number} spanMs
 */
export function windowName(unit, spanMs) {
  return `${UNITS[unit] ?? unit} per ${spanName(spanMs)}`;
}

/** @param {number} spanMs */
function spanName(spanMs) {
  if (spanMs === MINUTE_MS) return 'minute';
  if (spanMs === HOUR_MS) return 'hour';
  // Days on which clocks are changed have 23 or 25 hours.
  if (Math.abs(spanMs - DAY_MS) <= HOUR_MS) return 'day';
  if (spanMs >= 28 * DAY_MS && spanMs <= 31 * DAY_MS) return 'month';
  if (spanMs % DAY_MS === 0) return counted(spanMs / DAY_MS, 'day');
  return duration(spanMs).replace('.0 s', ' s');
}
