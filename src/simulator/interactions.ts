import { badRequest } from './google-error.ts';
import { EVENTS_AT_ONCE, EVENTS_END, type MadeInteraction } from './interaction-answer.ts';
import {
  failure,
  keep,
  notFound,
  ok,
  type ResourceAnswer,
  type ResourceRequest,
} from './resource-answer.ts';

interface Kept {
  readonly made: MadeInteraction;
  /** What its conversation so far costs whoever builds on it. */
  readonly tokens: number;
  /** Wall ms. */
  readonly doneAtMs: number;
  isCancelled: boolean;
}

/**
 * Interactions that were begun and are asked for again.
 *
 *   in_progress ─▶ completed, incomplete, requires_action, requires_continuation
 *        └──────▶ cancelled
 */
export class Interactions {
  readonly #kept = new Map<string, Kept>();

  keep(made: MadeInteraction, { tokens, doneAtMs }: { tokens: number; doneAtMs: number }): void {
    keep(this.#kept, made.id, { made, tokens, doneAtMs, isCancelled: false });
  }

  /** Tokens of the conversation up to an interaction; null for one that is not kept. */
  tokensOf(id: string): number | null {
    return this.#kept.get(id)?.tokens ?? null;
  }

  /** `interactions/ID` and `interactions/ID/cancel`. */
  answer({ method, target, wallMs }: ResourceRequest, segments: readonly string[]): ResourceAnswer {
    const [id = '', verb, ...more] = segments;
    const kept = this.#kept.get(id);
    if (kept === undefined || more.length > 0) return notFound('interaction');
    if (verb === 'cancel' && method === 'POST') return cancelled(kept, wallMs);
    if (verb !== undefined) return notFound('interaction');
    if (method === 'DELETE') {
      this.#kept.delete(id);
      return ok({});
    }
    if (method !== 'GET' && method !== 'HEAD') return notFound('interaction');
    if (target.query.get('stream') === 'true') {
      return resumed(kept, wallMs, target.query.get('last_event_id'));
    }
    return ok(stateOf(kept, wallMs));
  }
}

function stateOf({ made, doneAtMs, isCancelled }: Kept, wallMs: number): object {
  if (isCancelled) return { ...made.opened, status: 'cancelled' };
  return wallMs < doneAtMs ? made.opened : made.final;
}

function cancelled(kept: Kept, wallMs: number): ResourceAnswer {
  if (!kept.isCancelled && wallMs >= kept.doneAtMs) {
    return failure(badRequest(`Interaction ${kept.made.id} has already ended.`), 'interaction');
  }
  kept.isCancelled = true;
  return ok(stateOf(kept, wallMs));
}

/**
 * The events after `lastEventId`. While the work goes on these are the first ones only, and the
 * stream ends without its end mark, as when a connection is lost: the caller comes back.
 */
function resumed(
  { made, doneAtMs, isCancelled }: Kept,
  wallMs: number,
  lastEventId: string | null,
): ResourceAnswer {
  const isWhole = wallMs >= doneAtMs && !isCancelled;
  const events = isWhole ? made.events : made.events.slice(0, EVENTS_AT_ONCE);
  const from = events.findIndex(({ id }) => id === lastEventId) + 1;
  const pieces = events.slice(from).map(({ frame }) => frame);
  if (isWhole) pieces.push(EVENTS_END);
  return { status: 200, contentType: 'text/event-stream', pieces };
}
