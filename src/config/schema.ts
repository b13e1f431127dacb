import { Type, type Static } from 'typebox';
import {
  choice,
  duration,
  flag,
  limit,
  mapOf,
  section,
  sectionOrNull,
  size,
  text,
  textList,
  textOrNull,
  wholeNumber,
} from './shapes.ts';

/** The profiles under config/profiles, and `none` for no rows but one's own. */
export const PROFILES = ['massgen', 'free', 'tier-1', 'tier-2', 'tier-3', 'none'] as const;

/** Levels of the log, the most talkative first. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

const WINDOW = Type.Object(
  {
    name: Type.String({
      pattern: '^[a-z][a-z0-9_-]{0,31}$',
      title: 'a name of lower-case letters, digits, - and _ that starts with a letter',
      description: 'What messages and metrics call it. Not rpm, tpm or rpd.',
    }),
    unit: choice(
      ['requests', 'input_tokens', 'total_tokens', 'usd'],
      'What it counts. total_tokens are input and output; usd needs a price for the model.',
      null,
    ),
    limit: Type.Number({
      minimum: 0,
      maximum: 1_000_000_000_000,
      title: 'a number',
      description:
        'Most units in the window. Dollars may have a fraction; everything else is whole.',
    }),
    per: Type.String({
      pattern: '^([0-9]+(\\.[0-9]+)?(ms|s|m|h|d)|minute|hour|day|month)$',
      title: 'a duration such as 10s, or one of minute, hour, day, month',
      description:
        'A duration slides. minute and day follow `minute` and `day`, hour slides over 60 minutes, month is the calendar month in Los Angeles.',
    }),
    action: Type.Optional(
      choice(
        ['refuse', 'warn'],
        'Of a window of usd: refuse (unless told) keeps to it; warn never holds a call, and tells at 80 % and at 100 %.',
        null,
      ),
    ),
  },
  { additionalProperties: false, title: 'a window' },
);

/** Limits of one model. */
export const ROW = Type.Object(
  {
    rpm: limit('Requests per minute. null switches the limit off, 0 admits nothing.'),
    tpm: limit('Tokens per minute, counted as `tpm_counts` says. null switches the limit off.'),
    rpd: limit('Requests per day, counted as `day` says. null switches the limit off.'),
    windows: Type.Optional(
      Type.Array(WINDOW, {
        maxItems: 16,
        title: 'a list of windows',
        description: 'Further limits over windows of any length.',
      }),
    ),
    max_concurrent: Type.Optional(
      Type.Unsafe<number | null>({
        type: ['integer', 'null'],
        minimum: 1,
        maximum: 10_000,
        title: 'a whole number, or null for no cap',
        description: 'Most calls in flight at once. null is no cap.',
      }),
    ),
  },
  { additionalProperties: false, title: 'a mapping of limits' },
);

const ROWS_DESCRIPTION =
  'Limits by model, in the shape of the gemini section of a MassGen rate_limits.yaml. A model takes its exact key; else the longest key that matches it as a glob or is contained in its name; else default.';

const UPSTREAM = section('The Gemini API behind headgate.', {
  base_url: text(
    'Scheme, host and optional path. Calls and keys go wherever this points.',
    'https://generativelanguage.googleapis.com',
  ),
  api_key: Type.Unsafe<string | null>({
    type: ['string', 'null'],
    writeOnly: true,
    default: '${GEMINI_API_KEY:-}',
    title: 'a string or null',
    description:
      'Used when the client sends no key, or the key "headgate". Empty or null: clients bring their own. Take it from the environment rather than writing it here.',
  }),
});

const RATE_LIMITS = section('How much each model may take.', {
  profile: choice(
    PROFILES,
    "Limits for models that nothing below names: MassGen's numbers, the free tier, or a paid tier. none has no rows.",
    'massgen',
  ),
  file: textOrNull('A MassGen rate_limits.yaml, read as it is. Wins over the profile.'),
  gemini: mapOf(ROW, `${ROWS_DESCRIPTION} Wins over \`file\` and \`profile\`.`, {}),
  tpm_counts: choice(
    ['input', 'total'],
    'Tokens that tpm counts: input, as Google does, or input and output.',
    'input',
  ),
  day: choice(
    ['sliding', 'pacific'],
    'rpd over the last 24 hours and never more than it in one Pacific day, or since midnight in Los Angeles, as Google counts. The free and tier profiles make it pacific unless it is written.',
    'sliding',
  ),
  minute: choice(
    ['sliding', 'utc'],
    'The last 60 seconds, exactly, or the calendar minute. utc lets two full minutes touch at :00.',
    'sliding',
  ),
  minute_span: duration(
    'Length of the sliding minute windows. For tests and demonstrations: any other length than 60s does not keep a quota per minute.',
    '60s',
  ),
  window_guard: duration(
    'A unit stays this much longer in its window, because the upstream counts a call some time after it left. Below the transit time, 429s come back.',
    '1s',
  ),
  token_margin: Type.Number({
    minimum: 1,
    maximum: 10,
    default: 1.1,
    title: 'a number from 1 to 10',
    description: 'Estimated tokens are multiplied by this.',
  }),
  learn: flag('Take over a lower limit that an upstream 429 names. Never 0.', true),
  aliases: mapOf(
    Type.String({ minLength: 1, title: 'the name of a model' }),
    'Names that stand for another model and take its quota.',
    {
      'gemini-flash-latest': 'gemini-3.8-flash',
      'gemini-flash-lite-latest': 'gemini-3.5-flash-lite',
    },
  ),
});

