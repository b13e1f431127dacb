import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { Test } from 'tap';

/** What stands where a daemon does, and answers calls as the test says. */
export interface ScriptedDaemon {
  readonly url: string;
  /** Calls as they came. */
  readonly calls: readonly ScriptedCall[];
}

export interface ScriptedCall {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Own routes answer like headgate's; every other path is answered by `answer`. Closed with the test. */
export async function scriptedDaemon(
  t: Test,
  answer: (reply: ServerResponse) => void,
  token: string | null = null,
): Promise<ScriptedDaemon> {
  const calls: ScriptedCall[] = [];
  const server = createServer((request, reply) => {
    const { url: path = '', headers } = request;
    const json = (status: number, body: object): void => {
      reply.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    if (path === '/livez') return json(200, { status: 'live' });
    if (path === '/queue') {
      if (token === null || headers.authorization === `Bearer ${token}`) {
        return json(200, { queue: [] });
      }
      return json(401, { reason: 'UNAUTHORIZED', detail: 'This headgate asks for a token.' });
    }
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    request.on('end', () => {
      calls.push({ path, headers, body });
      answer(reply);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { url: `http://127.0.0.1:${address.port}`, calls };
}

/** An answer's events, in the manner of streamGenerateContent with alt=sse. */
export function answerEvents(reply: ServerResponse, events: readonly object[]): ServerResponse {
  reply.writeHead(200, {
    'content-type': 'text/event-stream',
    'x-headgate-queued-ms': '3200',
    'x-headgate-request-id': 'r-1',
  });
  for (const event of events) reply.write(`data: ${JSON.stringify(event)}\r\n\r\n`);
  return reply;
}

/** One event with a text. */
export function textEvent(text: string, more: object = {}): object {
  return { candidates: [{ content: { role: 'model', parts: [{ text }] }, ...more }] };
}
