import { Agent, type Dispatcher } from 'undici';
import type { Clock } from '../clock.ts';
import type { ModelAnswer } from '../sessions/conversations.ts';
import { ANSWER_BYTES_MAX, asObject, createAnswerStream, parsed } from './answer-stream.ts';
import type { CallTarget } from './call-target.ts';
import { CommandFailure } from './context.ts';
import { connectOptions } from './daemon-client.ts';
import { oneLine } from './style.ts';
import { duration } from './words.ts';

export interface ModelCall {
  /** Who calls, for the queue. */
  readonly agent: string;
  /** Without `models/`. */
  readonly model: string;
  /** A generateContent request as UTF-8 JSON. */
  readonly body: Uint8Array;
  /** Aborts the call, also while it waits in the queue. */
  readonly signal: AbortSignal;
  /** Told when the answer begins. */
  readonly onBegin: () => void;
  /** Told of the model's text as it comes, thoughts left out. */
  readonly onText: (text: string) => void;
}

/** An answer that is whole. */
export interface CallAnswer extends ModelAnswer {
  /** Time in the queue; null where the daemon told none. */
  readonly queuedMs: number | null;
}

/** The daemon has bounds of its own for the queue; this one only keeps a call from hanging for ever. */
const WAIT_MS_MAX = 86_400_000;
/** A model that thinks is silent for minutes between two pieces. */
const SILENCE_MS_MAX = 900_000;
const CONNECT_MS_MAX = 3_000;
const ERROR_BYTES_MAX = 65_536;
const MESSAGE_CHARS_MAX = 600;

/**
 * Makes one call through the daemon and collects its answer. Throws a CommandFailure for a refusal
 * of headgate's, an error of the upstream, and an answer that is cut short; all say when to come
 * back, where that helps.
 */
export async function callModel(
  { url, token, certificate }: CallTarget,
  call: ModelCall,
  clock: Clock,
): Promise<CallAnswer> {
  const agent = new Agent({
    connect: connectOptions(certificate, CONNECT_MS_MAX),
    headersTimeout: WAIT_MS_MAX,
    bodyTimeout: SILENCE_MS_MAX,
  });
  const startedAtMs = clock.wallMs();
  try {
    const { origin, pathname } = new URL(url);
    const answer = await agent.request({
      origin,
      path: pathname.replace(/\/$/, '') + pathOf(call.model),
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'accept-encoding': 'identity',
        'x-goog-api-key': 'headgate',
        'x-headgate-agent': call.agent,
        ...(token === null ? {} : { 'x-headgate-token': token }),
      },
      body: call.body,
      signal: call.signal,
    });
    call.onBegin();
    if (answer.statusCode >= 400) throw await refusalOf(answer);
    const bytes = await collect(answer, call.onText);
    return {
      bytes,
      contentType: header(answer, 'content-type') ?? '',
      contentEncoding: header(answer, 'content-encoding'),
      startedAtMs,
      endedAtMs: clock.wallMs(),
      requestId: header(answer, 'x-headgate-request-id') ?? '',
      queuedMs: queuedMsOf(answer),
    };
  } catch (error) {
    if (error instanceof CommandFailure) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandFailure('failed', `the call did not end well: ${oneLine(reason, 200)}`, error);
  } finally {
    await agent.destroy();
  }
}

function pathOf(model: string): string {
  // A tuned model is no `models/` resource.
  const resource = model.includes('/') ? model : `models/${model}`;
  return `/v1beta/${resource.split('/').map(encodeURIComponent).join('/')}:streamGenerateContent?alt=sse`;
}

async function collect(
  { body, headers }: Dispatcher.ResponseData,
  onText: (text: string) => void,
): Promise<Buffer> {
  const stream = createAnswerStream();
  const isPlain = (headers['content-encoding'] ?? 'identity') === 'identity';
  const isEvents = isPlain && String(headers['content-type']).startsWith('text/event-stream');
  let size = 0;
  const say = (text: string): void => {
    if (isEvents && text !== '') onText(text);
  };
  for await (const chunk of body) {
    // What undici's bodies yield is always a Buffer.
    const bytes = chunk as Buffer;
    size += bytes.length;
    if (size > ANSWER_BYTES_MAX) {
      throw new CommandFailure('failed', 'the answer is longer than 64 MiB');
    }
    say(stream.push(bytes));
  }
  say(stream.end());
  if (stream.error !== null) {
    throw new CommandFailure(
      'failed',
      `the answer broke off with an error: ${oneLine(stream.error, MESSAGE_CHARS_MAX)}`,
    );
  }
  // Whether any other answer is whole, its reader knows.
  if (isEvents && !stream.isEnded) {
    throw new CommandFailure('failed', 'the answer was cut short before the model had ended');
  }
  return stream.bytes();
}

/** One sentence about what headgate or the upstream refused, and when to come back. */
async function refusalOf(answer: Dispatcher.ResponseData): Promise<CommandFailure> {
  const { statusCode } = answer;
  let text = '';
  for await (const chunk of answer.body) {
    text += String(chunk);
    if (text.length > ERROR_BYTES_MAX) break;
  }
  const body = parsed(text);
  const error = asObject(asObject(Array.isArray(body) ? body[0] : body)?.['error']);
  const told = typeof error?.['message'] === 'string' ? error['message'] : text;
  const message = oneLine(told, MESSAGE_CHARS_MAX) || 'without a word';
  const refused = header(answer, 'x-headgate-refused');
  const status = typeof error?.['status'] === 'string' ? ` ${oneLine(error['status'], 40)}` : '';
  const who =
    refused === null
      ? `the upstream refused the call (${statusCode}${status})`
      : `headgate refused the call (${oneLine(refused, 40)})`;
  const why = `${who}: ${message.replace(/^headgate: /, '')}`;
  const retryMs = retryMsOf(answer, error);
  const isTold = retryMs === null || /retry in /i.test(message);
  const back = isTold ? '' : ` Come back in ${duration(retryMs)}.`;
  const hint = statusCode === 401 ? `\n${KEY_HINT}` : '';
  return new CommandFailure('failed', `${why}${/[.!?]$/.test(why) ? '' : '.'}${back}${hint}`);
}

const KEY_HINT =
  'The daemon needs a key: set GEMINI_API_KEY or upstream.api_key where it runs. Where it asks for ' +
  'a token, use --token or $HEADGATE_TOKEN.';

function retryMsOf(answer: Dispatcher.ResponseData, error: unknown): number | null {
  const headerSeconds = Number(header(answer, 'retry-after') ?? Number.NaN);
  if (headerSeconds > 0) return headerSeconds * 1000;
  const details = asObject(error)?.['details'];
  if (!Array.isArray(details)) return null;
  for (const detail of details) {
    const delay = asObject(detail)?.['retryDelay'];
    const seconds = typeof delay === 'string' ? Number(delay.replace(/s$/, '')) : Number.NaN;
    if (seconds > 0) return seconds * 1000;
  }
  return null;
}

function queuedMsOf(answer: Dispatcher.ResponseData): number | null {
  const queuedMs = Number(header(answer, 'x-headgate-queued-ms') ?? Number.NaN);
  return Number.isFinite(queuedMs) ? queuedMs : null;
}

function header({ headers }: Dispatcher.ResponseData, name: string): string | null {
  const value = headers[name];
  return typeof value === 'string' ? value : (value?.[0] ?? null);
}
