import { ContinueForm } from './continue-form.js';
import { ask, wordsOf } from './daemon.js';
import { html, useEffect, useRef, useState } from './view.js';
import { counted } from './words.js';

/** @import { QueuedView } from '../http/views.ts' */
/** @import { SessionView, TurnView } from '../http/session-views.ts' */

/**
 * One session and its next turn. What was said in it is hidden until somebody asks for it: pages
 * are left open, and shown to others.
 *
 * @param {{ name: string, queue: readonly QueuedView[] }} props
 */
export function SessionPage({ name, queue }) {
  const [session, setSession] = useState(/** @type {SessionView | null} */ (null));
  const [trouble, setTrouble] = useState('');
  const [showsTexts, setShowsTexts] = useState(false);
  const title = useRef(/** @type {HTMLElement | null} */ (null));

  const load = async (isFull = false) => {
    try {
      const query = isFull ? '?full=true' : '';
      const answer = await ask('GET', `sessions/${encodeURIComponent(name)}${query}`);
      setSession(/** @type {SessionView} */ (answer));
      setTrouble('');
    } catch (error) {
      setTrouble(wordsOf(error));
    }
  };
  useEffect(() => {
    title.current?.focus();
    void load();
  }, []);
  const taken = () => {
    setShowsTexts(true);
    return load();
  };

  return html`<section class="session-page" aria-labelledby="session-title">
    <p class="back"><a href="#/">← All of headgate</a></p>
    <h2 id="session-title" tabindex="-1" ref=${title}>${name}</h2>
    ${trouble !== '' && html`<p class="trouble" role="alert">${trouble}</p>`}
    ${session === null && trouble === '' && html`<p class="starting">Reading the session…</p>`}
    ${
      session !== null &&
      html`<${About} session=${session} />
        <div class="head">
          <h3>${counted(session.turns.length, 'turn')}</h3>
          <button
            type="button"
            aria-pressed=${String(showsTexts)}
            onClick=${() => setShowsTexts(!showsTexts)}
          >
            Show the texts
          </button>
        </div>
        <ol class="turns">
          ${session.turns.map(
            (turn) =>
              html`<${Turn}
                key=${turn.number}
                turn=${turn}
                showsTexts=${showsTexts}
                showWhole=${() => load(true)}
              />`,
          )}
        </ol>
        <${ContinueForm} name=${name} session=${session} queue=${queue} taken=${taken} />`
    }
  </section>`;
}

/** @param {{ session: SessionView }} props */
function About({ session }) {
  const { format, session_id: id, agents, warnings } = session;
  return html`<dl class="about">
      <div>
        <dt>Format</dt>
        <dd>${format}</dd>
      </div>
      ${
        id !== null &&
        html`<div>
          <dt>Session id</dt>
          <dd><code>${id}</code></dd>
        </div>`
      }
      <div>
        <dt>Agents</dt>
        <dd>
          ${
            agents
              .map((agent) => (agent.model === null ? agent.id : `${agent.id} (${agent.model})`))
              .join(', ') || 'none'
          }
        </dd>
      </div>
    </dl>
    ${
      warnings.length > 0 &&
      html`<details class="warnings">
        <summary>${counted(warnings.length, 'warning')}</summary>
        <ul>
          ${warnings.map(({ file, message }) => html`<li><code>${file}</code> ${message}</li>`)}
        </ul>
      </details>`
    }`;
}

/** @param {{ turn: TurnView, showsTexts: boolean, showWhole: () => void }} props */
function Turn({ turn, showsTexts, showWhole }) {
  const { number, question, answer, answered, winner } = turn;
  const isCut = turn.question_cut === true || turn.answer_cut === true;
  const by = winner === null ? '' : `answered by ${winner}`;
  return html`<li class="panel turn">
    <h4>Turn ${number} <span class="quiet">${answered ? by : 'not answered'}</span></h4>
    ${
      showsTexts
        ? html`<${Text} who="Question" text=${question} isCut=${turn.question_cut} />
            <${Text} who="Answer" text=${answer} isCut=${turn.answer_cut} />
            ${
              isCut &&
              html`<button type="button" class="small" onClick=${showWhole}>Show the whole</button>`
            }`
        : html`<p class="quiet">${lengthOf(turn)}</p>`
    }
  </li>`;
}

/** @param {{ who: 'Question' | 'Answer', text: string | null, isCut?: boolean }} props */
function Text({ who, text, isCut }) {
  if (text === null) return html`<p class="quiet">No ${who.toLowerCase()} was kept.</p>`;
  return html`<div class=${`said-text is-${who.toLowerCase()}`}>
    <h5>${who}</h5>
    <p>${text}${isCut === true ? '…' : ''}</p>
  </div>`;
}

/** @param {TurnView} turn */
function lengthOf({ question, answer, question_cut: isQuestionCut, answer_cut: isAnswerCut }) {
  const asked = textLength('question', question, isQuestionCut);
  return `Hidden: ${asked}, ${textLength('answer', answer, isAnswerCut)}.`;
}

/**
 * @param {string} noun
 * @param {string | null} text
 * @param {boolean | undefined} isCut
 */
function textLength(noun, text, isCut) {
  if (text === null) return `no ${noun}`;
  return `${noun} of ${isCut === true ? 'more than ' : ''}${counted(text.length, 'character')}`;
}
