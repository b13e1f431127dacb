import { createHash } from 'node:crypto';

/** File systems take 255 bytes, MassGen adds none; the rest is for those that take less. */
const NAME_BYTES_MAX = 200;
/** Deeper ones are not found again by the reader. */
const DEPTH_MAX = 3;

/**
 * The agent's id as it can be a path below `final/`: itself, with `/` for directories in directories
 * as MassGen makes them, or a name that resembles it and is no other agent's.
 */
export function safeAgentId(id: string): string {
  const segments = id.split('/');
  if (segments.length <= DEPTH_MAX && segments.every(isSafe)) return id;
  const alike = id
    .replace(/[^\w.-]+/g, '_')
    .replace(/^\.+/, '')
    .slice(0, 60);
  const hash = createHash('sha256').update(id).digest('hex').slice(0, 8);
  return `${alike || 'agent'}-${hash}`;
}

function isSafe(segment: string): boolean {
  return (
    segment.trim() === segment &&
    segment !== '' &&
    segment !== 'workspace' &&
    !segment.startsWith('.') &&
    !/[\p{Cc}\p{Cs}\\:]/u.test(segment) &&
    Buffer.byteLength(segment) <= NAME_BYTES_MAX
  );
}
