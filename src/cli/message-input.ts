import { CommandFailure, type CliContext, printLine } from './context.ts';

/** As large as any text that a model's input holds. */
export const MESSAGE_BYTES_MAX = 8_388_608;
/** Whoever forgot that stdin is read learns it after this. */
const HINT_MS = 2_000;

/**
 * The message from stdin, whole, without the line end behind it. Throws a CommandFailure where it is
 * too long, not UTF-8, or blank.
 */
export async function readMessage({ clock, stdin, stderr }: CliContext): Promise<string> {
  const hint = clock.after(HINT_MS, () => {
    printLine(stderr, 'reading the message from stdin until its end; -m TEXT gives it here');
  });
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of stdin) {
      // Without an encoding of its own a stream yields Buffers.
      const bytes = chunk as Buffer;
      size += bytes.length;
      if (size > MESSAGE_BYTES_MAX) {
        throw new CommandFailure('failed', 'the message on stdin is longer than 8 MiB');
      }
      chunks.push(bytes);
    }
  } finally {
    hint.cancel();
  }
  const message = decoded(Buffer.concat(chunks)).replace(/\r?\n$/, '');
  if (message.trim() !== '') return message;
  throw new CommandFailure('usage', 'there is no message; give one with -m TEXT or on stdin');
}

function decoded(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new CommandFailure('failed', 'the message on stdin is not UTF-8', error);
  }
}
