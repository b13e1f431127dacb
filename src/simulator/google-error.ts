import type { QuotaName, Refusal } from './bookkeeping.ts';

/** How an error reaches the client, by the kind of call it made. */
export type ErrorShape = 'object' | 'array' | 'interaction';

export interface GoogleError {
  readonly code: number;
  readonly message: string;
  readonly status: string;
  readonly details?: readonly unknown[];
}

/** Which family of quotas refuses: their ids and metrics differ. */
export type QuotaFamily = 'generate' | 'embed' | 'countTokens';

const HOST = 'generativelanguage.googleapis.com';

/** The errors as they were recorded from the Gemini API in 2026. */
export const GOOGLE_ERRORS = {
  exhausted: {
    code: 429,
    message: 'Resource has been exhausted (e.g. check quota).',
    status: 'RESOURCE_EXHAUSTED',
  },
  billing: {
    code: 429,
    message:
      'Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects to manage your project and billing.',
    status: 'RESOURCE_EXHAUSTED',
  },
  unavailable: {
    code: 503,
    message:
      'This model is currently experiencing high demand. Spikes in demand are usually temporary. Please try again later.',
    status: 'UNAVAILABLE',
  },
  internal: { code: 500, message: 'Internal error encountered.', status: 'INTERNAL' },
  deadline: {
    code: 504,
    message: 'Deadline expired before operation could complete.',
    status: 'DEADLINE_EXCEEDED',
  },
  location: {
    code: 400,
    message: 'User location is not supported for the API use.',
    status: 'FAILED_PRECONDITION',
  },
  keyMissing: {
    code: 403,
    message:
      "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API.",
    status: 'PERMISSION_DENIED',
  },
  keyInvalid: {
    code: 400,
    message: 'API key not valid. Please pass a valid API key.',
    status: 'INVALID_ARGUMENT',
    details: [
      {
        '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
        reason: 'API_KEY_INVALID',
        domain: 'googleapis.com',
        metadata: { service: HOST },
      },
      {
        '@type': 'type.googleapis.com/google.rpc.LocalizedMessage',
        locale: 'en-US',
        message: 'API key not valid. Please pass a valid API key.',
      },
    ],
  },
  notFound: { code: 404, message: 'Requested entity was not found.', status: 'NOT_FOUND' },
} as const satisfies Record<string, GoogleError>;

export function badRequest(message: string): GoogleError {
  return { code: 400, message, status: 'INVALID_ARGUMENT' };
}

export function inputTooLong(tokensMax: number): GoogleError {
  return badRequest(
    `The input token count exceeds the maximum number of tokens allowed (${tokensMax}).`,
  );
}

export function modelNotFound(model: string, version: string, method: string): GoogleError {
  return {
    code: 404,
    message: `models/${model} is not found for API version ${version}, or is not supported for ${method}. Call ModelService.ListModels to see the list of available models and their supported methods.`,
    status: 'NOT_FOUND',
  };
}

/**
 * The 429 that names its quotas. The wait is in the message to the nanosecond and in RetryInfo cut
 * to whole seconds, so a client that trusts RetryInfo comes back up to a second early.
 */
export function quotaExceeded(
  refusals: readonly Refusal[],
  names: { readonly model: string; readonly family: QuotaFamily },
): GoogleError {
  const retryMs = Math.max(0, ...refusals.map((refusal) => refusal.retryMs));
  const violations = refusals.map(({ quota, limit }) => ({
    quotaMetric: `${HOST}/${QUOTA_NAMES[names.family][quota].metric}`,
    quotaId: QUOTA_NAMES[names.family][quota].id,
    quotaDimensions: { location: 'global', model: names.model },
    ...(limit === 0 ? {} : { quotaValue: String(limit) }),
  }));
  const lines = refusals.map(
    ({ quota, limit }) =>
      `\n* Quota exceeded for metric: ${HOST}/${QUOTA_NAMES[names.family][quota].metric}, limit: ${limit}, model: ${names.model}`,
  );
  return {
    code: 429,
    message: `You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: https://ai.dev/rate-limit. ${lines.join('')}\nPlease retry in ${goDuration(retryMs)}.`,
    status: 'RESOURCE_EXHAUSTED',
    details: [
      {
        '@type': 'type.googleapis.com/google.rpc.Help',
        links: [
          {
            description: 'Learn more about Gemini API quotas',
            url: 'https://ai.google.dev/gemini-api/docs/rate-limits',
          },
        ],
      },
      { '@type': 'type.googleapis.com/google.rpc.QuotaFailure', violations },
      {
        '@type': 'type.googleapis.com/google.rpc.RetryInfo',
        retryDelay: `${Math.floor(retryMs / 1000)}s`,
      },
    ],
  };
}

/** The body of an error answer. Interactions know only a lower-case code and the message. */
export function errorBody(error: GoogleError, shape: ErrorShape): string {
  if (shape === 'interaction') {
    const { status, message } = error;
    return JSON.stringify({ error: { code: status.toLowerCase(), message } });
  }
  const body = JSON.stringify(shape === 'array' ? [{ error }] : { error }, null, 2);
  return `${body}\n`;
}

const named = (metric: string, id: string): { metric: string; id: string } => ({ metric, id });

const QUOTA_NAMES: Record<QuotaFamily, Record<QuotaName, { metric: string; id: string }>> = {
  generate: {
    rpm: named(
      'generate_content_free_tier_requests',
      'GenerateRequestsPerMinutePerProjectPerModel-FreeTier',
    ),
    tpm: named(
      'generate_content_free_tier_input_token_count',
      'GenerateContentInputTokensPerModelPerMinute-FreeTier',
    ),
    rpd: named(
      'generate_content_free_tier_requests',
      'GenerateRequestsPerDayPerProjectPerModel-FreeTier',
    ),
  },
  embed: {
    rpm: named(
      'embed_content_free_tier_requests',
      'EmbedContentRequestsPerMinutePerUserPerProjectPerModel-FreeTier',
    ),
    tpm: named(
      'embed_content_free_tier_input_token_count',
      'EmbedContentInputTokensPerModelPerMinute-FreeTier',
    ),
    rpd: named(
      'embed_content_free_tier_requests',
      'EmbedContentRequestsPerDayPerProjectPerModel-FreeTier',
    ),
  },
  countTokens: {
    rpm: named('count_tokens_requests', 'CountTokensRequestsPerMinutePerProject'),
    tpm: named('count_tokens_input_token_count', 'CountTokensInputTokensPerMinutePerProject'),
    rpd: named('count_tokens_requests', 'CountTokensRequestsPerDayPerProject'),
  },
};

/** 9h23m44.781424344s; below an hour, as Google wrote it all along, seconds alone. */
function goDuration(ms: number): string {
  const nanos = BigInt(Math.round(ms * 1e6));
  const seconds = nanos / 1_000_000_000n;
  const fraction = String(nanos % 1_000_000_000n).padStart(9, '0');
  if (seconds < 3600n) return `${seconds}.${fraction}s`;
  return `${seconds / 3600n}h${(seconds / 60n) % 60n}m${seconds % 60n}.${fraction}s`;
}
