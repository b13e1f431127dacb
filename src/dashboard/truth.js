import { ask, wordsOf } from './daemon.js';
import { useNow } from './ticking.js';
import { html, useEffect, useState } from './view.js';
import { ago, counted, exact, size, thousands } from './words.js';

/** @import { StatusView } from '../http/views.ts' */
/** @import { View } from './view.js' */

/** From this error on an estimate is no good: calls wait for room that they do not need. */
const ESTIMATE_PERCENT_MAX = 20;

/**
 * How well headgate keeps what it promises, and by which configuration.
 *
 * @param {{ status: StatusView }} props
 */
export function Truth({ status }) {
  const { truth, database, totals } = status;
  const since = `since ${exact(truth.started_at)}`;
  const rejections = truth.upstream_rejections;
  return html`<section class="truth" aria-labelledby="truth-title">
    <h2 id="truth-title" class="unseen">Truth</h2>
    <dl>
      ${fact({
        name: 'Upstream 429s',
        value: thousands(rejections),
        note: 'the target is 0',
        state: rejections === 0 ? 'is-good' : 'is-bad',
        title: since,
      })}
      ${estimate(truth.estimate_ratio)}
      ${fact({
        name: 'Calls',
        value: thousands(totals.exchanges),
        note: `${thousands(totals.refused)} refused, ${thousands(totals.failed)} failed`,
        title: since,
      })}
      ${fact({
        name: 'Restarts',
        value: thousands(truth.restarts),
        note: 'in 24 hours',
        title: `running ${since}`,
      })}
      ${fact({
        name: 'Database',
        value: size(database.bytes),
        note: fileOf(database.path),
        title: database.path,
      })}
      <${Configuration} config=${status.config} />
    </dl>
  </section>`;
}

/** @param {{ config: StatusView['config'] }} props */
function Configuration({ config }) {
  const nowMs = useNow();
  const { file, hash, profile, loaded_at: loadedAt } = config;
  return fact({
    name: 'Configuration',
    value: file === null ? 'built-in' : fileOf(file),
    note: html`<code>${hash.slice(0, 8)}</code>, profile ${profile}, loaded${' '}
      <time datetime=${loadedAt} title=${exact(loadedAt)}
        >${ago(Date.parse(loadedAt), nowMs)}</time
      >`,
    title: `${file ?? 'the built-in defaults'}, hash ${hash}`,
    ...(file !== null && { more: html`<${Reload} error=${config.reload_error} />` }),
    state: config.reload_error === null ? '' : 'is-bad',
  });
}

/** @param {StatusView['truth']['estimate_ratio']} ratio */
function estimate(ratio) {
  if (ratio === null) {
    return fact({ name: 'Estimate error', value: '–', note: 'no answer counted yet' });
  }
  const percent = (ratio.mean - 1) * 100;
  const sign = percent >= 0.05 ? '+' : percent <= -0.05 ? '−' : '';
  return fact({
    name: 'Estimate error',
    value: `${sign}${Math.abs(percent).toFixed(1)} %`,
    note: `over ${counted(ratio.samples, 'answer')}`,
    state: Math.abs(percent) >= ESTIMATE_PERCENT_MAX ? 'is-warning' : '',
    title: `Google counted ${ratio.mean} times the input tokens that were estimated, on average`,
  });
}

/**
 * @param {{
 *   name: string, value: string, note: string | View, state?: string, title?: string, more?: View
 * }} options
 */
function fact({ name, value, note, state = '', title = '', more }) {
  return html`<div class=${`fact ${state}`} title=${title}>
    <dt>${name}</dt>
    <dd><span class="value">${value}</span><span class="note">${note}</span>${more}</dd>
  </div>`;
}

/** @param {{ error: string | null }} props */
function Reload({ error }) {
  const [said, setSaid] = useState('');
  // A file that was mended is read by itself.
  useEffect(() => {
    if (error === null) setSaid('');
  }, [error]);
  const reload = async () => {
    setSaid('reading…');
    try {
      const view = /** @type {{ result: string }} */ (await ask('POST', 'reload'));
      setSaid(view.result === 'applied' ? 'in force' : 'nothing new');
    } catch (error) {
      // A banner tells the same for as long as it is so.
      setSaid(`not taken: ${wordsOf(error)}`);
    }
  };
  return html`<span class="reload">
    <span role="status" class="said">${said}</span>
    <button type="button" class="small" onClick=${reload}>Reload</button>
  </span>`;
}

/** @param {string} path */
function fileOf(path) {
  return path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1);
}
