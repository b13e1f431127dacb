import t from 'tap';
import { ProxyError } from '../../src/errors.ts';
import { googleErrorBody, googleErrorHeaders } from '../../src/gemini/error-body.ts';
import { classifyRejection } from '../../src/gemini/rejection.ts';

const NOW_MS = Date.UTC(2026, 7, 1, 6, 14, 23) + 628;

interface Violation {
  readonly quotaId: string;
  readonly quotaMetric?: string;
  readonly quotaValue?: string;
  readonly model?: string;
}

function body429(message: string, violations: readonly Violation[], retryDelay?: string): string {
  return JSON.stringify({
    error: {
      code: 429,
      message,
      status: 'RESOURCE_EXHAUSTED',
      details: [
        { '@type': 'type.googleapis.com/google.rpc.Help', links: [] },
        {
          '@type': 'type.googleapis.com/google.rpc.QuotaFailure',
          violations: violations.map(({ model, ...violation }) => ({
            ...violation,
            ...(model === undefined ? {} : { quotaDimensions: { location: 'global', model } }),
          })),
        },
        ...(retryDelay === undefined
          ? []
          : [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay }]),
      ],
    },
  });
}

const EXCEEDED =
  'You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.';

t.test('a spent minute of tokens tells limit, model and when to come back', async (t) => {
  const body = body429(
    `${EXCEEDED} \n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_paid_tier_2_input_token_count, limit: 3000000, model: gemini-3.8-flash\nPlease retry in 51.386192716s.`,
    [
      {
        quotaId: 'GenerateContentPaidTierInputTokensPerModelPerMinute-PaidTier2',
        quotaMetric:
          'generativelanguage.googleapis.com/generate_content_paid_tier_2_input_token_count',
        quotaValue: '3000000',
        model: 'gemini-3.8-flash',
      },
    ],
    '51s',
  );
  for (const text of [body, `[${body}\n]`, Buffer.from(body)]) {
    t.match(classifyRejection(text, NOW_MS), {
      kind: 'minute',
      quotas: [
        { unit: 'input_tokens', period: 'minute', limit: 3_000_000, model: 'gemini-3.8-flash' },
      ],
      retryDelayMs: 52_000,
      label: 'minute tokens',
      message: /^You exceeded/,
    });
  }
});

t.test('a spent day wins over a spent minute in the same answer', async (t) => {
  const rejection = classifyRejection(
    body429(
      EXCEEDED,
      [
        { quotaId: 'GenerateRequestsPerMinutePerProjectPerModel-FreeTier', quotaValue: '5' },
        { quotaId: 'GenerateRequestsPerDayPerProjectPerModel-FreeTier', quotaValue: '20' },
      ],
      '36s',
    ),
    NOW_MS,
  );
  t.match(rejection, { kind: 'day', label: 'day requests', retryDelayMs: 37_000 });
  t.strictSame(
    rejection.quotas.map(({ unit, period, limit, model }) => [unit, period, limit, model]),
    [
      ['requests', 'minute', 5, null],
      ['requests', 'day', 20, null],
    ],
  );
});

t.test('a limit of zero is recognised with and without its value', async (t) => {
  const quotaId = 'GenerateRequestsPerMinutePerProjectPerModel-FreeTier';
  const prose = `${EXCEEDED}\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 0, model: gemini-3.1-pro\nPlease retry in 12s.`;
  for (const body of [
    body429(prose, [{ quotaId }], '12s'),
    body429(EXCEEDED, [{ quotaId, quotaValue: '0' }], '12s'),
    JSON.stringify({ error: { code: 429, message: prose } }),
  ]) {
    t.match(classifyRejection(body, NOW_MS), { kind: 'zero_limit', label: 'zero_limit' });
  }
  t.match(classifyRejection(body429('limit: 05', [{ quotaId }]), NOW_MS), { kind: 'minute' });
});

t.test('billing texts are no rate limits', async (t) => {
  for (const message of [
    'Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects',
    'Your project has exceeded its monthly spending cap. Please go to AI Studio',
  ]) {
    const body = JSON.stringify({ error: { code: 429, message, status: 'RESOURCE_EXHAUSTED' } });
    t.match(classifyRejection(body, NOW_MS), { kind: 'billing', quotas: [], retryDelayMs: null });
  }
});

