import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';
import { listen } from './loopback.ts';

/** An HTTP/1 message as it went over the wire. */
export interface Message {
  /** Request line or status line. */
  readonly start: string;
  /** Flat, in order and spelling as sent; bytes as Latin-1. */
  readonly headers: readonly string[];
  /** Without the framing of chunks. */
  readonly body: Buffer;
}

const HEAD_END = Buffer.from('\r\n\r\n');

/**
 * Reads one message. Null while bytes are missing; `ended` tells that no more will come, which ends a
 * body of unknown length. A test's own reading, so that nothing in between makes two messages alike.
 */
export function readMessage(
  bytes: Buffer,
  { ended, bodiless = false }: { ended: boolean; bodiless?: boolean },
): Message | null {
  const end = bytes.indexOf(HEAD_END);
  if (end === -1) return null;
  const [start = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n');
  const rest = bytes.subarray(end + HEAD_END.length);
  const status = /^HTTP\/1\.[01] (\d+)/.exec(start)?.[1];
  if (status?.startsWith('1') === true) return readMessage(rest, { ended, bodiless });
  const headers = lines.flatMap((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  const body =
    bodiless || status === '204' || status === '304'
      ? Buffer.alloc(0)
      : readBody(rest, headers, { ended, isAnswer: status !== undefined });
  return body === null ? null : { start, headers, body };
}

export function headerOf({ headers }: Pick<Message, 'headers'>, name: string): string | null {
  const at = headers.findIndex((each, index) => index % 2 === 0 && each.toLowerCase() === name);
  return at === -1 ? null : (headers[at + 1] ?? '');
}

function readBody(
  rest: Buffer,
  headers: readonly string[],
  { ended, isAnswer }: { ended: boolean; isAnswer: boolean },
): Buffer | null {
  if (headerOf({ headers }, 'transfer-encoding') !== null) return readChunks(rest);
  const length = headerOf({ headers }, 'content-length');
  if (length !== null) {
    return rest.length < Number(length) ? null : rest.subarray(0, Number(length));
  }
  if (!isAnswer) return Buffer.alloc(0);
  return ended ? rest : null;
}

function readChunks(rest: Buffer): Buffer | null {
  const chunks: Buffer[] = [];
  let at = 0;
  for (;;) {
    const lineEnd = rest.indexOf('\r\n', at);
    if (lineEnd === -1) return null;
    const size = Number.parseInt(rest.toString('latin1', at, lineEnd), 16);
    if (size === 0) return rest.includes(HEAD_END, lineEnd - 1) ? Buffer.concat(chunks) : null;
    if (rest.length < lineEnd + 2 + size + 2) return null;
    chunks.push(rest.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 2 + size + 2;
  }
}

/** A server that keeps what it receives, byte for byte, and answers with bytes that a test gives. */
export interface Recorder {
  readonly port: number;
  readonly received: Message[];
  /** The next answer, in pieces that go out one by one; the connection closes after the last. */
  answer: readonly Buffer[];
}

export async function startRecorder(t: Test): Promise<Recorder> {
  const recorder = { port: 0, received: [] as Message[], answer: [] as readonly Buffer[] };
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    let bytes = Buffer.alloc(0);
    let isAsked = false;
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      if (!isAsked && /\r\nexpect: 100-continue\r\n/i.test(bytes.toString('latin1'))) {
        isAsked = true;
        socket.write('HTTP/1.1 100 Continue\r\n\r\n');
      }
      const message = readMessage(bytes, { ended: false });
      if (message === null) return;
      bytes = Buffer.alloc(0);
      recorder.received.push(message);
      void reply(socket, recorder.answer);
    });
  });
  recorder.port = await listen(server);
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return recorder;
}

async function reply(socket: Socket, pieces: readonly Buffer[]): Promise<void> {
  for (const piece of pieces) {
    socket.write(piece);
    // Each in a packet of its own, as far as that can be had.
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.end();
}

/** Sends bytes and reads until the other side closes. */
export async function exchange(port: number, pieces: readonly Buffer[]): Promise<Buffer> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  const ended = once(socket, 'end');
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await ended;
  socket.destroy();
  return Buffer.concat(chunks);
}