const PROJECT = section('One Google project, which has a quota of its own.', {
  keys: textList('API keys of the project. Take them from the environment.', { writeOnly: true }),
  rate_limits: section('Limits of this project alone.', {
    gemini: mapOf(ROW, `${ROWS_DESCRIPTION} Wins over every limit outside the project.`, {}),
  }),
});

type StartsPerMinute = number | 'auto' | null;

const STARTS_BRANCHES = [
  { const: 'auto' },
  { type: 'integer', minimum: 1, maximum: 100_000 },
  { type: 'null' },
];

const COOLDOWN = sectionOrNull(
  "Spacing of agents' first calls, per project and model. null switches it off.",
  {
    startup: mapOf(
      duration('Time until the next agent may start.', '5s'),
      "By model, with keys as in rate_limits: how long after an agent's first call the next agent's first call waits. Models that no key names wait 5s.",
      { 'gemini-*-flash*': '3s', 'gemini-*-pro*': '10s', default: '5s' },
    ),
    starts_per_minute: Type.Unsafe<StartsPerMinute | Readonly<Record<string, StartsPerMinute>>>({
      anyOf: [
        ...STARTS_BRANCHES,
        { type: 'object', additionalProperties: { anyOf: STARTS_BRANCHES } },
      ],
      default: 'auto',
      title: 'auto, a whole number from 1, null, or a mapping of model keys to these',
      description:
        'Most agents that start in 60 s. auto: 1 where rpm is at most 2, rpm - 1 where it is at most 10, else rpm. null is no cap.',
    }),
    startup_idle: duration('An agent silent for this long starts again.', '10m'),
  },
);

const QUEUE = section('How many calls may wait, and how long.', {
  max_depth: wholeNumber('Most waiting calls.', { fallback: 1000, minimum: 1, maximum: 1_000_000 }),
  max_depth_per_agent: wholeNumber('Most waiting calls of one agent.', {
    fallback: 200,
    minimum: 1,
    maximum: 1_000_000,
  }),
  max_bytes: size('Most bytes of waiting request bodies; they are held in memory.', '512MiB'),
  max_wait: duration('Longest wait of a call that names no shorter one.', '30m'),
  drain: duration('How long running calls may take to end when headgate is told to stop.', '30s'),
});

const SESSIONS = section('Past conversations that can be continued.', {
  roots: Type.Unsafe<readonly string[] | null>({
    type: ['array', 'null'],
    items: { type: 'string', minLength: 1, title: 'a path' },
    maxItems: 100,
    default: null,
    title: 'a list of directories, or null',
    description:
      'Directories to look for sessions in. Nothing outside them is read over HTTP. null: ./.massgen/massgen_logs, ./.massgen/sessions, ./massgen_logs and ./sessions of the directory headgate runs in, and ~/.gemini/tmp.',
  }),
  write: choice(
    ['in_place', 'beside'],
    'Where a continued turn goes: into the session, as its tool would write it, or into a record of its own in record_dir. Existing files never change.',
    'in_place',
  ),
  record: choice(
    ['off', 'tagged', 'all'],
    'Calls to record as sessions: none, those that name a session, or all. Records hold prompts and answers.',
    'tagged',
  ),
  record_dir: textOrNull(
    'Where recorded sessions go. null: sessions/ in the state directory, $XDG_STATE_HOME/headgate or ~/.local/state/headgate.',
  ),
});

const ADMIN = section('Who may talk to headgate.', {
  token: textOrNull(
    'Needed to listen beyond loopback. There it is asked of every caller; SDKs may send it as their API key.',
    { writeOnly: true },
  ),
  allowed_hosts: textList(
    'Host headers accepted besides the loopback names and the listen address.',
  ),
  allowed_origins: textList(
    'Web origins whose pages may call. Each can spend the key of upstream.api_key.',
  ),
});

