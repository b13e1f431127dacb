import type { Conflict } from '../sessions/contracts.ts';
import type {
  ConversationSummary,
  FinishedTurn,
  PlannedTurn,
  RepeatedTurn,
  SessionPage,
} from '../sessions/conversations.ts';
import type { Session, SessionLog, SessionWarning, Turn } from '../sessions/session.ts';
import { isSecret, REDACTED, textWithoutKeys, withoutSecrets } from './session-secrets.ts';
import { warningsByTurn } from './session-warnings.ts';

/**
 * The JSON of the session routes and of `headgate sessions --json`. snake_case, because it is public.
 * Instants are ISO 8601 in UTC.
 */

/** GET /sessions */
export interface SessionListView {
  readonly sessions: readonly SessionEntryView[];
  /** For the next page; null on the last. */
  readonly next_cursor: string | null;
}

export interface SessionEntryView {
  /** What stands for :logDir, not yet URL-encoded. */
  readonly log_dir: string;
  readonly format: string;
  /** Absolute; null outside every root. */
  readonly root: string | null;
  readonly session_id: string | null;
  readonly turns: number;
  readonly agents: readonly string[];
  readonly models: readonly string[];
  readonly first_question: string | null;
  /** Null where the instant is none that a calendar has. */
  readonly updated_at: string | null;
  readonly warnings: number;
}

/** GET /sessions/:logDir */
export interface SessionView {
  readonly log_dir: string;
  readonly format: string;
  readonly session_id: string | null;
  readonly next_turn: number;
  readonly agents: readonly SessionAgentView[];
  /** The backend settings of each agent by its id, without secrets. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly turns: readonly TurnView[];
  /** All of them, those told with a turn too. */
  readonly warnings: readonly SessionWarning[];
}

export interface SessionAgentView {
  readonly id: string;
  readonly type: string | null;
  readonly model: string | null;
  readonly system_message: string | null;
}

export interface TurnView {
  readonly number: number;
  readonly question: string | null;
  /** There when the question was cut. */
  readonly question_cut?: true;
  readonly answer: string | null;
  /** There when the answer was cut. */
  readonly answer_cut?: true;
  readonly answered: boolean;
  readonly winner: string | null;
  /** Those about the turn's own files. */
  readonly warnings: readonly SessionWarning[];
}

/** POST /sessions/:logDir/continue */
export interface ContinueAnswer {
  readonly session: ContinuedSessionView;
  readonly agent: string;
  readonly model: string;
  readonly text: string;
  /** The model's answer as the API gave it; of a stream, its chunks made one. */
  readonly response: Readonly<Record<string, unknown>>;
  readonly conflicts: readonly Conflict[];
  readonly warnings: readonly SessionWarning[];
  /** usageMetadata of the answer; null where it has none. */
  readonly usage: unknown;
}

export interface ContinuedSessionView {
  readonly log_dir: string;
  readonly format: string;
  /** The number of the new turn. */
  readonly turn: number;
  readonly summary: ConversationSummary;
}

/** POST /sessions/:logDir/continue with dry_run */
export interface DryRunAnswer {
  readonly session: ContinuedSessionView;
  readonly agent: string;
  readonly model: string;
  /** The call that would be sent. */
  readonly request: { readonly path: string; readonly body: unknown };
  readonly tokens_estimated: number;
  readonly conflicts: readonly Conflict[];
  readonly warnings: readonly SessionWarning[];
}

/** Characters of a question or an answer that are shown unless the whole is asked for. */
export const TEXT_CHARS_MAX = 2_000;

/** Outermost instants of a Date, ms from 1970 (ECMAScript section 21.4.1.1). */
const INSTANT_MS_MAX = 8.64e15;

export function sessionList({ sessions, nextCursor }: SessionPage): SessionListView {
  return {
    sessions: sessions.map((summary) => ({
      log_dir: summary.log.name,
      format: summary.log.format,
      root: summary.log.root,
      session_id: summary.sessionId,
      turns: summary.turns,
      agents: summary.agents,
      models: summary.models,
      first_question: summary.firstQuestion,
      updated_at: instantOf(summary.updatedAtMs),
      warnings: summary.warnings,
    })),
    next_cursor: nextCursor,
  };
}

/** With `full`, questions and answers are not cut to `TEXT_CHARS_MAX`. */
export function sessionView(log: SessionLog, session: Session, full: boolean): SessionView {
  const warningsOf = warningsByTurn(session);
  return {
    log_dir: log.name,
    format: log.format,
    session_id: session.sessionId,
    next_turn: session.nextTurn,
    agents: agentsOf(session),
    config: Object.fromEntries(
      session.agents.map(({ id, backend }) => [id, withoutSecrets(backend)]),
    ),
    turns: session.turns.map((turn) => turnView(turn, warningsOf.get(turn) ?? [], full)),
    warnings: session.warnings,
  };
}

/** The answer of a turn that was taken now. */
export function continueAnswer(planned: PlannedTurn, finished: FinishedTurn): ContinueAnswer {
  const { continuation } = planned;
  return {
    session: continuedSession(planned, finished.turn),
    agent: continuation.agent,
    model: continuation.model,
    text: finished.text,
    response: finished.response,
    conflicts: continuation.conflicts.map(conflictView),
    warnings: [...continuation.warnings, ...finished.warnings],
    usage: finished.response['usageMetadata'] ?? null,
  };
}

