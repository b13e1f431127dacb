import { createHash } from 'node:crypto';
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { LiveSession } from './live-session.ts';
import type { ArrivalLog } from './arrival.ts';
import { errorBody, type GoogleError, GOOGLE_ERRORS } from './google-error.ts';
import { type Target, targetOf } from './route.ts';
import type { World } from './world.ts';

export interface LiveSide {
  /** Breaks off every session, and every connection that was answered as plain HTTP. */
  close(): void;
}

const LIVE_PATH =
  /^\/ws\/google\.ai\.generativelanguage\.(v1\w*)\.GenerativeService\.(Bidi(?:GenerateContent(?:Constrained)?|GenerateMusic))$/;
const MESSAGE_BYTES_MAX = 134_217_728;

/**
 * Puts Live sessions beside a server's requests. `plain` answers every other upgrade as if none had
 * been offered; it never listens.
 */
export function serveLive(
  server: Server,
  plain: Server,
  { world, log }: { readonly world: World; readonly log: ArrivalLog },
): LiveSide {
  const sessions = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MESSAGE_BYTES_MAX,
  });
  // A server that does not listen keeps no list of its connections.
  const given = new Set<Duplex>();
  server.on('upgrade', (request, socket, head) => {
    const target = targetOf(request.url ?? '/');
    const method = LIVE_PATH.exec(target?.path ?? '')?.[2];
    if (method === undefined || target === null) {
      given.add(socket);
      socket.once('close', () => given.delete(socket));
      return backToPlain(plain, request, socket, head);
    }
    socket.on('error', () => socket.destroy());
    const key = keyOf(request, target);
    const arrival = log.open(world.now(), method);
    arrival.apiKeyHash =
      key === null ? null : createHash('sha256').update(key).digest('hex').slice(0, 12);
    const tag = request.headers['x-test-tag'];
    arrival.agentTag = typeof tag === 'string' ? tag : null;
    const error = keyError(world, key);
    arrival.status = error === null ? 101 : error.code;
    if (error !== null) return refuse(socket, error);
    sessions.handleUpgrade(request, socket, head, (client: WebSocket) => {
      new LiveSession({ world, arrival, client }).begin();
    });
  });
  return {
    close() {
      for (const client of sessions.clients) client.terminate();
      for (const socket of given) socket.destroy();
    },
  };
}

/** Node has read the head and no more: it is put back before what follows it. */
function backToPlain(
  plain: Server,
  { method = '', url = '', httpVersion, rawHeaders }: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  let start = `${method} ${url} HTTP/${httpVersion}\r\n`;
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    start += `${rawHeaders[at] ?? ''}: ${rawHeaders[at + 1] ?? ''}\r\n`;
  }
  socket.unshift(Buffer.concat([Buffer.from(`${start}\r\n`, 'latin1'), head]));
  plain.emit('connection', socket);
}

function keyOf({ headers }: IncomingMessage, { query }: Target): string | null {
  const header = headers['x-goog-api-key'];
  const token = /^(?:Bearer|Token) +(.+)$/i.exec(headers.authorization ?? '')?.[1];
  return (
    (typeof header === 'string' ? header : null) ??
    query.get('key') ??
    token ??
    query.get('access_token')
  );
}

function keyError({ scenario }: World, key: string | null): GoogleError | null {
  if (scenario.keys === undefined) return null;
  if (key === null) return GOOGLE_ERRORS.keyMissing;
  return scenario.keys.includes(key) ? null : GOOGLE_ERRORS.keyInvalid;
}

function refuse(socket: Duplex, error: GoogleError): void {
  const body = errorBody(error, 'object');
  socket.end(
    `HTTP/1.1 ${error.code} ${error.status}\r\ncontent-type: application/json; charset=UTF-8\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}
