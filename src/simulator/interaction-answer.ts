import { type Answer, type AnswerFacts, runs, whole, words } from './answer.ts';
import type { Asked } from './asked.ts';
import { field } from './json.ts';

/** An interaction as it is made: what is told of it at once, in the end, and event by event. */
export interface MadeInteraction {
  readonly id: string;
  readonly opened: object;
  readonly final: object;
  /** Framed, without the end mark. */
  readonly events: readonly InteractionEvent[];
}

export interface InteractionEvent {
  readonly id: string;
  readonly frame: string;
}

/** After the last event of a stream. */
export const EVENTS_END = 'event: done\ndata: [DONE]\n\n';

/** The most events that tell of an interaction before its work is done: created, and in progress. */
export const EVENTS_AT_ONCE = 2;

/** Makes the whole of an interaction, whichever part of it is answered now. */
export function makeInteraction(asked: Asked, facts: AnswerFacts): MadeInteraction {
  const opened = openedOf(asked, facts);
  const final = {
    ...opened,
    status: statusOf(asked),
    ...(asked.hopsLeft > 0 ? { continuation_token: tokenOf(asked, facts) } : {}),
    steps: [stepOf(asked, facts)],
    usage: usageOf(asked, 1),
  };
  const events = [
    ['interaction.created', { interaction: opened }],
    ['interaction.status_update', { interaction_id: facts.id, status: 'in_progress' }],
    ...stepEvents(asked, facts),
    ['interaction.completed', { interaction: final }],
  ] as const;
  return {
    id: facts.id,
    opened,
    final,
    events: events.map(([type, value], index) => {
      const id = `${facts.id}_${index}`;
      const event = { event_type: type, event_id: id, ...value };
      return { id, frame: `event: ${type}\ndata: ${JSON.stringify(event)}\n\n` };
    }),
  };
}

/** At once, as a stream of events, or in the background with nothing but its id. */
export function answerInteraction(asked: Asked, made: MadeInteraction): Answer {
  if (asked.shape === 'json') return whole(isBackground(asked.body) ? made.opened : made.final);
  const pieces = [...made.events.map(({ frame }) => frame), EVENTS_END];
  return { contentType: 'text/event-stream', pieces, isStream: true };
}

/** Whether the caller wants to poll for it. */
export function isBackground(body: unknown): boolean {
  return field(body, 'background') === true;
}

function openedOf({ body }: Asked, facts: AnswerFacts): object {
  const created = new Date(facts.createdMs).toISOString();
  const previous = field(body, 'previous_interaction_id');
  return {
    id: facts.id,
    object: 'interaction',
    // Whoever asks an agent is not told which models it asks.
    ...(field(body, 'model') === undefined ? { agent: facts.model } : { model: facts.model }),
    status: 'in_progress',
    created,
    updated: created,
    role: 'model',
    ...(previous === undefined ? {} : { previous_interaction_id: previous }),
  };
}

function statusOf(asked: Asked): string {
  if (asked.hopsLeft > 0) return 'requires_continuation';
  if (asked.toolCall !== null) return 'requires_action';
  return asked.isCut ? 'incomplete' : 'completed';
}

/** The next hop's, which says how many are to come after it. */
export function tokenOf({ hopsLeft }: Asked, { id }: AnswerFacts): string {
  return `hop-${hopsLeft - 1}-${id}`;
}

function stepOf(asked: Asked, facts: AnswerFacts): object {
  const { toolCall } = asked;
  if (toolCall === null) {
    return { type: 'model_output', content: [{ type: 'text', text: words(asked).join(' ') }] };
  }
  const { name, args } = toolCall;
  return { type: 'function_call', id: `call-${facts.id}`, name, arguments: args };
}

function stepEvents(asked: Asked, facts: AnswerFacts): (readonly [string, object])[] {
  const { toolCall } = asked;
  const deltas =
    toolCall === null
      ? runs(words(asked), facts.chunks).map((text) => ({ type: 'text', text }))
      : [{ type: 'arguments_delta', arguments: JSON.stringify(toolCall.args) }];
  const step =
    toolCall === null
      ? { type: 'model_output' }
      : { type: 'function_call', id: `call-${facts.id}`, name: toolCall.name };
  return [
    ['step.start', { index: 0, step }],
    ...deltas.map((delta, index) => {
      // A running value, which only the last event sets right.
      const total_usage = usageOf(asked, (index + 1) / (deltas.length + 1));
      return ['step.delta', { index: 0, delta, metadata: { total_usage } }] as const;
    }),
    ['step.stop', { index: 0, step_usage: usageOf(asked, 1) }],
  ];
}

function usageOf(asked: Asked, done: number): object {
  const input = Math.ceil(asked.inputTokens * done);
  const output = Math.floor(asked.outputTokens * done);
  const { thoughtTokens } = asked;
  return {
    total_input_tokens: input,
    total_output_tokens: output,
    total_thought_tokens: thoughtTokens,
    total_cached_tokens: 0,
    total_tool_use_tokens: 0,
    total_tokens: input + output + thoughtTokens,
    input_tokens_by_modality: [{ modality: 'text', tokens: input }],
  };
}
