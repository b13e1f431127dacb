import type { ErrorReason } from '../errors.ts';
import { ProxyError } from '../errors.ts';
import type { Ticket } from './ticket.ts';

/** Bounds of the whole queue; config `queue.max_depth`, `max_depth_per_agent`, `max_bytes`. */
export interface QueueLimits {
  readonly depthMax: number;
  readonly depthPerAgentMax: number;
  readonly bytesMax: number;
}

const RETRY_AFTER_MS = 10_000;

/** The refusal of a call for which the queue has no place, null when it has one. */
export function fullFor(
  ticket: Ticket,
  waiting: Iterable<Ticket>,
  { depth, heldBytes, bounds }: { depth: number; heldBytes: number; bounds: QueueLimits },
): ProxyError | null {
  // A call that the upstream has rejected had its place already.
  if (ticket.urgent) return null;
  if (depth >= bounds.depthMax) {
    return full('QUEUE_FULL', 'queue.max_depth', bounds.depthMax, `${depth} calls are waiting`);
  }
  // A single call larger than the bound is let in alone: it could never pass otherwise.
  if (heldBytes > 0 && heldBytes + ticket.heldBytes > bounds.bytesMax) {
    const what = `the waiting calls hold ${heldBytes} bytes`;
    return full('QUEUE_FULL_BYTES', 'queue.max_bytes', bounds.bytesMax, what);
  }
  let ofAgent = 0;
  for (const other of waiting) if (other.agent === ticket.agent) ofAgent += 1;
  if (ofAgent >= bounds.depthPerAgentMax) {
    const what = `agent ${ticket.agent} has ${ofAgent} calls waiting`;
    return full('QUEUE_FULL_AGENT', 'queue.max_depth_per_agent', bounds.depthPerAgentMax, what);
  }
  return null;
}

function full(reason: ErrorReason, key: string, limit: number, what: string): ProxyError {
  return new ProxyError(
    reason,
    `headgate's queue is full: ${what} (${key} is ${limit}). Please retry in 10s, or raise ${key}.`,
    { retryAfterMs: RETRY_AFTER_MS, where: key },
  );
}
