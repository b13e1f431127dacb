import { Agent, request } from 'undici';
import type { LoadedConfig } from '../config/loaded.ts';
import type { CliContext } from './context.ts';
import { connectOptions } from './daemon-client.ts';
import { fail, type Finding, ok, type Patient, warn } from './doctor-finding.ts';
import { KEY_OF_HEADGATE } from './client-setting.ts';
import { duration } from './words.ts';

/** The list of models costs no quota, and asks for a key that is good. */
const MODELS = '/v1beta/models?pageSize=1';
const ANSWER_MS_MAX = 5_000;
/** Of an answer that is looked at; a list of one model has a few hundred. */
const ANSWER_CHARS_MAX = 20_000;
/** Dates of HTTP are whole seconds, and the way there takes time too. */
const CLOCK_OFF_MS_MAX = 5_000;

interface Answer {
  readonly status: number;
  readonly text: string;
  /** The upstream's clock minus the machine's, ms; null where no date came. */
  readonly clockOffMs: number | null;
}

/** Whether the upstream is there, what time it has, and whether it takes the key. */
export async function checkUpstream(context: CliContext, patient: Patient): Promise<Finding[]> {
  const { config, status } = patient;
  const baseUrl = status?.upstream.base_url ?? config?.upstream.baseUrl;
  if (baseUrl === undefined) {
    return [warn('upstream', 'not asked: the configuration does not say where it is', null)];
  }
  if (status === null && config?.simulate === true) {
    return [ok('upstream', 'a simulated Gemini, which starts with headgate serve')];
  }
  // What a daemon sends is what counts; without one it is the key that it would send.
  const source = status === null ? keySource(context, config) : null;
  const [direct, key] = await Promise.all([
    ask(context, baseUrl, source?.key ?? null),
    status === null ? null : askDaemon(context, patient),
  ]);
  if (typeof direct === 'string') {
    const isKeyless = status === null && source === null;
    return [
      fail('upstream', `${baseUrl} cannot be reached: ${direct}`, REACH_HINT),
      warn('clock', 'not compared: the upstream does not answer', null),
      isKeyless ? NO_KEY : warn('key', 'not tried: the upstream does not answer', null),
    ];
  }
  const name = status?.upstream.simulated === true ? `a simulated Gemini at ${baseUrl}` : baseUrl;
  return [
    direct.status >= 500
      ? warn('upstream', `${name} answers, but with ${direct.status}`, 'Try again later.')
      : ok('upstream', `${name} answers`),
    clockFinding(direct.clockOffMs),
    status === null ? keyFinding(direct, source) : daemonKeyFinding(key, patient),
  ];
}

const REACH_HINT =
  'Check the network, the name server, firewalls, and upstream.base_url; headgate uses no proxy.';

function clockFinding(offMs: number | null): Finding {
  if (offMs === null) return warn('clock', 'the upstream does not tell the time', null);
  if (Math.abs(offMs) <= CLOCK_OFF_MS_MAX) return ok('clock', 'agrees with the upstream');
  const direction = offMs > 0 ? 'behind' : 'ahead of';
  return warn(
    'clock',
    `${duration(Math.abs(offMs))} ${direction} the upstream's`,
    'headgate reckons with it, but times that it shows are wrong; let the machine take its time from the network.',
  );
}

interface KeySource {
  readonly key: string;
  /** For people. */
  readonly source: string;
}

/** The key that a daemon of this configuration would send for clients that have none. */
function keySource({ env }: CliContext, config: LoadedConfig | null): KeySource | null {
  const configured = config?.upstream.apiKey ?? null;
  if (configured !== null) {
    const variable = KEY_VARIABLES.find((name) => env[name] === configured);
    const place = variable === undefined ? '' : `, from $${variable}`;
    return { key: configured, source: `upstream.api_key${place}` };
  }
  for (const name of KEY_VARIABLES) {
    const key = env[name] ?? '';
    if (key !== '') return { key, source: `$${name}, which clients started here send` };
  }
  return null;
}

const KEY_VARIABLES = ['GEMINI_API_KEY', 'GOOGLE_API_KEY'];
const SET_KEY = "Set GEMINI_API_KEY in the daemon's environment, or let every client send its own.";

const NO_KEY = warn('key', 'none is configured', SET_KEY);

function keyFinding(answer: Answer, source: KeySource | null): Finding {
  if (source === null) return NO_KEY;
  return verdict(answer, `the key of ${source.source}`);
}

function daemonKeyFinding(answer: Answer | string | null, { status }: Patient): Finding {
  if (answer === null || typeof answer === 'string') {
    return warn('key', `the daemon did not answer in time: ${answer ?? ''}`, null);
  }
  if (answer.text.includes('KEY_MISSING')) {
    return warn('key', 'the daemon has none of its own', SET_KEY);
  }
  if (status?.upstream.simulated === true && answer.status === 200) {
    return ok('key', 'a simulated Gemini takes any');
  }
  return verdict(answer, 'the key of the running daemon');
}

/** Google's messages may hold the key, so that only their reason is told. */
function verdict({ status, text }: Answer, whose: string): Finding {
  if (status >= 200 && status < 300) return ok('key', `${whose} is accepted`);
  const reason = /"reason":\s*"([A-Z][A-Z_]{2,60})"/.exec(text)?.[1];
  const told = reason === undefined ? `${status}` : `${status} ${reason}`;
  if (status === 400 || status === 401 || status === 403) {
    const isPlace = text.includes('location is not supported');
    return fail(
      'key',
      `${whose} is refused: ${told}`,
      isPlace
        ? 'The Gemini API is not offered where this machine is.'
        : 'Make a key at https://aistudio.google.com/apikey, and see that it may use the Gemini API.',
    );
  }
  return warn('key', `${whose} could not be tried: the upstream answers ${told}`, null);
}

function askDaemon(context: CliContext, { address }: Patient): Promise<Answer | string> {
  const key = address.token ?? KEY_OF_HEADGATE;
  return ask(context, address.url, key, address.certificate);
}

/** Asks for one model; a text says in words why no answer came. */
async function ask(
  { clock }: CliContext,
  baseUrl: string,
  key: string | null,
  certificate?: string,
): Promise<Answer | string> {
  const agent = new Agent({
    connect: connectOptions(certificate, ANSWER_MS_MAX),
    headersTimeout: ANSWER_MS_MAX,
    bodyTimeout: ANSWER_MS_MAX,
  });
  const sentAtMs = clock.wallMs();
  try {
    const { statusCode, headers, body } = await request(baseUrl + MODELS, {
      dispatcher: agent,
      headers: key === null ? {} : { 'x-goog-api-key': key },
    });
    const halfwayMs = (sentAtMs + clock.wallMs()) / 2;
    const dateMs = typeof headers.date === 'string' ? Date.parse(headers.date) : Number.NaN;
    const text = (await body.text()).slice(0, ANSWER_CHARS_MAX);
    // A date says which second it is, so on average half a second more.
    const offMs = Number.isNaN(dateMs) ? null : dateMs + 500 - halfwayMs;
    return { status: statusCode, text, clockOffMs: offMs };
  } catch (error) {
    if (!(error instanceof Error)) return String(error);
    return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
  } finally {
    await agent.destroy();
  }
}