/** The answer of a turn that was taken before, under the same idempotency key. */
export function repeatedAnswer(repeated: RepeatedTurn): ContinueAnswer {
  return {
    session: continuedSession(repeated, repeated.turn),
    agent: repeated.agent,
    model: repeated.model,
    text: repeated.text,
    response: repeated.response,
    conflicts: [],
    warnings: [],
    usage: repeated.response['usageMetadata'] ?? null,
  };
}

/** What would be sent; `stream` as the call itself would have it. */
export function dryRunAnswer(planned: PlannedTurn, stream = false): DryRunAnswer {
  const { request, ...rest } = dryRunWithoutBody(planned, stream);
  const body: unknown = JSON.parse(Buffer.from(planned.body).toString());
  return { ...rest, request: { ...request, body } };
}

/**
 * The same as JSON, in pieces: a history of many megabytes goes into the answer as it is, without
 * being parsed and written anew.
 */
export function dryRunPieces(planned: PlannedTurn, stream: boolean): readonly Uint8Array[] {
  const { request, tokens_estimated, conflicts, warnings, ...first } = dryRunWithoutBody(
    planned,
    stream,
  );
  const head = `${JSON.stringify(first).slice(0, -1)},"request":${JSON.stringify(request).slice(0, -1)},"body":`;
  const tail = `},${JSON.stringify({ tokens_estimated, conflicts, warnings }).slice(1)}`;
  return [Buffer.from(head), planned.body, Buffer.from(tail)];
}

/**
 * Headers that name the session and the turn, flat. The name is as it stands in a URL, for headers
 * take nothing beyond Latin-1 and names have slashes and letters of any script.
 */
export function sessionHeaders(log: SessionLog, turn: number): string[] {
  const name = encodeURIComponent(log.name.replace(/\p{Surrogate}/gu, '\ufffd'));
  return ['x-headgate-session', name, 'x-headgate-turn', String(turn)];
}

function dryRunWithoutBody(planned: PlannedTurn, stream: boolean) {
  const { agent, model, tokensEstimated, conflicts, warnings } = planned.continuation;
  const resource = model.includes('/') ? model : `models/${model}`;
  const method = stream ? 'streamGenerateContent?alt=sse' : 'generateContent';
  return {
    session: continuedSession(planned, planned.turn),
    agent,
    model,
    request: { path: `/v1beta/${resource.split('/').map(encodeURIComponent).join('/')}:${method}` },
    tokens_estimated: tokensEstimated,
    conflicts: conflicts.map(conflictView),
    warnings,
  };
}

function continuedSession(
  { log, summary }: { readonly log: SessionLog; readonly summary: ConversationSummary },
  turn: number,
): ContinuedSessionView {
  return { log_dir: log.name, format: log.format, turn, summary };
}

/** A conflict about a secret is told without it. */
function conflictView({ key, used, ignored, message }: Conflict): Conflict {
  let shown = message;
  const view = <Side extends Conflict['ignored']>(side: Side): Side => {
    if (!isSecret(key, side.value)) return { ...side, value: withoutSecrets(side.value) };
    for (const value of [side.value, JSON.stringify(side.value)]) {
      if (typeof value === 'string' && value !== '') shown = shown.replaceAll(value, REDACTED);
    }
    return { ...side, value: REDACTED };
  };
  const sides = { used: used === null ? null : view(used), ignored: view(ignored) };
  return { key, ...sides, message: textWithoutKeys(shown) };
}

/** Those of the preserved configuration, then those of which only the name is known. */
function agentsOf({ agents, agentIds }: Session): SessionAgentView[] {
  const known = new Set(agents.map(({ id }) => id));
  return [
    ...agents.map(({ id, type, model, systemMessage }) => ({
      id,
      type,
      model,
      system_message: systemMessage === null ? null : textWithoutKeys(systemMessage),
    })),
    ...agentIds
      .filter((id) => !known.has(id))
      .map((id) => ({ id, type: null, model: null, system_message: null })),
  ];
}

function turnView(turn: Turn, warnings: readonly SessionWarning[], full: boolean): TurnView {
  const { number, question, answer, answered, winner } = turn;
  const isCut = (text: string | null) => !full && text !== null && text.length > TEXT_CHARS_MAX;
  return {
    number,
    question: isCut(question) ? cut(question) : question,
    ...(isCut(question) && { question_cut: true }),
    answer: isCut(answer) ? cut(answer) : answer,
    ...(isCut(answer) && { answer_cut: true }),
    answered,
    winner,
    warnings,
  };
}

/** Never between the halves of a surrogate pair. */
function cut(text: string | null): string {
  return (text ?? '').slice(0, TEXT_CHARS_MAX).replace(/[\ud800-\udbff]$/, '');
}

function instantOf(ms: number): string | null {
  return Math.abs(ms) <= INSTANT_MS_MAX ? new Date(ms).toISOString() : null;
}
