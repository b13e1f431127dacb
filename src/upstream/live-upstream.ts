import { WebSocket } from 'ws';

import { ProxyError } from '../errors.ts';
import type {
  LiveConnecting,
  LiveUpstream,
  LiveUpstreamAnswer,
  LiveUpstreamRequest,
} from '../exchange/live-wire.ts';
import { wireOf } from '../exchange/live-wire.ts';
import { plainBody } from '../exchange/plain-body.ts';

/** Name lookup, TCP, TLS and the handshake together. */
const CONNECT_MS_MAX = 30_000;
/** One message. Frames of video and whole files in base64 stay far below. */
const MESSAGE_BYTES_MAX = 134_217_728;
/** A refusal is some kilobytes of JSON. */
const REFUSAL_BYTES_MAX = 65_536;

/** The way of Live sessions to the upstream over ws: no compression, no redirects. */
export function createLiveUpstream(): LiveUpstream {
  const open = new Set<WebSocket>();
  return {
    connect(request, answer) {
      const socket = new WebSocket(urlOf(request), {
        headers: headersOf(request.headers),
        // The client's side has none either, so bytes pass without being packed anew.
        perMessageDeflate: false,
        followRedirects: false,
        handshakeTimeout: CONNECT_MS_MAX,
        maxPayload: MESSAGE_BYTES_MAX,
      });
      open.add(socket);
      socket.once('close', () => open.delete(socket));
      return handshake(socket, request, answer);
    },
    close() {
      for (const socket of open) socket.terminate();
    },
  };
}

function handshake(
  socket: WebSocket,
  { baseUrl }: LiveUpstreamRequest,
  answer: LiveUpstreamAnswer,
): LiveConnecting {
  let isOver = false;
  const once = (tell: () => void) => {
    if (isOver) return;
    isOver = true;
    tell();
  };
  socket.on('open', () => once(() => answer.open(wireOf(socket))));
  socket.on('unexpected-response', (request, response) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const tell = () => {
      once(() => {
        const body = plainBody(Buffer.concat(chunks), response.rawHeaders);
        answer.refused(response.statusCode ?? 0, body);
      });
      // With this listener ws leaves the request to us.
      request.destroy();
      socket.terminate();
    };
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= REFUSAL_BYTES_MAX) chunks.push(chunk);
      else tell();
    });
    response.on('end', tell).on('error', tell);
  });
  socket.on('error', (error) => {
    const { host } = new URL(baseUrl);
    const message = `no Live session with ${host}: ${error.message}.`;
    once(() => answer.error(new ProxyError('UPSTREAM_UNREACHABLE', message, { cause: error })));
  });
  return {
    abort: () => once(() => socket.terminate()),
  };
}

function urlOf({ baseUrl, path }: LiveUpstreamRequest): string {
  return baseUrl.replace(/^http/i, 'ws') + path;
}

/** Names that came twice keep all their values. */
function headersOf(flat: readonly string[]): Record<string, string | string[]> {
  const headers = new Map<string, string[]>();
  for (let at = 0; at + 1 < flat.length; at += 2) {
    const name = flat[at] ?? '';
    const known = [...headers.keys()].find((key) => key.toLowerCase() === name.toLowerCase());
    const values = headers.get(known ?? name) ?? [];
    values.push(flat[at + 1] ?? '');
    headers.set(known ?? name, values);
  }
  const single = [...headers].map(([name, values]): [string, string | string[]] => {
    const [first = ''] = values;
    return [name, values.length === 1 ? first : values];
  });
  return Object.fromEntries(single);
}
