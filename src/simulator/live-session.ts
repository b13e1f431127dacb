import type { WebSocket } from 'ws';
import type { OpenArrival } from './arrival.ts';
import { type GoogleError, modelNotFound, quotaExceeded } from './google-error.ts';
import { field, list, text } from './json.ts';
import { matches, quotaNameOf, resolvedModel, rowOf } from './scenario.ts';
import { contentTokens, countTextTokens } from './tokenizer.ts';
import type { World } from './world.ts';

const INVALID = 1007;
const POLICY = 1008;
/** So the Gemini API ends a session whose quota is used up. */
const INTERNAL = 1011;
/** RFC 6455 section 5.5.1. */
const REASON_BYTES_MAX = 123;
const OUTPUT_TOKENS_MAX = 100_000;

/**
 * One session: a setup, then turns that are answered with their own words. Directives in a turn:
 * `[[out:N]]` answers with N tokens, `[[goaway]]` announces the end, `[[close:CODE REASON]]` closes
 * with that code, and `[[drop]]` cuts the connection.
 */
export class LiveSession {
  readonly #world: World;
  readonly #arrival: OpenArrival;
  readonly #client: WebSocket;
  #model: string | null = null;
  /** Of the setup and of all turns; every turn is asked with what came before it. */
  #contextTokens = 0;

  constructor(parts: {
    readonly world: World;
    readonly arrival: OpenArrival;
    readonly client: WebSocket;
  }) {
    this.#world = parts.world;
    this.#arrival = parts.arrival;
    this.#client = parts.client;
  }

