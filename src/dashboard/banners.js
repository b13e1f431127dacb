import { LostConnection } from './header.js';
import { html } from './view.js';

/** @import { Known } from './feed.js' */

/**
 * What a person should see first. The only part that screen readers speak of by themselves.
 *
 * @param {{ state: Known }} props
 */
export function Banners({ state }) {
  const { connection, status, trouble } = state;
  const banners = status?.banners ?? [];
  const isLost = connection === 'lost';
  return html`<div class="banners" aria-live="polite">
    ${
      isLost &&
      html`<p class="banner is-bad" key="lost">
        <strong>No connection.</strong> ${trouble ?? ''}${' '}
        ${status !== null && 'What is shown is what was last known.'}${' '}
        <${LostConnection} state=${state} />
      </p>`
    }
    ${banners.map((text) => html`<p class="banner" key=${`said ${text}`}>${text}</p>`)}
  </div>`;
}
