import { type Answer, type AnswerFacts, brokenBy, JSON_TYPE } from './answer.ts';
import { answerTo, operationOf, samplesOf } from './answer-to.ts';
import type { OpenArrival } from './arrival.ts';
import { type Asked, askedOf } from './asked.ts';
import type { Refusal } from './bookkeeping.ts';
import {
  errorBody,
  GOOGLE_ERRORS,
  type GoogleError,
  inputTooLong,
  modelNotFound,
  quotaExceeded,
} from './google-error.ts';
import { makeInteraction } from './interaction-answer.ts';
import { field, text } from './json.ts';
import type { Reply } from './reply.ts';
import { errorShapeOf, quotaFamilyOf, type Route } from './route.ts';
import {
  type Fault,
  type FaultAnswer,
  matches,
  quotaNameOf,
  resolvedModel,
  type Row,
  rowOf,
  type Scenario,
} from './scenario.ts';
import type { World } from './world.ts';

/** countTokens has one quota for the whole project. */
const COUNT_TOKENS = 'countTokens';

/**
 * One call with a quota, from its whole body to its answer.
 *
 *   read -> fault drawn -> [counted] -> latency -> [counted] -> answer, error or silence
 *
 * It is counted in the first place or in the second, as the scenario says, and in the second even
 * when the client has left, for a provider does not forget work that it began.
 */
export async function serveCall(
  world: World,
  route: Route,
  exchange: { readonly arrival: OpenArrival; readonly reply: Reply; readonly body: Buffer },
): Promise<void> {
  const { arrival, reply } = exchange;
  const { scenario } = world;
  const asked = withHistory(world, askedOf(route, exchange.body));
  if (!('body' in asked)) {
    sendError(reply, route, asked);
    return;
  }
  const model = resolvedModel(scenario, asked.model);
  const isCounted = route.kind !== 'countTokens';
  arrival.model = model;
  arrival.agentTag = asked.tag ?? arrival.agentTag;
  arrival.inputTokens = asked.inputTokens;
  if (scenario.unknown_models.some((pattern) => matches(pattern, asked.model))) {
    sendError(reply, route, modelNotFound(asked.model, route.version, route.method));
    return;
  }
  arrival.requests = isCounted ? asked.requests : 0;
  const fault = isCounted
    ? world.faults.next(model, world.clock.monotonicMs() - world.startedAtMs)
    : null;
  const call: Call = { world, scenario, asked, model, fault, arrival, reply };

  if (scenario.count_at === 'arrival' && !count(call)) return;
  await reply.pause(latencyMs(call));
  if (scenario.count_at === 'answer' && !count(call)) return;
  if (reply.isGone) return;
  const row = rowOf(scenario, model);
  if (asked.inputTokens > row.max_input_tokens) {
    sendError(reply, route, inputTooLong(row.max_input_tokens));
    return;
  }
  if (fault === null || !failed(call, fault.answer)) await respond(call);
}

/** An interaction that goes on from an earlier one reads all of that again. */
function withHistory(world: World, asked: Asked | GoogleError): Asked | GoogleError {
  if (!('body' in asked) || asked.route.kind !== 'interaction') return asked;
  const previous = text(field(asked.body, 'previous_interaction_id'));
  if (previous === undefined) return asked;
  const tokens = world.resources.interactions.tokensOf(previous);
  if (tokens === null) return GOOGLE_ERRORS.notFound;
  return { ...asked, inputTokens: asked.inputTokens + tokens };
}

interface Call {
  readonly world: World;
  readonly scenario: Scenario;
  readonly asked: Asked;
  readonly model: string;
  readonly fault: Fault | null;
  readonly arrival: OpenArrival;
  readonly reply: Reply;
}

/** Takes the call's units, or answers 429. */
function count({ world, scenario, asked, model, fault, arrival, reply }: Call): boolean {
  const { route, requests, inputTokens } = asked;
  const now = world.now();
  const row = rowOf(scenario, model);
  const quotaModel = quotaNameOf(scenario, model);
  const refused = fault === null ? undefined : faultRefusal(fault.answer, row, quotaModel, asked);
  if (fault !== null && refused !== undefined) {
    world.books.refuse(model, requests, now);
    arrival.refusedBy = `fault:${fault.answer}`;
    sendError(reply, route, refused);
    return false;
  }
  const refusals =
    route.kind === 'countTokens'
      ? world.books.ask(
          COUNT_TOKENS,
          { rpm: scenario.count_tokens_rpm, tpm: null, rpd: null },
          { requests: 1, tokens: 0 },
          now,
        )
      : world.books.ask(model, row, { requests, tokens: inputTokens }, now);
  const first = refusals[0];
  if (first === undefined) {
    arrival.countedAtMs = now.monotonicMs;
    return true;
  }
  arrival.refusedBy = first.quota;
  sendError(
    reply,
    route,
    quotaExceeded(refusals, { model: quotaModel, family: quotaFamilyOf(route) }),
  );
  return false;
}

