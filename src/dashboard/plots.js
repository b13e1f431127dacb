import { ask } from './daemon.js';
import { plotsOf } from './history.js';
import { Plot } from './plot.js';
import { html, useEffect, useMemo, useState } from './view.js';

/** @import { HistorySpan, HistoryView, SamplePoint } from '../http/views.ts' */

/** The step that is under way is asked for again no more often than this. */
const REFRESH_MS = 5_000;

/** @returns {HistorySpan} */
const firstSpan = () => 'hour';

/**
 * The last hour by the minute, or the last day by the quarter of an hour.
 *
 * @param {{ minutes: number, newest: string | null }} props `newest` is the last call that ended.
 */
export function Plots({ minutes, newest }) {
  const [span, setSpan] = useState(firstSpan);
  const history = useHistory(span, minutes, newest);
  const scheme = useScheme();
  return html`<section aria-labelledby="plots-title">
    <div class="head">
      <h2 id="plots-title">Plots</h2>
      <p class="quiet">${span === 'hour' ? 'by the minute' : 'by the quarter of an hour'}</p>
      <div class="choice" role="group" aria-label="Time shown">
        ${spanButton('hour', 'Last hour', span, setSpan)}
        ${spanButton('day', 'Last day', span, setSpan)}
      </div>
    </div>
    <div class="plots">
      ${history !== null && html`<${All} key=${span} points=${history.points} scheme=${scheme} />`}
    </div>
  </section>`;
}

/**
 * @param {HistorySpan} span
 * @param {string} name
 * @param {HistorySpan} chosen
 * @param {(span: HistorySpan) => void} choose
 */
function spanButton(span, name, chosen, choose) {
  return html`<button
    type="button"
    class="small"
    aria-pressed=${String(span === chosen)}
    onClick=${() => choose(span)}
  >
    ${name}
  </button>`;
}

/** @param {{ points: readonly SamplePoint[], scheme: string }} props */
function All({ points, scheme }) {
  const plots = useMemo(() => plotsOf(points), [points]);
  const seconds = useMemo(() => points.map(({ at }) => Date.parse(at) / 1000), [points]);
  return plots.map(
    (plot) => html`<${Plot} key=${plot.title} ...${plot} seconds=${seconds} scheme=${scheme} />`,
  );
}

/**
 * @param {HistorySpan} span
 * @param {number} minutes
 * @param {string | null} newest
 */
function useHistory(span, minutes, newest) {
  const [history, setHistory] = useState(/** @type {HistoryView | null} */ (null));
  const [round, setRound] = useState(0);
  const [drawn, setDrawn] = useState(newest);
  useEffect(() => {
    let isWanted = true;
    ask('GET', `history?span=${span}`).then(
      (answer) => {
        if (isWanted) setHistory(/** @type {HistoryView} */ (answer));
        return undefined;
      },
      // Without an answer the old plots stay; the banners tell of a lost connection.
      () => undefined,
    );
    return () => {
      isWanted = false;
    };
  }, [span, minutes, round]);
  const isBehind = newest !== drawn;
  useEffect(() => {
    if (!isBehind) return undefined;
    const timer = window.setTimeout(() => {
      setDrawn(newest);
      setRound((before) => before + 1);
    }, REFRESH_MS);
    return () => window.clearTimeout(timer);
    // A call that ends meanwhile must not put the timer off.
  }, [isBehind, round]);
  return history?.span === span ? history : null;
}

/** Plots are painted, so they have to be painted anew when the colours change. */
function useScheme() {
  const dark = useMemo(() => window.matchMedia('(prefers-color-scheme: dark)'), []);
  const [isDark, setDark] = useState(dark.matches);
  useEffect(() => {
    const follow = () => setDark(dark.matches);
    dark.addEventListener('change', follow);
    return () => dark.removeEventListener('change', follow);
  }, []);
  return isDark ? 'dark' : 'light';
}
