// @ts-expect-error The daemon serves this file from the package uplot.
import * as library from './vendor/uplot.js';
import { html, useEffect, useLayoutEffect, useRef, useState } from './view.js';

/** @import { Options, Series } from 'uplot' */

const UPlot = /** @type {{ default: typeof import('uplot') }} */ (/** @type {unknown} */ (library))
  .default;

/**
 * One line or row of bars.
 *
 * @typedef {object} Track
 * @property {string} name
 * @property {string} color The name of a variable of theme.css.
 * @property {'bars' | 'line'} shape
 * @property {readonly number[]} values
 */

const HEIGHT_PX = 130;
/** Pointing at one plot shows the same time in all. */
const SYNC_KEY = 'plots';
/** From one to fifty million. */
const WHOLE_STEPS = [1, 2, 5]
  .flatMap((step) => [0, 1, 2, 3, 4, 5, 6, 7].map((power) => step * 10 ** power))
  .sort((left, right) => left - right);
/** Part of a step that its bar fills, and the widest bar. */
const BAR = /** @type {const} */ ([0.7, 24]);

/**
 * A plot over time with its title, a sum of it in words, and the values under the pointer.
 *
 * @param {{
 *   title: string,
 *   summary: string,
 *   seconds: readonly number[],
 *   tracks: readonly Track[],
 *   format: (value: number) => string,
 *   axis: (value: number) => string,
 *   isWhole: boolean,
 *   scheme: string,
 * }} props `isWhole`: there are no halves of it
 */
export function Plot({ title, summary, seconds, tracks, format, axis, isWhole, scheme }) {
  const place = useRef(/** @type {HTMLDivElement | null} */ (null));
  const plot = useRef(/** @type {InstanceType<typeof UPlot> | null} */ (null));
  const [index, setIndex] = useState(/** @type {number | null} */ (null));
  const kind = [scheme, ...tracks.map(({ name, color, shape }) => name + color + shape)].join();

  useLayoutEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    const options = optionsOf({ width: element.clientWidth, tracks, axis, isWhole, setIndex });
    const made = new UPlot(options, dataOf(seconds, tracks), element);
    plot.current = made;
    const resized = new ResizeObserver(() =>
      made.setSize({ width: element.clientWidth, height: HEIGHT_PX }),
    );
    resized.observe(element);
    return () => {
      resized.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [kind]);
  useEffect(() => plot.current?.setData(dataOf(seconds, tracks)), [seconds, tracks]);

  const at = index === null ? undefined : seconds[index];
  return html`<figure class="panel plot">
    <figcaption>
      <h3>${title}</h3>
      <span class="plot-values">
        ${
          at === undefined
            ? summary
            : html`<b>${hourAndMinute(at)}</b> ${valuesAt(tracks, index ?? 0, format)}`
        }
      </span>
    </figcaption>
    <div ref=${place} class="plot-place" role="img" aria-label=${`${title}: ${summary}`}></div>
    <p class="legend">
      ${tracks.map(
        ({ name, color }) =>
          html`<span><i class="key" style=${{ background: `var(${color})` }}></i>${name}</span>`,
      )}
    </p>
  </figure>`;
}

/**
 * @param {readonly Track[]} tracks
 * @param {number} index
 * @param {(value: number) => string} format
 */
function valuesAt(tracks, index, format) {
  return tracks.map(({ name, values }) => `${name} ${format(values[index] ?? 0)}`).join(', ');
}

/** @param {number} seconds */
function hourAndMinute(seconds) {
  return new Date(seconds * 1000).toTimeString().slice(0, 5);
}

/**
 * @param {readonly number[]} seconds
 * @param {readonly Track[]} tracks
 * @returns {[number[], ...number[][]]}
 */
function dataOf(seconds, tracks) {
  return [[...seconds], ...tracks.map(({ values }) => [...values])];
}

/**
 * @param {{
 *   width: number,
 *   tracks: readonly Track[],
 *   axis: (value: number) => string,
 *   isWhole: boolean,
 *   setIndex: (index: number | null) => void,
 * }} options
 * @returns {Options}
 */
function optionsOf({ width, tracks, axis, isWhole, setIndex }) {
  const style = getComputedStyle(document.documentElement);
  /** @param {string} name */
  const color = (name) => style.getPropertyValue(name).trim();
  const line = {
    stroke: color('--muted'),
    font: `11px ${style.fontFamily}`,
    grid: { stroke: color('--line'), width: 1 },
    ticks: { show: false },
  };
  return {
    width,
    height: HEIGHT_PX,
    padding: [8, 18, 0, 0],
    legend: { show: false },
    cursor: {
      sync: { key: SYNC_KEY },
      drag: { x: false, y: false },
      points: { size: 6 },
      y: false,
    },
    hooks: { setCursor: [(self) => setIndex(self.cursor.idx ?? null)] },
    scales: {
      // The first and the last bar have room, too.
      x: {
        range: (self, min, max) => [min - halfStep(self.data[0]), max + halfStep(self.data[0])],
      },
      // An empty plot still has an axis.
      y: { range: (_self, _min, max) => [0, max > 0 ? max * 1.08 : 1] },
    },
    axes: [
      { ...line, grid: { show: false }, size: 24, gap: 4, space: 56, values: hoursOf },
      {
        ...line,
        size: 46,
        gap: 4,
        space: 28,
        values: (_self, values) => values.map(axis),
        ...(isWhole && { incrs: [...WHOLE_STEPS] }),
      },
    ],
    series: [{}, ...tracks.map((track) => seriesOf(track, color))],
  };
}

/** @param {ArrayLike<number>} seconds */
function halfStep(seconds) {
  return ((seconds[1] ?? 0) - (seconds[0] ?? 0)) / 2;
}

/**
 * @param {unknown} _self
 * @param {readonly number[]} values
 */
function hoursOf(_self, values) {
  return values.map(hourAndMinute);
}

/**
 * @param {Track} track
 * @param {(name: string) => string} color
 * @returns {Series}
 */
function seriesOf({ name, color: variable, shape }, color) {
  const stroke = color(variable);
  if (shape === 'line') return { label: name, stroke, width: 1.5, points: { show: false } };
  const paths = UPlot.paths.bars?.({ size: [...BAR] });
  const drawn = { label: name, fill: stroke, stroke, width: 0, points: { show: false } };
  return paths === undefined ? drawn : { ...drawn, paths };
}
