import { LimitForm } from './limit-form.js';
import { useNow } from './ticking.js';
import { html, useRef, useState } from './view.js';
import { amount, countdown, exact, thousands, windowName } from './words.js';

/** @import { CooldownView, PartitionView, StatusView, WindowView } from '../http/views.ts' */

/** From here on a window is shown as nearly full. */
const HIGH_SHARE = 0.8;

/**
 * Now: what each window of each project and model has taken, and the day that ends at midnight
 * Pacific.
 *
 * @param {{ status: StatusView }} props
 */
export function Windows({ status }) {
  const nowMs = useNow();
  return html`<section aria-labelledby="now-title">
    <div class="head">
      <h2 id="now-title">Now</h2>
      <p class="legend">
        <span><i class="key is-used"></i>used</span>
        <span><i class="key is-held"></i>held by calls under way</span>
      </p>
      <${Day} day=${status.day} nowMs=${nowMs} />
    </div>
    <div class="partitions">
      ${status.partitions.map(
        (partition) =>
          html`<${Partition}
            key=${`${partition.project}\n${partition.model}`}
            partition=${partition}
            nowMs=${nowMs}
          />`,
      )}
    </div>
  </section>`;
}

/** @param {{ day: StatusView['day'], nowMs: number }} props */
function Day({ day, nowMs }) {
  const startMs = Date.parse(day.started_at);
  const endMs = Date.parse(day.resets_at);
  const share = Math.min(1, Math.max(0, (nowMs - startMs) / (endMs - startMs)));
  return html`<p
    class="day"
    title=${`Google's day ends at midnight Pacific: ${exact(day.resets_at)}`}
  >
    <span class="day-track" aria-hidden="true"><i style=${{ width: `${share * 100}%` }}></i></span>
    <span><b>${clockFace(endMs - nowMs)}</b> to midnight Pacific</span>
  </p>`;
}

/**
 * Hours, minutes and seconds: 07:12:09.
 *
 * @param {number} ms
 */
function clockFace(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  return [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
    .map((part) => String(part).padStart(2, '0'))
    .join(':');
}

/** @param {{ partition: PartitionView, nowMs: number }} props */
function Partition({ partition, nowMs }) {
  const [isEditing, setEditing] = useState(false);
  const button = useRef(/** @type {HTMLButtonElement | null} */ (null));
  // Whoever uses the keyboard goes on from where the form was opened.
  const close = () => {
    button.current?.focus();
    setEditing(false);
  };
  const { project, model, windows, cooldowns } = partition;
  const name = project === 'default' ? model : `${model} of ${project}`;
  return html`<article class="panel partition" aria-label=${name}>
    <header>
      <h3>${model}</h3>
      ${project !== 'default' && html`<span class="tag">${project}</span>`}
      <${Load} partition=${partition} />
      <button
        ref=${button}
        type="button"
        class="small"
        aria-expanded=${String(isEditing)}
        aria-label=${`Limits of ${name}`}
        onClick=${() => setEditing(!isEditing)}
      >
        Limits
      </button>
    </header>
    ${cooldowns
      .filter(({ until }) => Date.parse(until) > nowMs)
      .map((one) => html`<${Cooldown} key=${one.kind} cooldown=${one} nowMs=${nowMs} />`)}
    ${
      isEditing
        ? html`<${LimitForm} partition=${partition} close=${close} />`
        : windows.map(
            (window) =>
              html`<${Gauge} key=${window.policy} window=${window} of=${name} nowMs=${nowMs} />`,
          )
    }
    ${windows.length === 0 && html`<p class="quiet">No limit is configured for this model.</p>`}
  </article>`;
}

/** @param {{ partition: PartitionView }} props */
function Load({ partition: { running, waiting, max_concurrent: cap } }) {
  const most = cap === null ? '' : ` of ${thousands(cap)}`;
  return html`<span class="load">
    ${`${thousands(running)}${most} running`}
    ${waiting > 0 && html`, <b class="is-warning">${thousands(waiting)} waiting</b>`}
  </span>`;
}

/** @param {{ cooldown: CooldownView, nowMs: number }} props */
function Cooldown({ cooldown, nowMs }) {
  const leftMs = Date.parse(cooldown.until) - nowMs;
  return html`<p class="cooldown" title=${`until ${exact(cooldown.until)}`}>
    <b>Cooldown, ${countdown(leftMs)} left</b> ${cooldown.reason}
  </p>`;
}

/** @param {{ window: WindowView, of: string, nowMs: number }} props */
function Gauge({ window, of, nowMs }) {
  const { policy, unit, limit, used, next_free_at: nextFreeAt } = window;
  const isFull = limit !== null && used >= limit;
  const isHigh = limit !== null && used >= limit * HIGH_SHARE;
  const words = usedWords(window);
  const name = windowName(unit, window.span_ms);
  return html`<div class=${`gauge ${isFull ? 'is-full' : isHigh ? 'is-high' : ''}`}>
    <span class="gauge-name" title=${policy}>${name}</span>
    <span class="gauge-numbers" title=${words}>
      <b>${amount(used, unit)}</b>${limit === null ? ' / no limit' : ` / ${amount(limit, unit)}`}
    </span>
    ${
      limit === null
        ? html`<span class="bar is-open" aria-hidden="true"></span>`
        : html`<${Bar} window=${window} limit=${limit} name=${`${name}, ${of}`} words=${words} />`
    }
    <${Source} window=${window} />
    <span class="gauge-next">
      ${limit !== null && nextFreeAt !== null && nextSlot(nextFreeAt, { isFull, nowMs })}
    </span>
  </div>`;
}

/** @param {{ window: WindowView, limit: number, name: string, words: string }} props */
function Bar({ window: { policy, used, held }, limit, name, words }) {
  return html`<span
    class="bar"
    role="meter"
    aria-label=${name}
    aria-valuemin="0"
    aria-valuemax=${limit}
    aria-valuenow=${Math.min(used, limit)}
    aria-valuetext=${words}
    data-policy=${policy}
  >
    <i class="is-used" style=${{ width: share(used - held, limit) }}></i>
    <i class="is-held" style=${{ width: share(held, limit) }}></i>
  </span>`;
}

/** @param {WindowView} window */
function usedWords({ unit, limit, used, held }) {
  return [
    `${amount(used, unit)} ${limit === null ? 'used, no limit' : `of ${amount(limit, unit)} used`}`,
    ...(held > 0 ? [`${amount(held, unit)} of it held`] : []),
  ].join(', ');
}

/**
 * @param {number} part
 * @param {number} limit
 */
function share(part, limit) {
  if (part <= 0) return '0%';
  return `${limit <= 0 ? 100 : Math.min(100, (part / limit) * 100)}%`;
}

/**
 * When the oldest of what a full window holds leaves it; of another, when it has more room than now.
 *
 * @param {string} at
 * @param {{ isFull: boolean, nowMs: number }} options
 */
function nextSlot(at, { isFull, nowMs }) {
  const leftMs = Date.parse(at) - nowMs;
  const what = isFull ? 'next slot' : 'more room';
  return html`<time datetime=${at} title=${exact(at)}>
    ${leftMs <= 0 ? `${what} now` : `${what} in ${countdown(leftMs)}`}
  </time>`;
}

/** @param {{ window: WindowView }} props */
function Source({ window }) {
  const { limit_source: kind, source } = window;
  if (kind === 'configured') {
    return html`<span class="gauge-source" title=${`configured: ${source}`}>${source}</span>`;
  }
  const title = kind === 'learned' ? 'Learned from a 429 of the upstream' : 'Set while running';
  return html`<span class="gauge-source" title=${`${title}; configured: ${source}`}>
    <span class="tag is-warning">${kind === 'learned' ? 'learned' : 'set live'}</span> ${source}
  </span>`;
}