/** The 429 that a fault asks for; undefined when it asks for something else. */
function faultRefusal(
  answer: FaultAnswer,
  row: Row,
  model: string,
  { route }: Asked,
): GoogleError | undefined {
  const names = { model, family: quotaFamilyOf(route) };
  const one = (quota: Refusal['quota'], retryMs: number): GoogleError =>
    quotaExceeded([{ quota, limit: row[quota] ?? 1000, retryMs }], names);
  if (answer === '429-minute') return one('rpm', 2_345.678901);
  if (answer === '429-tokens') return one('tpm', 2_345.678901);
  if (answer === '429-day') return one('rpd', 33_824_781.424344);
  if (answer === '429-exhausted') return GOOGLE_ERRORS.exhausted;
  if (answer === '429-billing') return GOOGLE_ERRORS.billing;
  if (answer !== '429-zero') return undefined;
  const quotas = ['rpm', 'rpd', 'tpm'] as const;
  return quotaExceeded(
    quotas.map((quota) => ({ quota, limit: 0, retryMs: 36_429.760048 })),
    names,
  );
}

/** Answers with a fault that leaves nothing of the true answer; false when there is no such fault. */
function failed({ asked: { route }, arrival, reply }: Call, answer: FaultAnswer): boolean {
  const errors: Partial<Record<FaultAnswer, GoogleError>> = {
    '503': GOOGLE_ERRORS.unavailable,
    '500': GOOGLE_ERRORS.internal,
    '504': GOOGLE_ERRORS.deadline,
    '400': GOOGLE_ERRORS.location,
  };
  const error = errors[answer];
  if (error === undefined && answer !== 'reset' && answer !== 'hang') return false;
  arrival.refusedBy = `fault:${answer}`;
  if (error !== undefined) sendError(reply, route, error);
  if (answer === 'reset') reply.reset();
  return true;
}

/** The true answer, whole or broken on the way. */
async function respond({
  world,
  scenario,
  asked,
  model,
  fault,
  arrival,
  reply,
}: Call): Promise<void> {
  const facts: AnswerFacts = {
    id: `sim-${arrival.id}`,
    model,
    createdMs: arrival.wallMs,
    chunks: scenario.latency.chunks,
  };
  const answer = answerTo(asked, facts);
  begin(world, asked, facts);
  const tokens = asked.outputTokens + asked.thoughtTokens;
  const spend = (share: number): void => {
    arrival.outputTokens = Math.round(tokens * share);
  };
  const broken = fault === null ? null : breakage(fault.answer, answer, asked.route);
  if (broken !== null || fault?.answer === 'truncate') {
    arrival.refusedBy = `fault:${fault?.answer ?? ''}`;
  }
  if (fault?.answer === 'truncate') {
    spend(0.5);
    reply.truncate(answer);
  } else if (fault?.answer === 'dribble') {
    spend(1);
    await reply.dribble(answer);
  } else if (broken?.isStream === false) {
    reply.send(broken.status, broken.answer);
  } else if (answer.isStream) {
    await reply.stream(broken?.answer ?? answer, scenario.latency.per_chunk, spend);
  } else {
    spend(1);
    reply.send(200, answer);
  }
  if (scenario.tpm_counts === 'total') {
    world.books.addTokens(model, arrival.outputTokens, world.now());
  }
}

/** Begins what can be asked for later. */
function begin({ resources }: World, asked: Asked, facts: AnswerFacts): void {
  const doneAtMs = facts.createdMs + asked.workMs;
  if (asked.route.kind === 'predictLong') {
    resources.operations.beginVideo(operationOf(facts), {
      samples: samplesOf(asked.body),
      doneAtMs,
    });
  }
  if (asked.route.kind === 'interaction' && field(asked.body, 'store') !== false) {
    const tokens = asked.inputTokens + asked.outputTokens;
    resources.interactions.keep(makeInteraction(asked, facts), { tokens, doneAtMs });
  }
}

/** What a stream fault makes of an answer; of one that is no stream, the plain error. */
function breakage(
  fault: FaultAnswer,
  answer: Answer,
  route: Route,
): { readonly isStream: boolean; readonly status: number; readonly answer: Answer } | null {
  if (fault !== 'stream-error' && fault !== 'stream-429' && fault !== 'stream-raw') return null;
  const error: GoogleError =
    fault === 'stream-429' ? GOOGLE_ERRORS.exhausted : GOOGLE_ERRORS.unavailable;
  if (!answer.isStream) {
    return { isStream: false, status: error.code, answer: errorAnswer(route, error) };
  }
  return { isStream: true, status: 200, answer: brokenBy(error, answer, fault === 'stream-raw') };
}

function latencyMs({ world, scenario, asked, fault }: Call): number {
  const [least, most] = scenario.latency.first_byte;
  const drawn = least === most ? least : least + (most - least) * world.random();
  return drawn + asked.sleepMs + (fault?.answer === 'slow' ? fault.delay_ms : 0);
}

function sendError(reply: Reply, route: Route, error: GoogleError): void {
  if (!reply.isGone) reply.send(error.code, errorAnswer(route, error));
}

function errorAnswer(route: Route, error: GoogleError): Answer {
  return {
    contentType: JSON_TYPE,
    pieces: [errorBody(error, errorShapeOf(route))],
    isStream: false,
  };
}
