import type { StatusView } from '../http/views.ts';
import { bar } from './bar.ts';
import type { ScreenOptions } from './status-screen.ts';
import type { Style } from './style.ts';
import { counted, duration, thousands, wholeSeconds } from './words.ts';

const PACIFIC = 'America/Los_Angeles';
const WIDE_COLUMNS = 100;

/** Whom it calls, without what every address has. */
export function targetWords({ upstream }: StatusView): string {
  return upstream.simulated ? 'a simulated Gemini' : upstream.base_url.replace(/^https:\/\//, '');
}

/** `30 calls, 23 answered, 0 running, 2 waiting, 7 refused, 0 upstream 429s` */
export function totalsLine({ totals }: StatusView, style: Style): string {
  const rejected = counted(totals.upstream_rejections, 'upstream 429');
  return [
    counted(totals.exchanges, 'call'),
    style.green(`${thousands(totals.answered)} answered`),
    `${totals.running} running`,
    totals.waiting > 0 ? style.yellow(`${totals.waiting} waiting`) : '0 waiting',
    `${thousands(totals.refused)} refused`,
    ...(totals.failed > 0 ? [style.red(`${thousands(totals.failed)} failed`)] : []),
    totals.upstream_rejections > 0 ? style.red(rejected) : style.green(rejected),
  ].join(', ');
}

/** `Pacific 21:43:51 ██████░░ 2 h 16 min to midnight  enforce, profile free, up 3 min` */
export function dayLine(
  { day, mode, config, uptime_ms: uptimeMs }: StatusView,
  { style, width, nowMs }: Pick<ScreenOptions, 'style' | 'width' | 'nowMs'>,
): string {
  const startMs = Date.parse(day.started_at);
  const endMs = Date.parse(day.resets_at);
  const leftMs = Math.max(0, endMs - nowMs);
  const zone = day.zone === PACIFIC ? 'Pacific' : day.zone;
  const time = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium', timeZone: day.zone });
  const passed = { amount: nowMs - startMs, sign: '█', paint: style.cyan };
  const drawn = bar(width < WIDE_COLUMNS ? 8 : 24, endMs - startMs, [passed], {
    sign: '░',
    paint: style.dim,
  });
  const facts = [
    ...(mode === 'enforce' ? [] : [style.yellow(`mode ${mode},`)]),
    style.dim(`profile ${config.profile},`),
    style.dim(`up ${duration(uptimeMs)}`),
  ];
  return `${zone} ${time.format(nowMs)} ${drawn} ${wholeSeconds(leftMs)} to midnight  ${facts.join(' ')}`;
}
