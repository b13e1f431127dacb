import { type Answer, type AnswerFacts, runs, whole, words } from './answer.ts';
import type { Asked } from './asked.ts';
import { field } from './json.ts';

/** An interaction: at once, as a stream of events, or in the background with nothing but its id. */
export function answerInteraction(asked: Asked, facts: AnswerFacts): Answer {
  if (field(asked.body, 'background') === true) return whole(opened(facts));
  if (asked.shape === 'json') return whole(completedInteraction(asked, facts));
  const parts = runs(words(asked), facts.chunks);
  const events: (readonly [string, object])[] = [
    ['interaction.created', { interaction: opened(facts) }],
    ['interaction.status_update', { interaction_id: facts.id, status: 'in_progress' }],
    ['step.start', { index: 0, step: { type: 'model_output' } }],
    ...parts.map((text) => ['step.delta', { index: 0, delta: { type: 'text', text } }] as const),
    ['step.stop', { index: 0, step_usage: usage(asked) }],
    ['interaction.completed', { interaction: completedInteraction(asked, facts) }],
  ];
  const pieces = events.map(([type, value], index) => {
    const event = { event_type: type, event_id: `${facts.id}_${index}`, ...value };
    return `event: ${type}\ndata: ${JSON.stringify(event)}\n\n`;
  });
  return { contentType: 'text/event-stream', pieces, isStream: true };
}

/** What a later GET of a background interaction answers, too. */
export function completedInteraction(asked: Asked, facts: AnswerFacts): unknown {
  const content = [{ type: 'text', text: words(asked).join(' ') }];
  const steps = [{ type: 'model_output', content }];
  return { ...opened(facts), status: 'completed', steps, usage: usage(asked) };
}

function opened(facts: AnswerFacts): object {
  const created = new Date(facts.createdMs).toISOString();
  return {
    id: facts.id,
    object: 'interaction',
    model: facts.model,
    status: 'in_progress',
    created,
  };
}

function usage(asked: Asked): object {
  const { inputTokens, outputTokens, thoughtTokens } = asked;
  return {
    total_input_tokens: inputTokens,
    total_output_tokens: outputTokens,
    total_thought_tokens: thoughtTokens,
    total_cached_tokens: 0,
    total_tool_use_tokens: 0,
    total_tokens: inputTokens + outputTokens + thoughtTokens,
    input_tokens_by_modality: [{ modality: 'text', tokens: inputTokens }],
  };
}
