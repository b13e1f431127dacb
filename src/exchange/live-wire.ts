/**
 * One side of a Live session: a WebSocket that is open. Messages pass as they came, text as text and
 * binary as binary; pings are answered below this interface, on each side by itself.
 */
export interface LiveWire {
  /** False when much waits to be taken by the peer; `drained` follows. Does nothing once closed. */
  send(data: Buffer, isBinary: boolean): boolean;
  /** Messages already read still come; then none until `resume`. */
  pause(): void;
  resume(): void;
  /**
   * Closes as a peer closed: with its code and reason, without any where it gave none (1005), and by
   * cutting the connection where that was cut (1006). `closed` of the listener still follows.
   */
  close(code: number, reason: Buffer): void;
  /** Cuts the connection. */
  terminate(): void;
  /** Who hears of it from now on. Before the first call nothing is lost: nothing is read. */
  listen(listener: LiveListener): void;
}

export interface LiveListener {
  message(data: Buffer, isBinary: boolean): void;
  /** The peer has taken enough of what waited. */
  drained(): void;
  /** Once, and last. 1005: no code was given; 1006: the connection broke. */
  closed(code: number, reason: Buffer): void;
}

/** The way of Live sessions to the upstream: ws in the daemon. */
export interface LiveUpstream {
  /** Connects and returns at once; exactly one of the answers follows. */
  connect(request: LiveUpstreamRequest, answer: LiveUpstreamAnswer): LiveConnecting;
  /** Cuts what is still open. */
  close(): void;
}

export interface LiveUpstreamRequest {
  /** Scheme (http or https), host and optional base path, no trailing slash. */
  readonly baseUrl: string;
  readonly path: string;
  /** End-to-end headers, flat, without those of the handshake itself. */
  readonly headers: readonly string[];
}

export interface LiveUpstreamAnswer {
  open(wire: LiveWire): void;
  /** It answered the handshake with another status than 101. `body` is cut at 64 KiB. */
  refused(status: number, body: Buffer): void;
  error(error: Error): void;
}

export interface LiveConnecting {
  /** Gives up; no answer follows any more. Does nothing once there was one. */
  abort(): void;
}

/** Bytes that may wait for a slow peer before the other side is paused. */
const BACKLOG_BYTES_MAX = 1_048_576;
/** RFC 6455 section 5.5: a control frame holds 125 bytes, two of them the code. */
export const REASON_BYTES_MAX = 123;
export const NO_CODE = 1005;
export const BROKEN = 1006;

/** What is used of a WebSocket of ws, so that both edges may bring theirs. */
export interface WebSocketLike {
  readonly bufferedAmount: number;
  send(
    data: Buffer,
    options: { readonly binary: boolean },
    sent: (error?: Error | null) => void,
  ): void;
  pause(): void;
  resume(): void;
  close(code?: number, reason?: Buffer): void;
  terminate(): void;
  on(event: 'message', listener: (data: unknown, isBinary: boolean) => void): unknown;
  on(event: 'close', listener: (code: number, reason: Buffer) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

/** Covers an open WebSocket whose binaryType is `nodebuffer`, the default of ws. */
export function wireOf(socket: WebSocketLike): LiveWire {
  let listener: LiveListener | null = null;
  let isBacklogged = false;
  let isClosed = false;
  let closedWith: readonly [number, Buffer] | null = null;
  const early: (readonly [Buffer, boolean])[] = [];
  socket.pause();
  socket.on('message', (data, isBinary) => {
    // With `nodebuffer` a message is one Buffer, never a list.
    if (!(data instanceof Uint8Array)) return;
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    if (listener === null) early.push([bytes, isBinary]);
    else listener.message(bytes, isBinary);
  });
  // What went wrong shows in the code of the close that follows.
  socket.on('error', () => undefined);
  socket.on('close', (code, reason) => {
    isClosed = true;
    if (listener === null) closedWith = [code, reason];
    else listener.closed(code, reason);
  });
  return {
    send(data, isBinary) {
      if (isClosed) return true;
      socket.send(data, { binary: isBinary }, () => {
        if (!isBacklogged || socket.bufferedAmount > BACKLOG_BYTES_MAX / 2) return;
        isBacklogged = false;
        listener?.drained();
      });
      isBacklogged ||= socket.bufferedAmount > BACKLOG_BYTES_MAX;
      return !isBacklogged;
    },
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    close(code, reason) {
      // A paused socket would never read the answer to the close.
      socket.resume();
      if (code === NO_CODE) socket.close();
      else if (isSendable(code)) socket.close(code, reason);
      else socket.terminate();
    },
    terminate: () => socket.terminate(),
    listen(next) {
      const isFirst = listener === null;
      listener = next;
      if (!isFirst) return;
      for (const [data, isBinary] of early.splice(0)) next.message(data, isBinary);
      if (closedWith !== null) next.closed(...closedWith);
      else socket.resume();
    },
  };
}

/** A reason of ours as it fits into a close, cut between two characters. */
export function reasonBytes(text: string): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length <= REASON_BYTES_MAX) return bytes;
  let end = REASON_BYTES_MAX;
  // Continuation bytes of UTF-8 begin with the bits 10.
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.subarray(0, end);
}

/** RFC 6455 section 7.4: 1004, 1005, 1006 and 1015 never stand in a frame. */
function isSendable(code: number): boolean {
  if (code === 1004 || code === NO_CODE || code === BROKEN) return false;
  return (code >= 1000 && code <= 1014) || (code >= 3000 && code <= 4999);
}
