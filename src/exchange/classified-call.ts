import { ProxyError } from '../errors.ts';
import type { BodyFacts } from '../gemini/body-scan.ts';
import type { ClientFamily } from '../gemini/client.ts';
import { detectClient } from '../gemini/client.ts';
import { estimateTokens, requestsOf } from '../gemini/cost.ts';
import type { Endpoint } from '../gemini/route.ts';
import type { QuotaRules } from '../quota/policy.ts';
import type { Units } from '../quota/units.ts';
import { NO_UNITS } from '../quota/units.ts';
import type { InboundCall } from './call.ts';
import { readControlHeaders } from './control-headers.ts';
import type { ExchangeContext } from './exchange.ts';
import type { Outbound } from './outbound.ts';
import { withCredentials } from './outbound.ts';
import type { Settings } from './settings.ts';

/** A client's own timeout must leave some time for the answer: a tenth of it, at most 5 s. */
const ANSWER_MS_MAX = 5_000;
/** An output of unknown length, for budgets in dollars. */
export const OUTPUT_TOKENS_ASSUMED = 8_192;

export interface CallParts {
  readonly call: InboundCall;
  readonly facts: BodyFacts;
  readonly endpoint: Endpoint;
}

/** What is known of a call before it waits. */
export interface ClassifiedCall {
  /** In force when the call arrived. */
  readonly settings: Settings;
  readonly outbound: Outbound;
  readonly project: string;
  readonly requestedModel: string;
  readonly agent: string;
  readonly client: ClientFamily;
  readonly interactive: boolean;
  /** The next hop of an interaction, which goes ahead of strangers. */
  readonly isHop: boolean;
  /** Which try of its client this is, 1 for the first. */
  readonly attempt: number;
  /** Timeline ms; when the first try that is remembered was received. */
  readonly sinceMs: number;
  readonly deadlineMs: number;
  /** Input tokens before correction, for calibration. */
  readonly rawEstimate: number;
  readonly units: Units;
  readonly ceiling: Units;
  /** Whether the input tokens were counted by the upstream rather than estimated. */
  readonly exact: boolean;
  /** Counts them; null where that is not possible. Never rejects. */
  readonly countTokens: (() => Promise<number | null>) | null;
}

/**
 * What a call is, what it costs, whose it is and how long it may wait. Throws what is wrong with it,
 * naming the field and the fix; nothing has been counted then.
 */
export function classifyCall(
  context: ExchangeContext,
  { call, facts, endpoint }: CallParts,
  receivedAtMs: number,
): ClassifiedCall {
  if (facts.problem !== null) {
    const { message, offset } = facts.problem;
    throw new ProxyError(
      'BAD_JSON',
      `the request body is not one JSON object: ${message} at byte ${offset}. Nothing was sent to ` +
        'the upstream.',
      { where: `body byte ${offset}` },
    );
  }
  const requestedModel = requestedModelOf(endpoint, facts);
  const { interactive, waitMsMax } = readControlHeaders(call.headers);
  const settings = context.settings();
  const outbound = withCredentials(call, settings);
  const client = detectClient(call.headers);
  const model = context.resolveModel(requestedModel);
  const raw = estimateTokens(facts, model, context.resources);
  const tokens = context.calibration.correct(
    { model, client: client.family },
    { estimate: raw.inputTokens, bytesMax: raw.inputTokensMax, margin: settings.tokenMargin },
  );
  const output = facts.maxOutputTokens ?? OUTPUT_TOKENS_ASSUMED;
  const unitsOf = (inputTokens: number): Units => ({
    ...NO_UNITS,
    requests: requestsOf(endpoint.method, facts),
    inputTokens,
    usdMicros: settings.price(model, { input: inputTokens, output, cached: 0 }),
  });
  const holdMs = Math.min(
    settings.queue.waitMsMax,
    waitMsMax ?? Infinity,
    client.holdMsMax ?? Infinity,
    leftForWaiting(client.serverTimeoutMs),
  );
  return {
    settings,
    outbound,
    project: settings.projectOf(outbound.ownKey),
    requestedModel,
    agent:
      call.agentName ??
      context.names.nameOf({
        key: outbound.ownKey,
        headers: call.headers,
        massgen: facts.massgen,
      }),
    client: client.family,
    interactive,
    isHop: endpoint.method === 'interactions' && facts.isHop,
    attempt: client.retryCount + 1,
    sinceMs: receivedAtMs,
    deadlineMs: receivedAtMs + Math.floor(holdMs),
    rawEstimate: raw.inputTokens,
    units: unitsOf(tokens.expected),
    ceiling: unitsOf(tokens.ceiling),
    exact: false,
    countTokens: context.tokenCounter.counterFor({
      baseUrl: settings.upstreamBaseUrl,
      path: outbound.path,
      headers: outbound.headers,
      body: call.body,
      bodyBytes: call.bodyBytes,
    }),
  };
}

/**
 * Whether the call is expected to be larger than a whole configured limit. It is counted before it
 * waits then: on a mere estimate it would be sent, to an upstream that can only reject it.
 */
export function looksTooLarge(
  { policies, enforce }: QuotaRules,
  { units }: ClassifiedCall,
): boolean {
  if (!enforce) return false;
  return policies.some(
    ({ unit, limit }) =>
      (unit === 'input_tokens' || unit === 'total_tokens') &&
      limit !== null &&
      limit > 0 &&
      units.inputTokens > limit,
  );
}

/** The call with its input tokens as the upstream has counted them. */
export function withExactTokens(known: ClassifiedCall, inputTokens: number): ClassifiedCall {
  return {
    ...known,
    units: { ...known.units, inputTokens },
    ceiling: { ...known.ceiling, inputTokens },
    exact: true,
  };
}

function leftForWaiting(serverTimeoutMs: number | null): number {
  if (serverTimeoutMs === null) return Infinity;
  return serverTimeoutMs - Math.min(serverTimeoutMs / 10, ANSWER_MS_MAX);
}

function requestedModelOf(endpoint: Endpoint, facts: BodyFacts): string {
  const model = (endpoint.model ?? facts.model ?? '').replace(/^models\//, '');
  if (model === '') {
    throw new ProxyError(
      'MODEL_MISSING',
      'the request body names no model. Add "model": "gemini-2.5-flash", or the model you want.',
      { where: 'model' },
    );
  }
  return model;
}
