import { call } from './daemon.js';
import { readEvents } from './event-stream.js';

/** @import { ContinueAnswer } from '../http/session-views.ts' */

/**
 * A piece of an answer as the Gemini API streams it. Any of it may be missing.
 *
 * @typedef {object} Chunk
 * @property {readonly { content?: { parts?: readonly { text?: string, thought?: boolean }[] } }[]} [candidates]
 * @property {{ message?: string }} [error]
 */

/**
 * Takes the next turn of a session, and resolves when its answer is whole and on the disk.
 *
 * @param {string} name
 * @param {object} body
 * @param {AbortSignal} signal
 * @param {(text: string) => void} tell Told the whole text so far.
 */
export async function readAnswer(name, body, signal, tell) {
  const response = await call(`sessions/${encodeURIComponent(name)}/continue`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...body, stream: true }),
    signal,
  });
  // A turn that was taken before, under the same key, may be answered whole.
  if (response.headers.get('content-type')?.startsWith('text/event-stream') !== true) {
    tell(/** @type {ContinueAnswer} */ (await response.json()).text);
    return;
  }
  if (response.body === null) throw new Error('The answer had no body.');
  let text = '';
  try {
    await readEvents(response.body, {
      onEvent(_name, said) {
        text += textOf(/** @type {Chunk} */ (JSON.parse(said)));
        tell(text);
      },
    });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new Error('The answer was cut short, so no turn was written.', { cause: error });
  }
}

/** @param {Chunk} chunk */
function textOf({ candidates, error }) {
  if (error !== undefined) throw new Error(error.message ?? 'The model has failed.');
  const parts = candidates?.[0]?.content?.parts ?? [];
  return parts.map(({ text = '', thought }) => (thought === true ? '' : text)).join('');
}
