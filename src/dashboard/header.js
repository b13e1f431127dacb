import { retry } from './feed.js';
import { html, useEffect, useState } from './view.js';
import { counted, countdown, exact } from './words.js';

/** @import { Known } from './feed.js' */

/** @param {{ state: Known }} props */
export function Header({ state }) {
  const { status } = state;
  return html`<header class="top">
    <h1>
      <a href="#/"><img src="dashboard/icon.svg" alt="" width="22" height="22" />headgate</a>
    </h1>
    ${
      status !== null &&
      html`<p class="top-facts">
        <span class="version">${status.version}</span>
        ${
          status.mode !== 'enforce' &&
          html`<span class="tag is-warning"
            >${status.mode === 'off' ? 'limits off' : 'shadow'}</span
          >`
        }
        <span class="wide-only">at <code>${status.listen}</code></span>
        <span>
          ${
            status.upstream.simulated
              ? 'before a simulated Gemini'
              : html`before <code>${hostOf(status.upstream.base_url)}</code>`
          }
        </span>
        <span class="wide-only" title=${`since ${exact(status.started_at)}`}>
          up ${countdown(status.uptime_ms)}
        </span>
      </p>`
    }
    <${Connection} state=${state} />
  </header>`;
}

/** @param {{ state: Known }} props */
function Connection({ state }) {
  const { connection, status } = state;
  const calls = status === null ? '' : `${counted(status.totals.running, 'call')} running`;
  const words = {
    connecting: 'connecting',
    live: `live, ${calls}`,
    lost: 'no connection',
    token: 'locked',
  };
  return html`<p class=${`connection is-${connection}`}>
    <span class="lamp" aria-hidden="true"></span>${words[connection]}
  </p>`;
}

/**
 * When a lost connection is tried again.
 *
 * @param {{ state: Known }} props
 */
export function LostConnection({ state }) {
  const [nowMs, setNowMs] = useState(() => Date.now());
  useEffect(() => {
    const timer = window.setInterval(() => setNowMs(Date.now()), 500);
    return () => window.clearInterval(timer);
  }, []);
  const leftMs = state.retryAtMs - nowMs;
  return html`<span aria-hidden="true">
      ${leftMs > 500 ? `Trying again in ${countdown(leftMs)}.` : 'Trying again…'}
    </span>
    <button type="button" class="small" onClick=${retry}>Try now</button>`;
}

/** @param {string} url */
function hostOf(url) {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}
