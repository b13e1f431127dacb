import { ask, wordsOf } from './daemon.js';
import { html, useEffect, useRef, useState } from './view.js';
import { amount, windowName } from './words.js';

/** @import { LimitsView, LimitView, PartitionView, WindowView } from '../http/views.ts' */

/**
 * Sets limits of one model while the daemon runs, or drops what was set and learned.
 *
 * @param {{ partition: PartitionView, close: () => void }} props
 */
export function LimitForm({ partition, close }) {
  const { project, model, windows } = partition;
  const [texts, setTexts] = useState(
    () => new Map(windows.map((one) => [one.policy, textOf(one)])),
  );
  const [before] = useState(texts);
  const [origins, setOrigins] = useState(/** @type {readonly LimitView[]} */ ([]));
  const [trouble, setTrouble] = useState('');
  const [isBusy, setBusy] = useState(false);
  const form = useRef(/** @type {HTMLFormElement | null} */ (null));
  const path = `limits/${encodeURIComponent(model)}?project=${encodeURIComponent(project)}`;

  useEffect(() => {
    form.current?.querySelector('input')?.focus();
    ask('GET', 'limits').then(
      (answer) => setOrigins(limitsOf(answer, partition)),
      (error) => setTrouble(wordsOf(error)),
    );
  }, []);

  /** @param {() => Promise<unknown>} change */
  const apply = async (change) => {
    setBusy(true);
    setTrouble('');
    try {
      await change();
      close();
    } catch (error) {
      setTrouble(wordsOf(error));
      setBusy(false);
    }
  };
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    const changed = [...texts].filter(([policy, text]) => text !== before.get(policy));
    if (changed.length === 0) return close();
    const limits = Object.fromEntries(changed.map(([policy, text]) => [policy, limitOf(text)]));
    return apply(() => ask('PATCH', path, limits));
  };
  const reset = () => apply(() => ask('DELETE', path));

  return html`<form
    class="limits"
    ref=${form}
    onSubmit=${submit}
    onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === 'Escape' && close()}
  >
    ${windows.map(
      (window) =>
        html`<${LimitField}
          key=${window.policy}
          window=${window}
          origin=${origins.find(({ policy }) => policy === window.policy) ?? null}
          text=${texts.get(window.policy) ?? ''}
          change=${(/** @type {string} */ text) => setTexts(new Map(texts).set(window.policy, text))}
        />`,
    )}
    <p class="quiet">
      What is set here holds until it is reset. A field that is emptied goes back by itself.
    </p>
    ${trouble !== '' && html`<p class="trouble" role="alert">${trouble}</p>`}
    <div class="row">
      <button type="submit" class="main" disabled=${isBusy}>Set</button>
      <button type="button" onClick=${close}>Back</button>
      <button
        type="button"
        class="apart"
        disabled=${isBusy}
        title="Drops what was set and learned, and lifts cooldowns"
        onClick=${reset}
      >
        Reset to configured
      </button>
    </div>
  </form>`;
}

/**
 * @param {{
 *   window: WindowView, origin: LimitView | null, text: string, change: (text: string) => void
 * }} props
 */
function LimitField({ window, origin, text, change }) {
  const { policy, unit, span_ms: spanMs } = window;
  return html`<label class="limit-field">
    <span>${windowName(unit, spanMs)}</span>
    <input
      type="number"
      name=${policy}
      min="0"
      step=${unit === 'usd' ? 'any' : '1'}
      inputmode="decimal"
      placeholder=${window.limit === null ? 'no limit' : 'as before'}
      value=${text}
      onInput=${(/** @type {Event & { target: HTMLInputElement }} */ event) =>
        change(event.target.value)}
    />
    <span class="quiet">${origin === null ? window.source : originWords(origin)}</span>
  </label>`;
}

/** @param {LimitView} origin */
function originWords({ configured, learned, override, unit, source }) {
  /** @param {number | null} limit */
  const said = (limit) => (limit === null ? 'no limit' : amount(limit, unit));
  return [
    `configured ${said(configured)} (${source})`,
    ...(learned === null ? [] : [`learned ${said(learned)}`]),
    ...(override === null ? [] : [`set ${said(override)}`]),
  ].join(', ');
}

/**
 * @param {unknown} answer
 * @param {PartitionView} partition
 */
function limitsOf(answer, { project, model }) {
  const { limits } = /** @type {{ limits: readonly LimitsView[] }} */ (answer);
  return limits.find((one) => one.project === project && one.model === model)?.windows ?? [];
}

/** @param {WindowView} window */
function textOf({ limit }) {
  return limit === null ? '' : String(limit);
}

/**
 * Null takes back what was set for this window alone.
 *
 * @param {string} text
 */
function limitOf(text) {
  return text.trim() === '' ? null : Number(text);
}
