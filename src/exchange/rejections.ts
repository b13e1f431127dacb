import type { Rejection } from '../gemini/rejection.ts';
import { classifyRejection } from '../gemini/rejection.ts';
import type { Partition, QuotaRules } from '../quota/policy.ts';
import type { ExchangeContext } from './exchange.ts';
import { cooldownFor, limitsToLearn } from './rejection-rules.ts';

/** A 429 as the upstream sent it, with our rate limit fields. */
export interface RejectedAnswer {
  readonly head: readonly string[];
  readonly fields: readonly string[];
  readonly body: Buffer;
  readonly kind: string;
}

/** A 429 of the upstream, and until when nothing goes out because of it (timeline ms). */
export interface NotedRejection extends Rejection {
  readonly untilMs: number;
}

/**
 * Takes in a 429, answered or inside a stream: parks the partition and takes over what the upstream
 * says of limits and names. Where the rules are not enforced it is only understood.
 */
export function noteRejection(
  context: ExchangeContext,
  rules: QuotaRules,
  body: Buffer | string,
): NotedRejection {
  const { ledger, timeline, scheduler, events, repeats, learnAlias } = context;
  const atMs = timeline.nowMs();
  const { upstreamOffsetMs } = timeline;
  const rejection = classifyRejection(body, atMs + upstreamOffsetMs);
  const key = keyOf(rules.partition);
  const before = repeats.get(key) ?? { times: 0, untilMs: 0 };
  // Calls that were out together meet one throttle: it counts once.
  const times = atMs < before.untilMs ? before.times - 1 : before.times;
  const cooldown = cooldownFor(rejection, { atMs, upstreamOffsetMs, repeats: times });
  const noted = { ...rejection, untilMs: cooldown.untilMs };
  events.rejected(rules.partition, rejection.label);
  if (!rules.enforce) return noted;
  if (rejection.kind === 'exhausted') {
    repeats.set(key, { times: times + 1, untilMs: cooldown.untilMs });
  }
  const named = rejection.quotas.find(({ model }) => model !== null)?.model ?? null;
  const { model: asked } = rules.partition;
  if (named !== null && named !== asked) learnAlias(asked, named);
  // From here on it may be counted under that name, whose configured limits may be others.
  const known = context.rulesOf(rules.partition.project, asked);
  const { partition } = known;
  scheduler.write(partition, () => {
    ledger.park(partition, cooldown);
    for (const [policy, limit] of limitsToLearn(rejection, known, atMs)) {
      if (ledger.learnLimit(partition, policy, limit)) events.learned(partition, policy, limit);
    }
  });
  events.parked(partition, cooldown);
  return noted;
}

/** A good answer ends a row of bare 429s. */
export function noteSuccess({ repeats }: ExchangeContext, partition: Partition): void {
  repeats.delete(keyOf(partition));
}

function keyOf({ project, model }: Partition): string {
  return `${project}\n${model}`;
}