t.test("an answer without detail, or that is not Google's, is a plain throttle", async (t) => {
  for (const body of [
    '{"error":{"code":429,"message":"Resource has been exhausted (e.g. check quota)."}}',
    `{"error":{"code":429,"message":"${EXCEEDED}"}}`,
    '{"error":{"code":"resource_exhausted","message":"slow down"}}',
    '<html>Too Many Requests</html>',
    '',
    'null',
    '[]',
    '{"error":{"details":[null,1,{"violations":[null]},{"violations":3}]}}',
  ]) {
    const rejection = classifyRejection(body, NOW_MS);
    t.match(rejection, { kind: 'exhausted', quotas: [], label: 'exhausted' }, body);
    t.equal(rejection.retryDelayMs, null);
  }
  t.equal(classifyRejection('x'.repeat(5000), NOW_MS).message.length, 500);
});

t.test('the delay is read in every spelling, and a second is added', async (t) => {
  const quota = [{ quotaId: 'GenerateRequestsPerMinutePerProjectPerModel', quotaValue: '5' }];
  for (const [retryDelay, ms] of [
    ['36s', 37_000],
    ['38.601s', 39_601],
    ['67640s', 67_641_000],
  ] as const) {
    t.equal(classifyRejection(body429('x', quota, retryDelay), NOW_MS).retryDelayMs, ms);
  }
  for (const [prose, ms] of [
    ['Please retry in 36.429760048s.', 37_430],
    ['Please retry in 9h23m44.781424344s.', 33_825_782],
    ['Please retry in 2m3s', 124_000],
    ['Please retry in 250.5ms.', 1_251],
  ] as const) {
    t.equal(classifyRejection(body429(prose, quota), NOW_MS).retryDelayMs, ms, prose);
  }
});

t.test('a minute quota without any delay waits for the next full minute', async (t) => {
  const body = body429('x', [{ quotaId: 'GenerateRequestsPerMinutePerProjectPerModel' }]);
  t.equal(classifyRejection(body, NOW_MS).retryDelayMs, 37_372);
  const day = body429('x', [{ quotaId: 'GenerateRequestsPerDayPerProjectPerModel' }]);
  t.equal(classifyRejection(day, NOW_MS).retryDelayMs, null);
});

t.test("prose alone tells the quota, and hours of delay that it is a day's", async (t) => {
  const prose = (delay: string) =>
    JSON.stringify({
      error: {
        message: `${EXCEEDED}\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 20, model: gemini-2.5-flash\nPlease retry in ${delay}.`,
      },
    });
  t.match(classifyRejection(prose('12.5s'), NOW_MS), {
    kind: 'minute',
    quotas: [{ unit: 'requests', period: 'minute', limit: 20, model: 'gemini-2.5-flash' }],
  });
  t.match(classifyRejection(prose('9h23m44.7s'), NOW_MS), { kind: 'day', label: 'day requests' });
});

t.test('the older ErrorInfo form names its quota too', async (t) => {
  const body = JSON.stringify({
    error: {
      message: 'Quota exceeded',
      details: [
        {
          '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
          reason: 'RATE_LIMIT_EXCEEDED',
          metadata: {
            quota_limit: 'GenerateContentRequestsPerMinutePerProjectPerRegion',
            quota_limit_value: '60',
          },
        },
      ],
    },
  });
  t.match(classifyRejection(body, NOW_MS), { kind: 'minute', quotas: [{ limit: 60 }] });
});

const MINUTE_REFUSAL = new ProxyError('WAIT_TOO_LONG', 'No room within 30 s.', {
  retryAfterMs: 22_350,
  quota: { model: 'gemini-x', policy: 'rpm', unit: 'requests', spanMs: 60_000, limit: 5 },
});
const DAY_REFUSAL = new ProxyError('QUOTA_DAY', 'headgate: the day is spent.', {
  retryAfterMs: 7_200_000,
  quota: { model: 'gemini-x', policy: 'tpd', unit: 'input_tokens', spanMs: 86_400_000, limit: 9 },
});

