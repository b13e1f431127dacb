import { useNow } from './ticking.js';
import { html, useMemo, useState } from './view.js';
import { ago, dollars, duration, exact, thousands } from './words.js';

/** @import { ExchangeView } from '../http/views.ts' */

/** @type {Readonly<Record<ExchangeView['outcome'], string>>} */
const OUTCOMES = {
  ok: 'answered',
  upstream_error: 'upstream error',
  upstream_rejected: 'upstream 429',
  refused: 'refused',
  cancelled: 'client left',
  failed: 'failed',
};

/** @typedef {{ model: string, agent: string, outcome: string }} Filter */

/**
 * The last exchanges that were counted.
 *
 * @param {{ exchanges: readonly ExchangeView[] }} props
 */
export function Recent({ exchanges }) {
  const [filter, setFilter] = useState({ model: '', agent: '', outcome: '' });
  const shown = exchanges.filter(
    ({ model, agent, outcome }) =>
      (filter.model === '' || model === filter.model) &&
      (filter.agent === '' || agent === filter.agent) &&
      (filter.outcome === '' || outcome === filter.outcome),
  );
  const all = thousands(exchanges.length);
  /** @param {keyof Filter} key */
  const change = (key) => (/** @type {string} */ value) => setFilter({ ...filter, [key]: value });
  return html`<section aria-labelledby="recent-title">
    <div class="head">
      <h2 id="recent-title">
        Recent${' '}
        <span class="count">
          ${shown.length === exchanges.length ? all : `${thousands(shown.length)} of ${all}`}
        </span>
      </h2>
      <${Filters} exchanges=${exchanges} filter=${filter} change=${change} />
    </div>
    ${
      shown.length === 0
        ? html`<p class="panel quiet">
            ${exchanges.length === 0 ? 'No call has ended yet.' : 'No call fits what is asked for.'}
          </p>`
        : html`<div
            class="panel flush scrolls"
            tabindex="0"
            role="region"
            aria-label="The last calls"
          >
            <${Table} exchanges=${shown} />
          </div>`
    }
  </section>`;
}

/** @param {{ exchanges: readonly ExchangeView[] }} props */
function Table({ exchanges }) {
  const nowMs = useNow();
  return html`<table role="table" class="rows recent">
    <thead role="rowgroup">
      <tr role="row">
        <th role="columnheader" scope="col">Ended</th>
        <th role="columnheader" scope="col">Agent</th>
        <th role="columnheader" scope="col">Model</th>
        <th role="columnheader" scope="col">Outcome</th>
        <th role="columnheader" scope="col" class="number">Waited</th>
        <th role="columnheader" scope="col" class="number">Upstream</th>
        <th role="columnheader" scope="col" class="number">Estimated</th>
        <th role="columnheader" scope="col" class="number">Input</th>
        <th role="columnheader" scope="col" class="number">Output</th>
        <th role="columnheader" scope="col" class="number">Cost</th>
      </tr>
    </thead>
    <tbody role="rowgroup">
      ${exchanges.map((exchange) => {
        const when = ago(Date.parse(exchange.at), nowMs);
        return html`<${Row} key=${exchange.id} exchange=${exchange} when=${when} />`;
      })}
    </tbody>
  </table>`;
}

/** @param {{ exchange: ExchangeView, when: string }} props */
function Row({ exchange, when }) {
  // Most rows say the same as a second ago, and there are two hundred of them.
  return useMemo(() => rowOf(exchange, when), [exchange, when]);
}

/**
 * @param {ExchangeView} exchange
 * @param {string} when
 */