  begin(): void {
    const client = this.#client;
    client.on('message', (data, isBinary) => {
      const bytes = Buffer.isBuffer(data) ? data : Buffer.alloc(0);
      this.#arrival.bytes += bytes.length;
      this.#message(bytes, isBinary);
    });
    // The close that follows says as much.
    client.on('error', () => undefined);
    client.on('close', (code) => {
      this.#arrival.aborted = code === 1006;
      if (this.#model !== null) this.#count(this.#model, -1);
    });
  }

  #message(data: Buffer, isBinary: boolean): void {
    let message: unknown;
    try {
      message = JSON.parse(data.toString('utf8'));
    } catch {
      return this.#close(INVALID, 'Invalid JSON payload received.');
    }
    if (this.#model === null) return this.#setup(field(message, 'setup'), isBinary);
    const content = field(message, 'clientContent', 'client_content');
    const turns = list(field(content, 'turns'));
    const realtime = text(field(field(message, 'realtimeInput', 'realtime_input'), 'text'));
    const tool = field(message, 'toolResponse', 'tool_response');
    for (const turn of turns) this.#contextTokens += contentTokens(turn);
    if (realtime !== undefined) this.#contextTokens += countTextTokens(realtime);
    const isWhole = field(content, 'turnComplete', 'turn_complete') === true;
    if (!isWhole && realtime === undefined && tool === undefined) return;
    this.#turn(realtime ?? textOf(turns.at(-1)), isBinary);
  }

  #setup(setup: unknown, isBinary: boolean): void {
    const { scenario, books } = this.#world;
    const asked = text(field(setup, 'model'))?.replace(/^models\//, '');
    if (asked === undefined) return this.#close(INVALID, 'setup must be the first message');
    if (scenario.unknown_models.some((pattern) => matches(pattern, asked))) {
      return this.#fail(modelNotFound(asked, 'v1beta', 'bidiGenerateContent'), POLICY);
    }
    const model = resolvedModel(scenario, asked);
    const arrival = this.#arrival;
    arrival.model = model;
    arrival.requests = 1;
    this.#contextTokens = contentTokens(field(setup, 'systemInstruction', 'system_instruction'));
    const now = this.#world.now();
    const row = rowOf(scenario, model);
    if (row.live_sessions !== null && this.#count(model, 0) >= row.live_sessions) {
      arrival.refusedBy = 'live_sessions';
      return this.#close(INTERNAL, tooManySessions(arrival.id));
    }
    const refusals = books.ask(model, row, { requests: 1, tokens: 0 }, now);
    const [first] = refusals;
    if (first !== undefined) {
      arrival.refusedBy = first.quota;
      const names = { model: quotaNameOf(scenario, model), family: 'generate' } as const;
      return this.#fail(quotaExceeded(refusals, names), INTERNAL);
    }
    this.#model = model;
    this.#count(model, 1);
    arrival.countedAtMs = now.monotonicMs;
    arrival.answeredAtMs = now.monotonicMs;
    this.#send({ setupComplete: {} }, isBinary);
  }

  #turn(asked: string, isBinary: boolean): void {
    const close = /\[\[close:(\d{4}) ?([^\]]*)\]\]/.exec(asked);
    if (close !== null) return this.#close(Number(close[1]), close[2] ?? '');
    if (asked.includes('[[drop]]')) return this.#client.terminate();
    if (asked.includes('[[goaway]]')) this.#send({ goAway: { timeLeft: '10s' } }, isBinary);
    const model = this.#model ?? '';
    const { scenario, books } = this.#world;
    const row = rowOf(scenario, model);
    const prompt = this.#contextTokens;
    const refusals = books.ask(model, row, { requests: 0, tokens: prompt }, this.#world.now());
    const [first] = refusals;
    if (first !== undefined) {
      this.#arrival.refusedBy = first.quota;
      const names = { model: quotaNameOf(scenario, model), family: 'generate' } as const;
      return this.#fail(quotaExceeded(refusals, names), INTERNAL);
    }
    const wanted = Number(/\[\[out:(\d{1,6})\]\]/.exec(asked)?.[1] ?? 'NaN');
    const words = asked.replaceAll(/\[\[[^\]]*\]\]/g, '').trim();
    const response = Number.isNaN(wanted)
      ? Math.max(1, countTextTokens(words))
      : Math.min(wanted, OUTPUT_TOKENS_MAX);
    this.#contextTokens += response;
    this.#arrival.inputTokens += prompt;
    this.#arrival.outputTokens += response;
    if (scenario.tpm_counts === 'total') books.addTokens(model, response, this.#world.now());
    const parts = [{ text: words === '' ? 'silence' : words }];
    this.#send({ serverContent: { modelTurn: { role: 'model', parts } } }, isBinary);
    this.#send({ serverContent: { generationComplete: true } }, isBinary);
    this.#send(
      {
        serverContent: { turnComplete: true },
        usageMetadata: {
          promptTokenCount: prompt,
          responseTokenCount: response,
          totalTokenCount: prompt + response,
          responseTokensDetails: [{ modality: 'TEXT', tokenCount: response }],
        },
      },
      isBinary,
    );
  }

  /** How many sessions of the model there are, after `more`. */
  #count(model: string, more: number): number {
    const { liveSessions } = this.#world;
    const count = (liveSessions.get(model) ?? 0) + more;
    if (more !== 0) liveSessions.set(model, count);
    return count;
  }

  /** In the kind of frame that the client uses. */
  #send(message: object, isBinary: boolean): void {
    this.#client.send(Buffer.from(JSON.stringify(message)), { binary: isBinary });
  }

  #fail(error: GoogleError, code: number): void {
    this.#close(code, error.message);
  }

  #close(code: number, reason: string): void {
    this.#client.close(code, Buffer.from(reason).subarray(0, REASON_BYTES_MAX));
  }
}

/** As it was recorded, cut off in the middle of a word by the longest reason that a close may have. */
function tooManySessions(id: number): string {
  const trace = id.toString(16).padStart(16, '0');
  return `Request trace id: ${trace}, [ORIGINAL ERROR] generic::resource_exhausted: RESOURCE_EXHAUSTED: Maximum concurrent sessions exceeded.`;
}

function textOf(turn: unknown): string {
  return list(field(turn, 'parts'))
    .map((part) => text(field(part, 'text')) ?? '')
    .join('');
}
