/** A status with a thousand waiting calls has a tenth of it; what is longer is no event of ours. */
const EVENT_CHARS_MAX = 8 * 1024 * 1024;

/**
 * The events of a server-sent event stream
 * (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream). EventSource
 * cannot send a token, so they are read by hand. Calls `onEvent` for each event, and `onBytes` for
 * whatever comes, comments too. Resolves when the stream has ended; rejects when it was cut.
 *
 * @param {ReadableStream<Uint8Array<ArrayBuffer>>} body
 * @param {{ onEvent: (name: string, text: string) => void, onBytes?: () => void }} listener
 */
export async function readEvents(body, { onEvent, onBytes = () => undefined }) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    onBytes();
    // A carriage return and its line feed may come apart.
    rest = (rest + value).replaceAll('\r\n', '\n');
    const blocks = rest.split('\n\n');
    rest = blocks.pop() ?? '';
    if (rest.length > EVENT_CHARS_MAX) {
      await reader.cancel();
      throw new Error('An event was longer than any that headgate sends.');
    }
    for (const block of blocks) tell(block, onEvent);
  }
}

/**
 * @param {string} block
 * @param {(name: string, text: string) => void} onEvent
 */
function tell(block, onEvent) {
  let name = 'message';
  const lines = [];
  for (const line of block.split('\n')) {
    if (line.startsWith('event:')) name = line.slice('event:'.length).trim();
    else if (line.startsWith('data:')) lines.push(line.slice('data:'.length).replace(/^ /, ''));
  }
  if (lines.length > 0) onEvent(name, lines.join('\n'));
}
