import { ask, wordsOf } from './daemon.js';
import { useNow } from './ticking.js';
import { html, useEffect, useMemo, useState } from './view.js';
import { countdown, counted, duration, exact, thousands, timeOfDay } from './words.js';

/** @import { QueuedView } from '../http/views.ts' */

/** Rows shown unless all are asked for: a queue may hold a thousand. */
const ROWS_SHOWN = 50;
/** A second press within this time cancels. */
const SURE_MS = 5_000;
const TITLE_ID = 'waiting-title';

/**
 * Who waits for what.
 *
 * @param {{ queue: readonly QueuedView[] }} props
 */
export function Waiting({ queue }) {
  const [showsAll, setShowsAll] = useState(false);
  const [trouble, setTrouble] = useState('');
  // Places are those of one model: across models, who goes next comes first.
  const ordered = useMemo(() => [...queue].sort(bySoonest), [queue]);
  const shown = showsAll ? ordered : ordered.slice(0, ROWS_SHOWN);
  const more = queue.length - shown.length;
  return html`<section aria-labelledby=${TITLE_ID}>
    <div class="head">
      <h2 id=${TITLE_ID} tabindex="-1">
        Waiting <span class="count">${thousands(queue.length)}</span>
      </h2>
    </div>
    ${trouble !== '' && html`<p class="trouble" role="alert">${trouble}</p>`}
    ${
      queue.length === 0
        ? html`<p class="panel quiet">Nobody waits. Calls go out as they come.</p>`
        : html`<div class="panel flush">
            <${Table} queue=${shown} fail=${setTrouble} />
            ${
              more > 0 &&
              html`<p class="more">
                <button type="button" onClick=${() => setShowsAll(true)}>
                  Show ${counted(more, 'more call')}
                </button>
              </p>`
            }
          </div>`
    }
  </section>`;
}

/** @param {{ queue: readonly QueuedView[], fail: (trouble: string) => void }} props */
function Table({ queue, fail }) {
  const nowMs = useNow();
  return html`<table role="table" class="rows waiting">
    <thead role="rowgroup">
      <tr role="row">
        <th role="columnheader" scope="col" class="number" title="in the queue of its model">
          Place
        </th>
        <th role="columnheader" scope="col">Agent</th>
        <th role="columnheader" scope="col">Model</th>
        <th role="columnheader" scope="col">Class</th>
        <th role="columnheader" scope="col" class="number">Tokens</th>
        <th role="columnheader" scope="col" class="number">Waited</th>
        <th role="columnheader" scope="col" class="number">Expected</th>
        <th role="columnheader" scope="col">Waits for</th>
        <th role="columnheader" scope="col"><span class="unseen">Cancel</span></th>
      </tr>
    </thead>
    <tbody role="rowgroup">
      ${queue.map(
        (call) => html`<${Row} key=${call.id} call=${call} nowMs=${nowMs} fail=${fail} />`,
      )}
    </tbody>
  </table>`;
}

/** @param {{ call: QueuedView, nowMs: number, fail: (trouble: string) => void }} props */
function Row({ call, nowMs, fail }) {
  return html`<tr role="row" data-id=${call.id}>
    <td role="cell" class="number place" data-label="place">${thousands(call.position)}</td>
    <td role="cell" class="name agent" title=${call.agent}>${call.agent}</td>
    <td role="cell" class="name model" title=${modelTitle(call)}>${call.model}</td>
    <td role="cell" class="class">${call.class}</td>
    <td role="cell" class="number tokens" data-label="tokens">${thousands(call.tokens)}</td>
    <td role="cell" class="number waited" data-label="waited">${duration(call.waited_ms)}</td>
    <td role="cell" class="number expected" data-label="expected">
      ${
        call.expected_at === null
          ? 'not known'
          : html`<time datetime=${call.expected_at} title=${exact(call.expected_at)}>
              ${inTime(Date.parse(call.expected_at) - nowMs)}
            </time>`
      }
    </td>
    <td role="cell" class="reason" title=${`gives up ${exact(call.deadline_at)}`}>
      ${reasonWords(call)}
    </td>
    <td role="cell" class="act"><${Cancel} call=${call} fail=${fail} /></td>
  </tr>`;
}

/** @returns {'idle' | 'sure' | 'sent'} */
const notPressed = () => 'idle';

/**
 * Rows move while one aims at them, so the first press only asks.
 *
 * @param {{ call: QueuedView, fail: (trouble: string) => void }} props
 */
function Cancel({ call, fail }) {
  const [state, setState] = useState(notPressed);
  useEffect(() => {
    if (state !== 'sure') return undefined;
    const timer = window.setTimeout(() => setState('idle'), SURE_MS);
    return () => window.clearTimeout(timer);
  }, [state]);
  const press = async () => {
    if (state === 'idle') return setState('sure');
    setState('sent');
    fail('');
    try {
      await ask('DELETE', `queue/${encodeURIComponent(call.id)}`);
      // The row goes, and the keyboard's place would go with it.
      document.getElementById(TITLE_ID)?.focus();
    } catch (error) {
      fail(wordsOf(error));
      setState('idle');
    }
  };
  return html`<button
    type="button"
    class=${state === 'sure' ? 'small danger' : 'small'}
    disabled=${state === 'sent'}
    aria-label=${`${state === 'sure' ? 'Sure? Cancel' : 'Cancel'} the call of ${call.agent}`}
    onClick=${press}
  >
    ${state === 'sure' ? 'Sure?' : 'Cancel'}
  </button>`;
}

/**
 * "input tokens per minute: needs 12,400, 231,000 of 240,000 used, room at 14:03:22"; the time is that
 * of this browser.
 *
 * @param {QueuedView} call
 */
function reasonWords({ reason, expected_at: at }) {
  if (at === null) return reason;
  const isQuota = reason.includes(': needs ');
  return `${reason}, ${isQuota ? 'room at' : 'its turn at'} ${timeOfDay(at)}`;
}

/**
 * @param {QueuedView} left
 * @param {QueuedView} right
 */
function bySoonest(left, right) {
  return instantOf(left) - instantOf(right) || left.position - right.position;
}

/**
 * What is not known comes last.
 *
 * @param {QueuedView} call
 */
function instantOf({ expected_at: at }) {
  return at === null ? Number.MAX_SAFE_INTEGER : Date.parse(at);
}

/** @param {QueuedView} call */
function modelTitle({ model, project }) {
  return project === 'default' ? model : `${model} of ${project}`;
}

/** @param {number} ms */
function inTime(ms) {
  return ms <= 0 ? 'any moment' : `in ${countdown(ms)}`;
}
