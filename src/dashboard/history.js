import { compact, counted, dollars, duration, thousands } from './words.js';

/** @import { SamplePoint } from '../http/views.ts' */
/** @import { Track } from './plot.js' */

const COUNTS = { format: thousands, axis: compact, isWhole: true };
const WAITS = {
  format: (/** @type {number} */ value) => duration(value * 1000),
  axis: (/** @type {number} */ value) => `${compact(value)} s`,
  isWhole: false,
};
const COSTS = {
  format: dollars,
  axis: (/** @type {number} */ value) => `$${Number(value.toPrecision(2))}`,
  isWhole: false,
};

/**
 * What the points of a history show: each a plot, with its sum in words.
 *
 * @param {readonly SamplePoint[]} points
 */
export function plotsOf(points) {
  /** @param {(point: SamplePoint) => number} value */
  const sum = (value) => points.reduce((total, point) => total + value(point), 0);
  /**
   * @param {string} name
   * @param {string} color
   * @param {Track['shape']} shape
   * @param {(point: SamplePoint) => number} value
   * @returns {Track}
   */
  const track = (name, color, shape, value) => ({ name, color, shape, values: points.map(value) });
  const tokensIn = compact(sum((point) => point.input_tokens));
  const tokensOut = compact(sum((point) => point.output_tokens));
  const longestMs = points.reduce((most, { wait_ms_max: ms }) => Math.max(most, ms), 0);
  const refusals = thousands(sum((point) => point.refusals));
  const rejections = sum((point) => point.upstream_rejections);
  const calls = sum((point) => point.requests);
  return [
    {
      title: 'Requests',
      summary: counted(calls, 'call'),
      tracks: [
        track('all', '--plot-1', 'bars', (point) => point.requests),
        track('of these waited', '--plot-2', 'bars', (point) => point.waited),
      ],
      ...COUNTS,
    },
    {
      title: 'Tokens',
      summary: `${tokensIn} in, ${tokensOut} out`,
      tracks: [
        track('input', '--plot-1', 'line', (point) => point.input_tokens),
        track('output', '--plot-2', 'line', (point) => point.output_tokens),
      ],
      ...COUNTS,
    },
    {
      title: 'Waits',
      summary: longestMs === 0 ? 'nobody waited' : `longest ${duration(longestMs)}`,
      tracks: [
        track('longest', '--plot-2', 'line', (point) => point.wait_ms_max / 1000),
        track('mean', '--plot-1', 'line', (point) => point.wait_ms_mean / 1000),
      ],
      ...WAITS,
    },
    {
      title: 'Refusals',
      summary: `${refusals} refused, ${counted(rejections, 'upstream 429')}`,
      tracks: [
        track('refused by headgate', '--plot-2', 'bars', (point) => point.refusals),
        track('upstream 429s', '--plot-bad', 'bars', (point) => point.upstream_rejections),
      ],
      ...COUNTS,
    },
    {
      title: 'Dollars',
      summary: dollars(sum((point) => point.usd)),
      tracks: [track('cost', '--plot-1', 'bars', (point) => point.usd)],
      ...COSTS,
    },
  ];
}
