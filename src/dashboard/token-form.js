import { retry } from './feed.js';
import { keepToken } from './token.js';
import { html, useEffect, useRef, useState } from './view.js';

/**
 * Asked for where the configuration has a token. It is kept until the tab is closed.
 *
 * @param {{ trouble: string | null }} props
 */
export function TokenForm({ trouble }) {
  const [token, setToken] = useState('');
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => field.current?.focus(), []);
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    if (token.trim() === '') return;
    keepToken(token.trim());
    setToken('');
    retry();
  };
  return html`<section class="panel token" aria-labelledby="token-title">
    <h2 id="token-title">This headgate asks for a token</h2>
    <p>
      It is the value of <code>admin.token</code> in its configuration, and is kept in this tab
      only.
    </p>
    <form onSubmit=${submit}>
      <label for="token">Token</label>
      <div class="row">
        <input
          id="token"
          ref=${field}
          type="password"
          autocomplete="off"
          value=${token}
          aria-describedby="token-trouble"
          onInput=${(/** @type {Event & { target: HTMLInputElement }} */ event) =>
            setToken(event.target.value)}
        />
        <button type="submit" class="main">Open</button>
      </div>
      <p id="token-trouble" class="trouble" role="alert">${trouble ?? ''}</p>
    </form>
  </section>`;
}