const TRACING = section(
  'A span for each counted call, sent to an OpenTelemetry collector. Spans hold no key, prompt or answer.',
  {
    otlp_endpoint: textOrNull(
      'Where to send them, as OTLP over HTTP with JSON: http://127.0.0.1:4318, to which /v1/traces is added. null or empty: no traces. ${OTEL_EXPORTER_OTLP_ENDPOINT:-} takes the address that other programs use.',
    ),
    headers: mapOf(
      Type.String({ writeOnly: true, title: 'a string' }),
      'Headers of each request to the collector, such as its key. Take them from the environment.',
      {},
    ),
    sample_ratio: Type.Number({
      minimum: 0,
      maximum: 1,
      default: 1,
      title: 'a number from 0 to 1',
      description:
        'Share of the calls to trace. A call whose client has a trace of its own is traced when that is.',
    }),
    service_name: text('service.name of the spans.', 'headgate'),
  },
);

const TLS_PAIR = Type.Object(
  {
    cert: Type.String({
      minLength: 1,
      title: 'a path',
      description: 'The certificate, with its chain, as PEM.',
    }),
    key: Type.String({ minLength: 1, title: 'a path', description: 'Its private key, as PEM.' }),
  },
  { additionalProperties: false },
);

/** The whole configuration file: its type, its validation, its editor schema and its reference. */
export const CONFIG_SCHEMA = Type.Object(
  {
    listen: text(
      'HOST:PORT. Port 0 takes a free one. Beyond loopback admin.token is needed.',
      '127.0.0.1:4290',
    ),
    tls: Type.Unsafe<Static<typeof TLS_PAIR> | null>({
      ...TLS_PAIR,
      type: ['object', 'null'],
      default: null,
      title: 'a mapping of cert and key, or null',
      description:
        'With it headgate speaks https and wss and nothing else. The Live API of the Python and Go SDKs takes no other. null is plain HTTP.',
    }),
    enable_rate_limit: flag('false forwards every call at once, and still counts.', true),
    mode: choice(
      ['enforce', 'shadow'],
      'shadow counts and logs what it would have done, and never delays.',
      'enforce',
    ),
    upstream: UPSTREAM,
    rate_limits: RATE_LIMITS,
    projects: mapOf(
      PROJECT,
      'Whose quota a key uses. A key that no project lists belongs to default.',
      { default: {} },
    ),
    cooldown: COOLDOWN,
    queue: QUEUE,
    sessions: SESSIONS,
    storage: section('State that outlives the process.', {
      path: textOrNull(
        'The SQLite database, on a local disk. null: headgate.db in the state directory.',
      ),
    }),
    pricing: textOrNull('Dated prices per model, for usd windows and /usage. null: those shipped.'),
    admin: ADMIN,
    retention: section('How long history is kept. Windows keep what they need regardless.', {
      events: duration('Single calls, for the last day of /usage and the dashboard.', '25h'),
      rollups: duration('Daily sums.', '400d'),
    }),
    tracing: TRACING,
    log: section('The log on stderr. It holds no key, prompt or answer.', {
      level: choice(LOG_LEVELS, 'Least level that is written.', 'info'),
      format: choice(
        ['auto', 'json', 'pretty'],
        'auto is pretty on a terminal and json elsewhere.',
        'auto',
      ),
    }),
  },
  {
    additionalProperties: false,
    title: 'a mapping of keys',
    description: 'Configuration of headgate.',
  },
);

/** A configuration file with every default filled in; still in the file's own units and names. */
export type ConfigFile = Static<typeof CONFIG_SCHEMA>;
export type RowFile = Static<typeof ROW>;
export type WindowFile = Static<typeof WINDOW>;

const TABLE = Type.Record(Type.String(), ROW, {
  maxProperties: 1000,
  title: 'a mapping of models',
});

/** A file of config/profiles. */
export const PROFILE_SCHEMA = Type.Object(
  {
    description: Type.String(),
    day: Type.Optional(choice(['sliding', 'pacific'], 'As in rate_limits.', null)),
    gemini: TABLE,
  },
  { additionalProperties: false, title: 'a profile' },
);

export type ProfileFile = Static<typeof PROFILE_SCHEMA>;

const MASSGEN_ROW = Type.Object(
  { rpm: ROW.properties.rpm, tpm: ROW.properties.tpm, rpd: ROW.properties.rpd },
  { title: 'a mapping of limits' },
);

/** What is read of a MassGen rate_limits.yaml; its other providers and keys are none of ours. */
export const MASSGEN_SCHEMA = Type.Object(
  {
    gemini: Type.Record(Type.String(), MASSGEN_ROW, {
      default: {},
      maxProperties: 1000,
      title: 'a mapping of models',
    }),
  },
  { title: 'a MassGen rate_limits.yaml' },
);
