import { readAnswer } from './turn-answer.js';
import { wordsOf } from './daemon.js';
import { html, useEffect, useRef, useState } from './view.js';
import { countdown, duration } from './words.js';

/** @import { QueuedView } from '../http/views.ts' */
/** @import { SessionView } from '../http/session-views.ts' */

/** Longest name of an agent (sessions/session-agent.ts). */
const AGENT_CHARS_MAX = 64;

/**
 * The next turn: a text box, and the answer as it comes.
 *
 * @param {{
 *   name: string,
 *   session: SessionView,
 *   queue: readonly QueuedView[],
 *   taken: () => Promise<void>,
 * }} props
 */
export function ContinueForm({ name, session, queue, taken }) {
  const [message, setMessage] = useState('');
  const [agent, setAgent] = useState('');
  const [answer, setAnswer] = useState(/** @type {string | null} */ (null));
  const [trouble, setTrouble] = useState('');
  const running = useRef(/** @type {AbortController | null} */ (null));
  // Sent again with the same message, the turn is not taken twice.
  const key = useRef('');
  const waiting = queue.find((one) => one.agent === agentOf(session));
  const isBusy = answer !== null;
  useEffect(() => () => running.current?.abort(), []);

  const take = async () => {
    const stop = new AbortController();
    running.current = stop;
    if (key.current === '') key.current = newKey();
    setTrouble('');
    setAnswer('');
    try {
      const body = { message, idempotency_key: key.current, ...(agent !== '' && { agent }) };
      await readAnswer(name, body, stop.signal, setAnswer);
      key.current = '';
      setMessage('');
      await taken();
    } catch (error) {
      setTrouble(stop.signal.aborted ? 'Stopped.' : wordsOf(error));
    }
    running.current = null;
    setAnswer(null);
  };
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    if (message.trim() !== '' && !isBusy) void take();
  };
  /** @param {string} text */
  const write = (text) => {
    setMessage(text);
    key.current = '';
  };

  return html`<form class="panel continue" onSubmit=${submit}>
    <label for="message">Continue with turn ${session.next_turn}</label>
    <${MessageBox} message=${message} isBusy=${isBusy} write=${write} send=${submit} />
    <div class="row">
      <${AgentChoice} session=${session} isBusy=${isBusy} choose=${setAgent} />
      ${
        isBusy
          ? html`<button type="button" onClick=${() => running.current?.abort()}>Stop</button>`
          : html`<button type="submit" class="main" disabled=${message.trim() === ''}>Send</button>`
      }
      <span class="quiet" role="status">${isBusy ? progressOf(answer, waiting) : ''}</span>
    </div>
    ${
      isBusy &&
      answer !== '' &&
      html`<div class="said-text is-answer">
        <h5>Answer</h5>
        <p>${answer}</p>
      </div>`
    }
    ${trouble !== '' && html`<p class="trouble" role="alert">${trouble}</p>`}
  </form>`;
}

/**
 * @param {{
 *   message: string,
 *   isBusy: boolean,
 *   write: (text: string) => void,
 *   send: (event: Event) => void,
 * }} props
 */
function MessageBox({ message, isBusy, write, send }) {
  /** @param {KeyboardEvent} event */
  const sendByKey = (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) send(event);
  };
  return html`<textarea
    id="message"
    rows="3"
    value=${message}
    disabled=${isBusy}
    onKeyDown=${sendByKey}
    onInput=${(/** @type {Event & { target: HTMLTextAreaElement }} */ event) =>
      write(event.target.value)}
  ></textarea>`;
}

/** @param {{ session: SessionView, isBusy: boolean, choose: (agent: string) => void }} props */
function AgentChoice({ session, isBusy, choose }) {
  if (session.agents.length < 2) return null;
  return html`<select
    aria-label="Who answers"
    disabled=${isBusy}
    onChange=${(/** @type {Event & { target: HTMLSelectElement }} */ event) =>
      choose(event.target.value)}
  >
    <option value="">whoever answered last</option>
    ${session.agents.map(({ id }) => html`<option key=${id} value=${id}>${id}</option>`)}
  </select>`;
}

/**
 * @param {string} answer
 * @param {QueuedView | undefined} waiting
 */
function progressOf(answer, waiting) {
  if (answer !== '') return 'answering…';
  if (waiting === undefined) return 'asking…';
  const { expected_at: at, waited_ms: waitedMs, reason } = waiting;
  const left = at === null ? '' : `, ${countdown(Date.parse(at) - Date.now())} to go`;
  return `waiting ${duration(waitedMs)}${left}: ${reason}`;
}

/**
 * Under which name the turn waits (sessions/session-agent.ts).
 *
 * @param {SessionView} session
 */
function agentOf({ session_id: id, log_dir: log }) {
  const name = id ?? log.replace(/\/+$/, '').split('/').at(-1) ?? '';
  return `session:${name.replaceAll(/[^A-Za-z0-9._:@-]/g, '_')}`.slice(0, AGENT_CHARS_MAX);
}

/** `crypto.randomUUID` is there for pages of this machine only. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
