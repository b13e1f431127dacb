import type { ConfinedDirectory, Session, SessionAgent, SessionReader, Turn } from '../session.ts';
import { idOf } from './massgen-events.ts';
import { withKeptContents } from '../writing/layouts/kept-turn.ts';
import { fieldsOf, type Fields, LogFiles, textOf } from './massgen-files.ts';
import { massgenReader } from './massgen.ts';
import { turnNames, turnNumberOf, TURNS_LOOKED_INTO, warnOfGaps } from './turn-numbers.ts';

const METADATA = 'metadata.json';
const ANSWER = 'answer.txt';
const SUMMARY = 'SESSION_SUMMARY.txt';

/** What one `turn_N` tells. */
interface StoredTurn {
  readonly turn: Turn;
  readonly sessionId: string | null;
  readonly writtenAtMs: number | null;
  /** Model by agent id; recorded from about 0.1.22 on. */
  readonly models: Fields;
}

/**
 * MassGen's session store, `session_*` with a `turn_N` for each turn that was answered, and in later
 * versions for each that was cancelled. It has no configuration. A log directory is never claimed:
 * MassGen keeps both of one session, and the log tells more.
 */
export const sessionStoreReader: SessionReader = {
  format: 'massgen-session-store',
  claims: (directory, file) =>
    file === undefined && hasStoredTurn(directory) && !massgenReader.claims(directory),
  read: (directory) => readStore(directory),
};

function hasStoredTurn(directory: ConfinedDirectory): boolean {
  const files = new LogFiles(directory);
  const summary = files.has('.', SUMMARY);
  return turnNames(files)
    .slice(0, TURNS_LOOKED_INTO)
    .some((name) => files.has(name, METADATA) || (summary && files.has(name, ANSWER)));
}

function readStore(directory: ConfinedDirectory): Session {
  const files = new LogFiles(directory);
  const names = turnNames(files);
  const stored = names.map((name) => readStoredTurn(files, name));
  const turns = stored.map((one) => one.turn);
  warnOfGaps(files, turns);
  const agents = agentsOf(stored);
  const ids = new Set(agents.map((agent) => agent.id));
  for (const { winner } of turns) if (winner !== null) ids.add(winner);
  const times = stored.map((one) => one.writtenAtMs).filter((time) => time !== null);
  return {
    format: sessionStoreReader.format,
    sessionId:
      stored.findLast((one) => one.sessionId !== null)?.sessionId ?? idOfPath(directory.path),
    turns,
    nextTurn: Math.max(0, ...names.map(turnNumberOf)) + 1,
    agents,
    agentIds: [...ids].toSorted(),
    updatedAtMs: times.length > 0 ? Math.max(...times) : null,
    toolVersion: null,
    warnings: files.warnings,
  };
}

function readStoredTurn(files: LogFiles, name: string): StoredTurn {
  const path = `${name}/${METADATA}`;
  const number = turnNumberOf(name);
  const metadata = files.json(name, METADATA) ?? {};
  if (!files.has(name, METADATA)) files.warn(path, 'is missing, and the question with it');
  else if (metadata['turn'] !== undefined && metadata['turn'] !== number) {
    files.warn(path, 'names another turn than its directory');
  }
  const question = textOf(metadata['task']);
  if (question === null && typeof metadata['task'] === 'string') {
    files.warn(path, 'its question is empty');
  }
  const answer = readStoredAnswer(files, name);
  const cancelled = answer?.partial === true || metadata['status'] === 'incomplete';
  if (cancelled) files.warn(path, 'the turn was cancelled before its answer was complete');
  const text = answer?.text ?? null;
  return {
    turn: withKeptContents(files, {
      number,
      question,
      answer: text,
      answered: text !== null && !cancelled,
      winner: idOf(metadata['winning_agent']),
      questionSource: question === null ? null : path,
      answerSource: text === null ? null : `${name}/${ANSWER}`,
      encoding: answer === null ? null : answer.encoding,
      degraded: text !== null && cancelled,
      directory: name,
    }),
    sessionId: textOf(metadata['session_id']),
    writtenAtMs: localTimeMs(metadata['timestamp']),
    models: fieldsOf(metadata['models']) ?? {},
  };
}

function readStoredAnswer(
  files: LogFiles,
  name: string,
): { readonly text: string; readonly encoding: string; readonly partial: boolean } | null {
  const path = `${name}/${ANSWER}`;
  if (!files.has(name, ANSWER)) files.warn(path, 'is missing');
  const file = files.text(name, ANSWER);
  if (file === null) return null;
  const partial = file.text.startsWith('[PARTIAL ANSWER');
  const text = partial ? withoutHeader(file.text) : file.text;
  if (file.cut) files.warn(path, 'is too long and was not read');
  else if (text.trim() === '') files.warn(path, 'is empty');
  else return { text, encoding: file.encoding, partial };
  return null;
}

/** Lines in brackets that say why the turn ended, a ruler, and an empty line. */
function withoutHeader(text: string): string {
  return text.replace(/^(?:\[[^\n]*\n){1,4}={20,}(?:\n+|$)/, '').replace(/^\[PARTIAL[^\n]*\n?/, '');
}

/** The newest record of models counts; the backend's type is not on record. */
function agentsOf(stored: readonly StoredTurn[]): SessionAgent[] {
  const models = stored.findLast((one) => Object.keys(one.models).length > 0)?.models ?? {};
  return Object.entries(models).map(([id, value]) => {
    const model = textOf(value);
    const backend = model === null ? {} : { model };
    return { id, type: null, model, systemMessage: null, backend };
  });
}

/**
 * The ISO times have no zone: they are of the machine that wrote them, which is most likely this one.
 * Null for anything that is no time.
 */
export function localTimeMs(value: unknown): number | null {
  const text = textOf(value);
  if (text === null || !/^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(text)) return null;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? null : ms;
}

function idOfPath(path: string): string | null {
  return /[/\\](session_[^/\\]+)$/.exec(path)?.[1] ?? null;
}
