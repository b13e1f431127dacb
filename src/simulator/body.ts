import type { IncomingMessage } from 'node:http';

/** The body, or its first `kept` bytes; null when the client left before its end. */
export function bodyOf(
  request: IncomingMessage,
  kept: number,
  see: (chunk: Buffer) => void,
): Promise<Buffer | null> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      see(chunk);
      if (bytes < kept) chunks.push(chunk.subarray(0, kept - bytes));
      bytes += chunk.length;
    });
    request.on('end', () =>
      resolve(chunks.length === 1 ? (chunks[0] ?? null) : Buffer.concat(chunks)),
    );
    request.on('error', () => resolve(null));
    request.on('close', () => resolve(null));
  });
}
