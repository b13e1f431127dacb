import { ask, wordsOf } from './daemon.js';
import { useNow } from './ticking.js';
import { html, useEffect, useState } from './view.js';
import { ago, counted, exact, thousands } from './words.js';

/** @import { SessionEntryView, SessionListView } from '../http/session-views.ts' */

/** Sessions asked for at once. */
const PAGE = 12;

/** Past conversations. Of what was said in them nothing is shown here. */
export function SessionList() {
  const [sessions, setSessions] = useState(
    /** @type {readonly SessionEntryView[] | null} */ (null),
  );
  const [cursor, setCursor] = useState(/** @type {string | null} */ (null));
  const [trouble, setTrouble] = useState('');
  /** @param {string | null} from */
  const load = async (from) => {
    try {
      const query = from === null ? '' : `&cursor=${encodeURIComponent(from)}`;
      const answer = await ask('GET', `sessions?limit=${PAGE}${query}`);
      const page = /** @type {SessionListView} */ (answer);
      setSessions((before) => [...(from === null ? [] : (before ?? [])), ...page.sessions]);
      setCursor(page.next_cursor);
      setTrouble('');
    } catch (error) {
      setTrouble(wordsOf(error));
    }
  };
  useEffect(() => void load(null), []);
  return html`<section aria-labelledby="sessions-title">
    <div class="head">
      <h2 id="sessions-title">Sessions</h2>
      <button type="button" class="small apart" onClick=${() => load(null)}>Look again</button>
    </div>
    ${trouble !== '' && html`<p class="trouble" role="alert">${trouble}</p>`}
    ${sessions !== null && sessions.length === 0 && NONE}
    ${
      sessions !== null &&
      sessions.length > 0 &&
      html`<div class="panel flush">
        <${Table} sessions=${sessions} />
        ${
          cursor !== null &&
          html`<p class="more">
            <button type="button" onClick=${() => load(cursor)}>Show more</button>
          </p>`
        }
      </div>`
    }
  </section>`;
}

const NONE = html`<p class="panel quiet">
  No session was found. <code>sessions.roots</code> in the configuration says where to look.
</p>`;

/** @param {{ sessions: readonly SessionEntryView[] }} props */
function Table({ sessions }) {
  const nowMs = useNow();
  return html`<table role="table" class="rows sessions">
    <thead role="rowgroup">
      <tr role="row">
        <th role="columnheader" scope="col">Session</th>
        <th role="columnheader" scope="col">Last turn</th>
        <th role="columnheader" scope="col" class="number">Turns</th>
        <th role="columnheader" scope="col">Agents</th>
        <th role="columnheader" scope="col">Models</th>
        <th role="columnheader" scope="col">Format</th>
      </tr>
    </thead>
    <tbody role="rowgroup">
      ${sessions.map(
        (session) =>
          html`<${Row}
            key=${`${session.root ?? ''} ${session.log_dir}`}
            session=${session}
            nowMs=${nowMs}
          />`,
      )}
    </tbody>
  </table>`;
}

/** @param {{ session: SessionEntryView, nowMs: number }} props */
function Row({ session, nowMs }) {
  const { log_dir: log, updated_at: at, warnings } = session;
  return html`<tr role="row">
    <td role="cell" class="name session" title=${session.root ?? ''}>
      <a href=${`#/sessions/${encodeURIComponent(log)}`}>${log}</a>
      ${warnings > 0 && html` <span class="tag is-warning">${counted(warnings, 'warning')}</span>`}
    </td>
    <td role="cell" class="when">
      ${
        at !== null &&
        html`<time datetime=${at} title=${exact(at)}>${ago(Date.parse(at), nowMs)}</time>`
      }
    </td>
    <td role="cell" class="number" data-label="turns">${thousands(session.turns)}</td>
    <td role="cell" class="name agents">${session.agents.join(', ')}</td>
    <td role="cell" class="name models">${session.models.join(', ')}</td>
    <td role="cell" class="format">${session.format}</td>
  </tr>`;
}
