import type { QuotaRules } from '../quota/policy.ts';
import { blockWords } from '../quota/words.ts';
import type { Admission } from '../queue/ticket.ts';
import type { ClassifiedCall } from './classified-call.ts';
import type { ExchangeContext } from './exchange.ts';

/** Tells, in shadow mode, of a call that goes out and that the rules would have held. */
export function tellShadow(
  { events, timeline }: ExchangeContext,
  known: ClassifiedCall,
  rules: QuotaRules,
  { ignored }: Admission,
): void {
  const [block] = ignored;
  if (block === undefined || known.settings.mode !== 'shadow') return;
  events.shadowed({
    model: rules.partition.model,
    agent: known.agent,
    reason: blockWords(block),
    waitMs: block.freeAtMs - timeline.nowMs(),
  });
}
