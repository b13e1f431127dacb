import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';

/** One event as it arrived; `ping` for the comment. */
export interface SeenEvent {
  readonly event: string;
  /** Parsed; null for a ping. */
  readonly data: unknown;
}

/** A stream of server-sent events, read as it comes. */
export interface EventSource {
  readonly response: IncomingMessage;
  readonly request: ClientRequest;
  readonly events: readonly SeenEvent[];
  /** All that has come, as text. */
  text(): string;
  /** Resolves with the first event that fits, once it has come; rejects where the stream ends before. */
  find(fits: (seen: SeenEvent) => boolean): Promise<SeenEvent>;
  /** Resolves once the stream has ended or was cut. */
  readonly closed: Promise<void>;
}

/** Opens `GET /events`; the answer's status is for the test to look at. */
export async function listenTo(
  url: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<EventSource> {
  const asked = request(`${url}/events`, { headers, agent: false });
  asked.end();
  const [response]: IncomingMessage[] = await once(asked, 'response');
  if (response === undefined) throw new Error('no answer');
  const events: SeenEvent[] = [];
  const waiting = new Set<() => void>();
  const state = { isClosed: false, text: '', rest: '' };
  const tell = () => {
    for (const look of waiting) look();
  };
  response.setEncoding('utf8');
  response.on('data', (chunk: string) => {
    state.text += chunk;
    const parts = (state.rest + chunk).split('\n\n');
    state.rest = parts.pop() ?? '';
    events.push(...parts.map(parseEvent));
    tell();
  });
  response.on('error', () => undefined);
  asked.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => {
    response.once('close', () => {
      state.isClosed = true;
      tell();
      resolve();
    });
  });
  return {
    response,
    request: asked,
    events,
    text: () => state.text,
    closed,
    find: (fits) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = events.find(fits);
          if (found === undefined && !state.isClosed) return;
          waiting.delete(look);
          if (found === undefined) reject(new Error(`the stream ended: ${state.text}`));
          else resolve(found);
        };
        waiting.add(look);
        look();
      }),
  };
}

function parseEvent(block: string): SeenEvent {
  if (block === ': ping') return { event: 'ping', data: null };
  const [, event, data] = /^event: (\w+)\ndata: (.*)$/.exec(block) ?? [];
  if (event === undefined || data === undefined) throw new Error(`no event: ${block}`);
  return { event, data: JSON.parse(data) };
}
