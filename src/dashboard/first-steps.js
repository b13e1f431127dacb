import { readToken } from './token.js';
import { html, useState } from './view.js';

/** Nothing has been called yet: how to point a client here. */
export function FirstSteps() {
  const needsToken = readToken() !== null;
  const { curl, env } = linesFor(location.origin, needsToken);
  return html`<section class="panel first-steps" aria-labelledby="first-title">
    <h2 id="first-title">No call has come yet</h2>
    <p>
      headgate is ready. Point a client's base URL here, and its windows, waits and costs show up on
      this page as they happen.
    </p>
    <h3>Try it</h3>
    <${Snippet} text=${curl} name="the curl command" />
    <h3>For Google's SDKs, the Gemini CLI and MassGen</h3>
    <${Snippet} text=${env} name="the environment lines" />
    <p class="quiet">
      ${
        needsToken
          ? 'Clients send the token in place of an API key.'
          : 'A key of the client’s own goes through as it is; "headgate" stands for the configured key.'
      }${' '}
      <code>headgate env</code> prints the settings of more clients.
    </p>
  </section>`;
}

/**
 * @param {string} url
 * @param {boolean} needsToken
 */
function linesFor(url, needsToken) {
  const key = needsToken ? '$HEADGATE_TOKEN' : '${GEMINI_API_KEY:-headgate}';
  const curl = [
    `curl '${url}/v1beta/models/gemini-2.5-flash:generateContent' \\`,
    `  -H "x-goog-api-key: ${key}" -H 'x-headgate-agent: me' \\`,
    `  -H 'content-type: application/json' \\`,
    `  -d '{"contents":[{"role":"user","parts":[{"text":"Why is the sky blue?"}]}]}'`,
  ];
  const env = [`export GOOGLE_GEMINI_BASE_URL='${url}'`, `export GEMINI_API_KEY="${key}"`];
  return { curl: curl.join('\n'), env: env.join('\n') };
}

/** @param {{ text: string, name: string }} props */
function Snippet({ text, name }) {
  const [said, setSaid] = useState('Copy');
  const copy = () =>
    navigator.clipboard.writeText(text).then(
      () => setSaid('Copied'),
      () => setSaid('Not allowed'),
    );
  // Only pages of this machine, or over https, may write to the clipboard.
  return html`<div class="snippet">
    <pre tabindex="0" role="region" aria-label=${name}>${text}</pre>
    ${
      window.isSecureContext &&
      html`<button type="button" class="small" aria-label=${`${said} ${name}`} onClick=${copy}>
        ${said}
      </button>`
    }
  </div>`;
}