t.test('a refusal is Google-shaped, says whose it is and when to come back', async (t) => {
  const body = googleErrorBody(MINUTE_REFUSAL, { surface: 'gemini', array: false });
  t.strictSame(JSON.parse(body.toString()), {
    error: {
      code: 429,
      message: 'headgate: No room within 30 s. Please retry in 22.4s.',
      status: 'RESOURCE_EXHAUSTED',
      details: [
        {
          '@type': 'type.googleapis.com/google.rpc.QuotaFailure',
          violations: [
            {
              quotaMetric: 'generativelanguage.googleapis.com/generate_requests_per_model',
              quotaId: 'GenerateRequestsPerMinutePerProjectPerModel',
              quotaDimensions: { location: 'global', model: 'gemini-x' },
              quotaValue: '5',
            },
          ],
        },
        { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '23s' },
        {
          '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
          reason: 'WAIT_TOO_LONG',
          domain: 'headgate',
          metadata: { model: 'gemini-x', policy: 'rpm', hint: 'try again in 23s' },
        },
      ],
    },
  });
  t.strictSame(googleErrorHeaders(MINUTE_REFUSAL), [
    'content-type',
    'application/json; charset=UTF-8',
    'x-headgate-refused',
    'WAIT_TOO_LONG',
    'retry-after',
    '23',
    'retry-after-ms',
    '22350',
  ]);
});

t.test('a refusal of ours is read back as what it says', async (t) => {
  const minute = googleErrorBody(MINUTE_REFUSAL, { surface: 'gemini', array: true });
  t.match(minute.toString(), /^\[\{/);
  t.match(classifyRejection(minute, NOW_MS), {
    kind: 'minute',
    quotas: [{ unit: 'requests', period: 'minute', limit: 5, model: 'gemini-x' }],
    retryDelayMs: 24_000,
  });
  const day = googleErrorBody(DAY_REFUSAL, { surface: 'gemini', array: false });
  t.match(classifyRejection(day, NOW_MS), { kind: 'day', quotas: [{ unit: 'input_tokens' }] });
  t.match(googleErrorHeaders(DAY_REFUSAL).slice(-2), ['x-should-retry', 'false']);
});

t.test(
  'a refusal for good has no RetryInfo and stops retries; an outage does neither',
  async (t) => {
    const zero = new ProxyError('QUOTA_ZERO', 'You exceeded your current quota', {
      quota: { model: 'm', policy: 'rpm', unit: 'usd', spanMs: 60_000, limit: 2_500_000 },
    });
    const text = googleErrorBody(zero, { surface: 'gemini', array: false }).toString();
    t.notMatch(text, /RetryInfo|You exceeded your current quota/);
    t.match(text, /headgate: the quota is used up \(limit: 0\)/);
    t.match(text, /"quotaValue":"2.5"/);
    t.match(googleErrorHeaders(zero).slice(-2), ['x-should-retry', 'false']);
    t.notOk(googleErrorHeaders(zero).includes('retry-after'));
    const outage = new ProxyError('UPSTREAM_UNREACHABLE', 'no route');
    t.notOk(googleErrorHeaders(outage).includes('x-should-retry'));
  },
);

t.test('LangChain is told to come back from a minute, and not from longer rests', async (t) => {
  // Words that it stops at (core 1.4), and those it comes back at, with a time of up to a minute.
  const stops =
    /exceeded (?:your|the current|the available).+quota|usage quota|billing|will reset at/i;
  const hintOf = (retryAfterMs: number, message: string) => {
    const refusal = new ProxyError('COOLDOWN', message, { retryAfterMs });
    const text = googleErrorBody(refusal, { surface: 'gemini', array: false }).toString();
    t.notMatch(text, stops);
    return /(?:try again in|retry after)\s+(\d+)s/i.exec(text)?.[1];
  };
  const said = `At rest after a 429: ${EXCEEDED}`;
  t.equal(hintOf(22_350, said), '23');
  t.equal(hintOf(61_000, said), '60', 'a full minute and its guard: the rest it waits here');
  t.equal(hintOf(3_600_000, said), '3600', 'which is long enough to make it stop');
});

t.test('OpenAI clients are stopped where they would sleep for long', async (t) => {
  const isStopped = (retryAfterMs: number) =>
    googleErrorHeaders(new ProxyError('COOLDOWN', 'at rest', { retryAfterMs })).includes(
      'x-should-retry',
    );
  t.notOk(isStopped(300_000));
  t.ok(isStopped(300_001));
});

t.test('OpenAI clients get a bare object, interactions a lower-case code', async (t) => {
  const openai = googleErrorBody(MINUTE_REFUSAL, { surface: 'openai', array: true });
  t.match(JSON.parse(openai.toString()), { error: { code: 429, message: /headgate/ } });
  const interactions = googleErrorBody(MINUTE_REFUSAL, { surface: 'interactions', array: false });
  t.match(JSON.parse(interactions.toString()), { error: { code: 'resource_exhausted' } });
});
