import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Server } from 'node:net';

/** Listens on a free port of 127.0.0.1 and answers it. */
export async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP server');
  return address.port;
}

/** The whole body, whatever its encoding. */
export async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(request, 'end');
  return Buffer.concat(chunks);
}

/** A promise that the test resolves. */
export function deferred(): { readonly promise: Promise<void>; resolve: () => void } {
  const pending = { promise: Promise.resolve(), resolve: (): void => undefined };
  pending.promise = new Promise<void>((resolve) => {
    pending.resolve = resolve;
  });
  return pending;
}
