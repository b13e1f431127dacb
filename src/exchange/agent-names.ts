import { createHash } from 'node:crypto';
import { headerValue } from '../gemini/headers.ts';

/** Callers remembered at once; the oldest is forgotten and gets the same name again. */
const HASHES_MAX = 1_000;
const HASH_CHARS = 8;
const PRODUCT_CHARS_MAX = 40;

/** Gives every call the name of its agent. */
export interface AgentNames {
  /**
   * The agent of a call that did not name one: its user agent and a hash of its key. Calls in
   * MassGen's manner, whose agents share one process and key, are told apart by slots; give the
   * name back with `free` when the call has ended.
   */
  nameOf(caller: { key: string | null; headers: readonly string[]; massgen: boolean }): string;
  free(name: string): void;
}

export function createAgentNames(): AgentNames {
  const hashes = new Map<string, string>();
  /** Per client, which of its numbered slots are busy. */
  const slots = new Map<string, boolean[]>();

  function hashOf(key: string): string {
    let hash = hashes.get(key);
    if (hash === undefined) {
      hash = createHash('sha256').update(key).digest('hex').slice(0, HASH_CHARS);
      for (const oldest of hashes.keys()) {
        if (hashes.size < HASHES_MAX) break;
        hashes.delete(oldest);
      }
      hashes.set(key, hash);
    }
    return hash;
  }

  return {
    nameOf({ key, headers, massgen }) {
      const product = productOf(headerValue(headers, 'user-agent'));
      const client = key === null ? product : `${product}@${hashOf(key)}`;
      if (!massgen) return client;
      let busy = slots.get(client);
      if (busy === undefined) {
        busy = [];
        slots.set(client, busy);
      }
      // The lowest free slot, so that few agents have few names; a new one when all are busy.
      const free = busy.indexOf(false);
      const slot = free === -1 ? busy.length : free;
      busy[slot] = true;
      return `${client}#${slot + 1}`;
    },
    free(name) {
      const at = name.lastIndexOf('#');
      const busy = slots.get(name.slice(0, at));
      if (at === -1 || busy === undefined) return;
      busy[Number(name.slice(at + 1)) - 1] = false;
      if (!busy.includes(true)) slots.delete(name.slice(0, at));
    },
  };
}

/** The first product of a User-Agent (RFC 9110 section 10.1.5): "google-genai-sdk/2.25.0". */
function productOf(userAgent: string | null): string {
  const product = (userAgent ?? '').split(' ', 1)[0] ?? '';
  const plain = product.replaceAll(/[^A-Za-z0-9._/-]/g, '_').slice(0, PRODUCT_CHARS_MAX);
  return plain === '' ? 'unknown' : plain;
}
