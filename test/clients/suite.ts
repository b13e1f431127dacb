import t, { type Test } from 'tap';
import { type Gate, idle, MODEL } from '../support/gate.ts';
import {
  allThrough,
  type BigFile,
  bigFile,
  checksumOf,
  ChunkWatch,
  clientGate,
  failureOf,
  leavesUpstream,
  ONE_A_DAY,
  outcomes,
  passFrom,
  PROMPT,
  REPEATED,
  SHORT_MINUTE,
  spentGate,
  steppedGate,
  SYSTEM,
  TINY_MINUTE,
  UNKNOWN_MODEL,
  WRONG_KEY,
} from './support.ts';

export interface Question {
  readonly model: string;
  readonly prompt: string;
  readonly system?: string;
}

/** A client that is told where headgate is and nothing else. What it cannot do is left out. */
export interface Client {
  /** One answer's text. */
  ask(question: Question): Promise<string>;
  /** Tells each chunk's text as it comes, and rejects when `signal` ends it. */
  stream(
    question: Question,
    chunk: { saw(text: string): void },
    signal: AbortSignal,
  ): Promise<unknown>;
  /** Declares `get_weather`, answers its call with `TOOL_ANSWER` and returns the text that follows. */
  useTool?(t: Test): Promise<string>;
  countTokens?(prompt: string): Promise<number | undefined>;
  /** Lengths of the vectors. */
  embed?(texts: readonly string[]): Promise<readonly (number | undefined)[]>;
  upload?(file: BigFile): Promise<{ readonly sizeBytes?: string; readonly sha256Hash?: string }>;
  /** What its user can tell of an error. */
  readError(error: Error): ErrorRead;
}

export interface ErrorRead {
  /** Whether it is of the client's own kind for errors that the API answered. */
  readonly isOwn: boolean;
  readonly status: number | undefined;
  /** Where it is not the error's own. */
  readonly message?: string;
}

export interface ClientFacts {
  readonly name: string;
  readonly clientOf: (gate: Gate, t: Test) => Client;
  /** Why features are left out. */
  readonly without?: Partial<Record<'useTool' | 'countTokens' | 'embed' | 'upload', string>>;
  /** Whether it comes back by itself after a refusal; or the client as its user makes it do so. */
  readonly retrying: boolean | ((gate: Gate, t: Test) => Client);
  /** It comes back when it thinks best, not when it is told to. */
  readonly ignoresHints?: boolean;
  /** What it says of a spent day besides the message, where it takes that for final. */
  readonly saysFinal?: RegExp;
  /** Calls it makes in all where the day is spent, the refused ones; default 1. */
  readonly callsOnSpentDay?: number;
  /** Its calls cannot be counted ahead, and only what is counted is refused as too large. */
  readonly isNeverCounted?: boolean;
  /** It shows no message of an error in an array, as Google has them on the OpenAI paths. */
  readonly dropsMessages?: boolean;
  /** Why nothing of it can be run here; null when it can. */
  readonly absent?: string | null;
}

/** The slowest takes 15 s on an idle machine. A client that sees nothing of a stream waits for ever. */
const CELL_MS_MAX = 120_000;

const question: Question = { model: MODEL, prompt: PROMPT };