function rowOf(exchange, when) {
  const { agent, model, resends, wait_reason: waitReason } = exchange;
  return html`<tr role="row">
    <td role="cell" class="when">
      <time datetime=${exchange.at} title=${exact(exchange.at)}>${when}</time>
    </td>
    <td role="cell" class="name agent" title=${agent}>${agent}</td>
    <td role="cell" class="name model" title=${modelTitle(exchange)}>${model}</td>
    <td role="cell" class="outcome" title=${outcomeTitle(exchange)}>
      ${outcomeOf(exchange)}
      ${resends > 0 && html` <span class="quiet">${`after ${resends} × 429`}</span>`}
    </td>
    <td role="cell" class="number waited" data-label="waited" title=${waitReason ?? 'did not wait'}>
      ${waitReason === null ? '–' : duration(exchange.queued_ms)}
    </td>
    <td role="cell" class="number upstream" data-label="upstream" title=${upstreamTitle(exchange)}>
      ${exchange.upstream_ms === 0 ? '–' : duration(exchange.upstream_ms)}
    </td>
    <td role="cell" class="number" data-label="estimated">
      ${thousands(exchange.estimated_tokens)}
    </td>
    <td role="cell" class="number" data-label="input">${orDash(exchange.input_tokens)}</td>
    <td role="cell" class="number" data-label="output">${orDash(exchange.output_tokens)}</td>
    <td role="cell" class="number" data-label="cost">${dollars(exchange.usd)}</td>
  </tr>`;
}

/**
 * In a word; what was told to the client opens below it.
 *
 * @param {ExchangeView} exchange
 */
function outcomeOf({ outcome, reason, message }) {
  const word = html`<span class=${`state is-${outcome}`}>${OUTCOMES[outcome]}</span>`;
  const said = reason === null ? word : html`${word} <code>${reason}</code>`;
  if (message === null || message === '') return said;
  return html`<details>
    <summary>${said}</summary>
    <p>${message}</p>
  </details>`;
}

/** @param {ExchangeView} exchange */
function modelTitle({ model, project, requested_model: requested }) {
  const of = project === 'default' ? model : `${model} of ${project}`;
  return requested === model ? of : `${of}, asked for as ${requested}`;
}

/** @param {ExchangeView} exchange */
function outcomeTitle({ message, method, status, id }) {
  return [message, `${method}, status ${status}, ${id}`]
    .filter((part) => part !== null && part !== '')
    .join('\n');
}

/** @param {ExchangeView} exchange */
function upstreamTitle({ first_byte_ms: firstByteMs, overhead_ms: overheadMs }) {
  const first = firstByteMs === null ? 'no byte came' : `first byte after ${duration(firstByteMs)}`;
  return `${first}; ${overheadMs.toFixed(1)} ms in headgate itself`;
}

/** @param {number | null} count */
function orDash(count) {
  return count === null ? '–' : thousands(count);
}

/**
 * @param {{
 *   exchanges: readonly ExchangeView[],
 *   filter: Filter,
 *   change: (key: keyof Filter) => (value: string) => void
 * }} props
 */
function Filters({ exchanges, filter, change }) {
  const models = useMemo(() => namesOf(exchanges, 'model'), [exchanges]);
  const agents = useMemo(() => namesOf(exchanges, 'agent'), [exchanges]);
  const outcomes = Object.entries(OUTCOMES);
  return html`<div class="filters" role="group" aria-label="Show only">
    ${choice('Model', 'every model', filter.model, models, change('model'))}
    ${choice('Agent', 'every agent', filter.agent, agents, change('agent'))}
    ${choice('Outcome', 'every outcome', filter.outcome, outcomes, change('outcome'))}
  </div>`;
}

/**
 * @param {string} label
 * @param {string} every
 * @param {string} value
 * @param {readonly (readonly [value: string, name: string])[]} options
 * @param {(value: string) => void} change
 */
function choice(label, every, value, options, change) {
  // What was chosen stays choosable after its last call has left the list.
  const isKnown = value === '' || options.some(([known]) => known === value);
  const all = isKnown ? options : [...options, /** @type {const} */ ([value, value])];
  return html`<select
    aria-label=${label}
    onChange=${(/** @type {Event & { target: HTMLSelectElement }} */ event) =>
      change(event.target.value)}
  >
    <option value="">${every}</option>
    ${all.map(
      ([key, name]) =>
        html`<option key=${key} value=${key} selected=${key === value}>${name}</option>`,
    )}
  </select>`;
}

/**
 * @param {readonly ExchangeView[]} exchanges
 * @param {'model' | 'agent'} key
 */
function namesOf(exchanges, key) {
  const names = new Set(exchanges.map((exchange) => exchange[key]));
  return [...names].sort().map((name) => /** @type {const} */ ([name, name]));
}
