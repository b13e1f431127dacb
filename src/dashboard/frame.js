import { Banners } from './banners.js';
import { known } from './feed.js';
import { FirstSteps } from './first-steps.js';
import { Header } from './header.js';
import { Plots } from './plots.js';
import { Recent } from './recent.js';
import { SessionList } from './session-list.js';
import { SessionPage } from './session-page.js';
import { useStore } from './store.js';
import { TokenForm } from './token-form.js';
import { Truth } from './truth.js';
import { html, useEffect, useState } from './view.js';
import { Waiting } from './waiting.js';
import { Windows } from './windows.js';

/** @import { StatusView } from '../http/views.ts' */
/** @import { Known } from './feed.js' */

const SESSION_HASH = '#/sessions/';

/** The whole page: what the daemon does, or one session. */
export function Page() {
  const state = useStore(known);
  const session = useSessionName();
  const { connection, status } = state;
  if (connection === 'token') {
    return html`<${Header} state=${state} />
      <main id="main"><${TokenForm} trouble=${state.trouble} /></main>`;
  }
  return html`<a class="skip" href="#main" onClick=${skipToMain}>Skip to the content</a>
    <${Header} state=${state} />
    <${Banners} state=${state} />
    <main id="main" tabindex="-1" class=${connection === 'lost' ? 'is-stale' : ''}>
      ${
        session === null
          ? status !== null && html`<${Overview} state=${state} status=${status} />`
          : html`<${SessionPage} key=${session} name=${session} queue=${status?.queue ?? []} />`
      }
      ${
        status === null && session === null && html`<p class="starting">Connecting to headgate…</p>`
      }
    </main>`;
}

/** @param {{ state: Known, status: StatusView }} props */
function Overview({ state, status }) {
  const isUnused = status.partitions.length === 0 && state.exchanges.length === 0;
  return html`<${Truth} status=${status} />
    ${
      isUnused
        ? html`<${FirstSteps} />`
        : html`<${Windows} status=${status} />
            <${Waiting} queue=${status.queue} />
            <${Recent} exchanges=${state.exchanges} />
            <${Plots} minutes=${state.minutes} newest=${state.exchanges[0]?.id ?? null} />`
    }
    <${SessionList} />`;
}

/** @param {Event} event */
function skipToMain(event) {
  // The part of the address after # says which session is shown.
  event.preventDefault();
  document.querySelector('main')?.focus();
}

/** The session that the address names; null for the overview. */
function useSessionName() {
  const [hash, setHash] = useState(() => location.hash);
  useEffect(() => {
    const follow = () => {
      setHash(location.hash);
      window.scrollTo(0, 0);
    };
    window.addEventListener('hashchange', follow);
    return () => window.removeEventListener('hashchange', follow);
  }, []);
  if (!hash.startsWith(SESSION_HASH)) return null;
  try {
    return decodeURIComponent(hash.slice(SESSION_HASH.length));
  } catch {
    return null;
  }
}
