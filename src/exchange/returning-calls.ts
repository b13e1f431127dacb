import { createHash } from 'node:crypto';
import type { InboundCall } from './call.ts';
import type { ClassifiedCall } from './classified-call.ts';
import { withExactTokens } from './classified-call.ts';

/** Tries remembered at once, the oldest are forgotten; each takes some 300 bytes. */
const REMEMBERED_MAX = 10_000;
/**
 * Of a longer body its start and its end are compared, and its length: what differs between two calls
 * of one conversation stands at the end. So the largest body takes no more time than 128 KiB do.
 */
const COMPARED_EDGE_BYTES = 65_536;

/** A count of input tokens, as it was asked for or told. It outlives the try that asked. */
interface TokenMemory {
  tokens: number | null;
  asked: Promise<number | null> | null;
}

/** A try that ended before it was sent. */
interface EarlierTry {
  readonly hash: string;
  readonly attempt: number;
  readonly sinceMs: number;
  readonly memory: TokenMemory;
  readonly untilMs: number;
}

/** A waiting try, as far as others of the same call may see it. */
export interface WaitingTry {
  /** Whether its client's connection has ended, though nobody has been told yet. */
  isGone(): boolean;
  /** Takes it out of the queue, as when its client has left. */
  leave(): void;
}

/** A call that has been looked up, and what to do with it when it goes on. */
export interface RecognisedCall {
  /** With the first try's time, and its tokens where they have been counted. */
  readonly known: ClassifiedCall;
  /** It waits no more: others need not look at it. */
  over(): void;
  /** It ended before it was sent: whoever sends it again until then is known again. Timeline ms. */
  remember(untilMs: number): void;
}

/**
 * Knows a call again that its client sends once more, because the client was told to or because it
 * lost patience. Only tries that were never sent upstream are remembered: nothing was charged for them,
 * and the next one takes over their time of arrival and what was counted for them.
 *
 * The same call is one of the same project and agent to the same path with the same body. Each
 * remembered try is known again once, and one that still waits is left alone while its client is
 * there: whoever sends the same call twice on purpose is served twice.
 */
export class ReturningCalls {
  /** By what is known without reading the body, so that a body is hashed only when that is alike. */
  readonly #tries = new Map<string, EarlierTry[]>();
  readonly #waiting = new Map<string, Map<WaitingTry, () => string>>();
  #size = 0;

  /** Tries that are remembered. */
  get size(): number {
    return this.#size;
  }

  recognise(
    call: Pick<InboundCall, 'path' | 'body' | 'bodyBytes'>,
    found: ClassifiedCall,
    one: WaitingTry,
  ): RecognisedCall {
    const shape = `${found.project}\n${found.agent}\n${call.bodyBytes}\n${call.path}`;
    let hashed: string | null = null;
    const hash = (): string => (hashed ??= hashOf(call.body, call.bodyBytes));
    this.#dropGone(shape, hash);
    const earlier = this.#recall(shape, hash, found.sinceMs);
    const memory = earlier?.memory ?? { tokens: null, asked: null };
    const known = continued(found, earlier, memory);
    const siblings = this.#waiting.get(shape) ?? new Map<WaitingTry, () => string>();
    this.#waiting.set(shape, siblings.set(one, hash));
    const over = (): void => {
      if (siblings.delete(one) && siblings.size === 0) this.#waiting.delete(shape);
    };
    return {
      known,
      over,
      remember: (untilMs) => {
        over();
        const { attempt, sinceMs } = known;
        this.#remember(shape, { hash: hash(), attempt, sinceMs, memory, untilMs });
      },
    };
  }

  #dropGone(shape: string, hash: () => string): void {
    for (const [other, hashOfOther] of this.#waiting.get(shape) ?? []) {
      if (other.isGone() && hashOfOther() === hash()) other.leave();
    }
  }

  /** The earliest of those that are still remembered, which is forgotten with it. */
  #recall(shape: string, hash: () => string, atMs: number): EarlierTry | null {
    const tries = this.#tries.get(shape);
    if (tries === undefined) return null;
    const alive = tries.filter(({ untilMs }) => atMs <= untilMs);
    const at = alive.findIndex((one) => one.hash === hash());
    const [earlier = null] = at === -1 ? [] : alive.splice(at, 1);
    this.#size -= tries.length - alive.length;
    if (alive.length === 0) this.#tries.delete(shape);
    else this.#tries.set(shape, alive);
    return earlier;
  }

  #remember(shape: string, left: EarlierTry): void {
    const tries = this.#tries.get(shape) ?? [];
    tries.push(left);
    tries.sort((a, b) => a.sinceMs - b.sinceMs);
    this.#tries.set(shape, tries);
    this.#size += 1;
    for (const [oldest, of] of this.#tries) {
      if (this.#size <= REMEMBERED_MAX) return;
      of.shift();
      this.#size -= 1;
      if (of.length === 0) this.#tries.delete(oldest);
    }
  }
}

/** The call as the next try of an earlier one. */
function continued(
  found: ClassifiedCall,
  earlier: EarlierTry | null,
  memory: TokenMemory,
): ClassifiedCall {
  const { countTokens } = found;
  const known: ClassifiedCall = {
    ...found,
    // The client counts its tries from the start; those that were sent upstream are among them.
    attempt: Math.max(found.attempt, (earlier?.attempt ?? 0) + 1),
    sinceMs: earlier?.sinceMs ?? found.sinceMs,
    countTokens: countTokens === null ? null : () => countOnce(memory, countTokens),
  };
  return memory.tokens === null ? known : withExactTokens(known, memory.tokens);
}

function countOnce(
  memory: TokenMemory,
  countTokens: () => Promise<number | null>,
): Promise<number | null> {
  memory.asked ??= countTokens().then((tokens) => {
    memory.tokens = tokens;
    // What failed may be asked again by the next try.
    memory.asked = null;
    return tokens;
  });
  return memory.asked;
}

function hashOf(body: readonly Buffer[], bodyBytes: number): string {
  const hash = createHash('sha1');
  const tailFrom = Math.max(COMPARED_EDGE_BYTES, bodyBytes - COMPARED_EDGE_BYTES);
  let from = 0;
  for (const chunk of body) {
    const to = from + chunk.length;
    if (from < COMPARED_EDGE_BYTES) hash.update(chunk.subarray(0, COMPARED_EDGE_BYTES - from));
    if (to > tailFrom) hash.update(chunk.subarray(Math.max(0, tailFrom - from)));
    from = to;
  }
  return hash.digest('base64');
}