/** Everything that clients do through headgate, tried with one of them. */
export function tryClient(facts: ClientFacts): void {
  const { name, clientOf, without = {}, absent = null } = facts;
  const test = (title: string, run: (t: Test) => Promise<unknown>) =>
    t.test(
      `${name} ${title}`,
      { skip: absent ?? false, timeout: CELL_MS_MAX },
      async (t) => void (await run(t)),
    );
  const optional = (
    feature: keyof typeof without,
    title: string,
    run: (t: Test) => Promise<unknown>,
  ) => {
    const reason = without[feature];
    if (reason === undefined) void test(title, run);
    else void t.test(`${name} ${title}`, { skip: absent ?? reason }, () => undefined);
  };

  void test('gets an answer, with a system instruction', async (t) => {
    const gate = await clientGate(t);
    t.not(await clientOf(gate, t).ask({ ...question, system: SYSTEM }), '');
    t.equal(gate.simulator.arrivals.at(-1)?.agentTag, 'keeper', 'the instruction arrives');
    await allThrough(t, gate);
  });
  void test('sees chunks as they are sent', async (t) => {
    const stepped = await steppedGate(t);
    const { gate } = stepped;
    const watch = new ChunkWatch(stepped);
    await clientOf(gate, t).stream(question, watch, new AbortController().signal);
    watch.check(t);
    await allThrough(t, gate);
  });
  optional('useTool', 'has a function called and tells what it answered', async (t) => {
    const gate = await clientGate(t);
    t.match(await clientOf(gate, t).useTool?.(t), REPEATED);
    await allThrough(t, gate);
  });
  optional('countTokens', 'counts tokens', async (t) => {
    const gate = await clientGate(t);
    t.ok(((await clientOf(gate, t).countTokens?.(PROMPT)) ?? 0) > 0);
    await allThrough(t, gate);
  });
  optional('embed', 'gets embeddings', async (t) => {
    const gate = await clientGate(t);
    t.strictSame(await clientOf(gate, t).embed?.(['the sea', 'a lake']), [768, 768]);
    await allThrough(t, gate);
  });
  optional('upload', 'uploads 20 MB, every request of it through headgate', async (t) => {
    const gate = await clientGate(t);
    const file = bigFile(t);
    const stored = await clientOf(gate, t).upload?.(file);
    t.equal(stored?.sizeBytes, String(file.bytes));
    t.equal(checksumOf(stored?.sha256Hash), file.sha256);
    await allThrough(t, gate);
    const carried = gate.simulator.arrivals.reduce((sum, { bytes }) => sum + bytes, 0);
    t.ok(carried >= file.bytes, 'with all that the file holds');
  });
  void test('tells errors of the API as its own', errorsOf(facts));
  void test('comes back after a refusal where that helps', minuteOf(facts));
  void test('stops where coming back does not help', dayOf(facts));
  void test('leaves in the middle of an answer, and the upstream sees it', async (t) => {
    // Nobody lets it go on, so that it stays in the middle.
    const { gate } = await steppedGate(t);
    const abort = new AbortController();
    const client = clientOf(gate, t);
    let ended: Promise<unknown> = Promise.resolve();
    await new Promise<void>((resolve, reject) => {
      ended = client.stream(question, { saw: () => resolve() }, abort.signal);
      ended.catch(reject);
    });
    await leavesUpstream(t, gate, () => abort.abort());
    await ended.catch(() => undefined);
  });
}

function errorsOf({ clientOf, dropsMessages = false }: ClientFacts) {
  return async (t: Test): Promise<void> => {
    const client = clientOf(await clientGate(t), t);
    const missing = await failureOf(client.ask({ ...question, model: UNKNOWN_MODEL }));
    told(t, client, missing, [404, dropsMessages ? /./ : /is not found for API version/]);
    const rejected = clientOf(await clientGate(t, { config: WRONG_KEY }), t);
    const invalid = await failureOf(rejected.ask(question));
    told(t, rejected, invalid, [400, dropsMessages ? /./ : /API key not valid/]);
  };
}

function told(t: Test, client: Client, error: Error, expected: readonly [number, RegExp]): void {
  const { message = error.message, isOwn, status } = client.readError(error);
  t.strictSame({ isOwn, status }, { isOwn: true, status: expected[0] });
  t.match(message, expected[1]);
}

function minuteOf({ clientOf, retrying, ignoresHints = false }: ClientFacts) {
  return async (t: Test): Promise<void> => {
    const { gate, clock } = await spentGate(t, SHORT_MINUTE);
    const client = clientOf(gate, t);
    if (retrying !== true) {
      told(t, client, await failureOf(client.ask(question)), [429, /headgate/]);
      t.strictSame(outcomes(gate), ['ok', 'refused']);
    }
    if (retrying === false) return;
    const patient = retrying === true ? client : retrying(gate, t);
    const seen = outcomes(gate).length;
    const isRefused = () => outcomes(gate).length > seen;
    t.not(await passFrom(clock, isRefused, patient.ask(question)), '');
    await idle(gate);
    const tries = outcomes(gate).slice(seen);
    const refused = tries.filter((outcome) => outcome === 'refused');
    t.strictSame(tries, [...refused, 'ok']);
    if (ignoresHints) t.ok(refused.length >= 1, `refused ${refused.length} times`);
    else t.equal(refused.length, 1, 'it comes back when it is told to, and not before');
    t.equal(gate.simulator.arrivals.length, 2);
  };
}

function dayOf(facts: ClientFacts) {
  const { clientOf, callsOnSpentDay = 1, isNeverCounted = false, saysFinal = /./ } = facts;
  return async (t: Test): Promise<void> => {
    const { gate: day } = await spentGate(t, ONE_A_DAY);
    const client = clientOf(day, t);
    const error = await failureOf(client.ask(question));
    told(t, client, error, [429, /headgate/]);
    t.match(client.readError(error).message ?? error.message, saysFinal);
    const refused = Array.from({ length: callsOnSpentDay }, () => 'refused');
    t.strictSame(outcomes(day), ['ok', ...refused]);

    if (isNeverCounted) return;
    const tiny = await clientGate(t, { config: TINY_MINUTE });
    const held = clientOf(tiny, t);
    told(t, held, await failureOf(held.ask(question)), [400, /it can never pass/]);
    t.strictSame(outcomes(tiny), ['refused']);
  };
}
