import { dirname, join } from 'node:path';
import { ProxyError } from '../../errors.ts';
import type { NewTurn, TakenTurn } from '../contracts.ts';
import type { TurnIntents, TurnMove } from './intents.ts';
import { geminiCliLayout } from './layouts/gemini-cli.ts';
import { massgenLayout } from './layouts/massgen.ts';
import { sessionStoreLayout } from './layouts/session-store.ts';
import type { TurnLayout, TurnPiece, TurnPlan } from './layouts/turn-layout.ts';
import {
  appendTurn,
  RECORD_FILE,
  takenTurnIn,
  type AppendTurnHeader,
} from '../recording/recording.ts';
import type { Session, SessionLog, SessionWarning } from '../session.ts';
import { keyOf } from '../archive/session-index.ts';
import { errorCode, turnFiles, type TurnFiles } from './turn-files.ts';
import { exists, finishMoves, moveInto, undoMoves } from './turn-writer-moves.ts';

export interface WriteOptions {
  /** `beside`: the directories of other tools are left as they are. */
  readonly write: 'in_place' | 'beside';
  readonly intents: TurnIntents;
  /** Ids that were never used before, good as part of a file name. */
  readonly newId: () => string;
  /** Default the file system. */
  readonly files?: TurnFiles;
}

export interface WrittenTurn {
  readonly number: number;
  readonly where: 'in_place' | 'beside';
  /** Absolute: the new directory, the new file, or the record that the turn was appended to. */
  readonly directory: string;
  readonly warnings: readonly SessionWarning[];
}

const LAYOUTS: ReadonlyMap<string, TurnLayout> = new Map([
  ['massgen', massgenLayout],
  ['massgen-session-store', sessionStoreLayout],
  ['gemini-cli', geminiCliLayout],
]);

/** Numbers that are tried when other programs take them at the same time. */
const TRIES_MAX = 20;

/** Errors that say that we may not write here, rather than that writing went wrong. */
const FORBIDDEN: ReadonlySet<string> = new Set(['EROFS', 'EACCES', 'EPERM']);

/**
 * Writes a turn into its log, in the layout of the log's own format, or where that cannot be into
 * headgate's record beside it, with a warning. No file that exists is changed, and whenever the
 * process dies the turn is there whole or not at all, after `recoverTurns`:
 *
 *   intent prepared ─▶ empty turn_N made, the claim of the number ─▶ everything written to
 *   .headgate-<id> in the same directory, and synced ─▶ intent decided ─▶ renamed ─▶ intent removed
 *
 * The caller holds the claim of the log. Throws TURN_NOT_WRITTEN with the path in `where`, and leaves
 * nothing behind.
 */
export function writeTurn(
  log: SessionLog,
  session: Session,
  turn: NewTurn,
  options: WriteOptions,
): WrittenTurn {
  if (log.format === 'headgate') {
    return append(log.directory, session, turn, { where: 'in_place', warnings: [] });
  }
  const layout = LAYOUTS.get(log.format);
  const written =
    whyBeside(log, options) ??
    (layout === undefined
      ? `logs of the format ${log.format} take no further turn`
      : new InPlaceWriter(log, session, turn, layout, options).write());
  if (typeof written !== 'string') return written;
  const message = `the new turn is not in the log but in headgate's own record ${log.beside}: ${written}`;
  const path = log.file === null ? log.directory : join(log.directory, log.file);
  const as = { where: 'beside', warnings: [{ file: '.', message }] } as const;
  return append(log.beside, session, turn, as, { continues: { path, format: log.format } });
}

/**
 * Puts right what a writer that died has left in a log: finishes what was decided, removes the rest.
 * The caller holds the claim of the log, and `log` is its key. What cannot be put right now, because
 * the log cannot be written any more, stays for the next time.
 */
export function recoverTurns(
  log: string,
  intents: TurnIntents,
  files: TurnFiles = turnFiles,
): void {
  for (const intent of intents.of(log)) {
    try {
      if (intent.state === 'decided') finishMoves(files, intents, intent);
      else undoMoves(files, intents, intent);
    } catch (error) {
      const stays = error instanceof ProxyError && error.reason === 'TURN_NOT_WRITTEN';
      if (!stays && errorCode(error) === '') throw error;
    }
  }
}

/** The turn that was taken under an idempotency key, wherever it was written; null where none was. */
export function findTakenTurn(log: SessionLog, idempotencyKey: string): TakenTurn | null {
  return (
    (log.format === 'headgate'
      ? takenTurnIn(log.directory, idempotencyKey)
      : (LAYOUTS.get(log.format)?.taken(log, idempotencyKey) ?? null)) ??
    takenTurnIn(log.beside, idempotencyKey)
  );
}

/** Turns of one session stay in one place once some are beside it: their order would be lost. */
function whyBeside(log: SessionLog, { write }: WriteOptions): string | null {
  if (write === 'beside') return 'sessions.write is "beside"';
  if (!exists(join(log.beside, RECORD_FILE))) return null;
  return 'earlier turns of this session are there too';
}

/** One turn on its way into the directories of another tool. */
class InPlaceWriter {
  readonly #log: SessionLog;
  readonly #session: Session;
  readonly #turn: NewTurn;
  readonly #layout: TurnLayout;
  readonly #files: TurnFiles;
  readonly #options: WriteOptions;

  constructor(
    log: SessionLog,
    session: Session,
    turn: NewTurn,
    layout: TurnLayout,
    options: WriteOptions,
  ) {
    this.#log = log;
    this.#session = session;
    this.#turn = turn;
    this.#layout = layout;
    this.#files = options.files ?? turnFiles;
    this.#options = options;
  }

  /** A text says why the log cannot take the turn. */
  write(): WrittenTurn | string {
    const { newId } = this.#options;
    const fixed = { log: this.#log, session: this.#session, turn: this.#turn, newId };
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      let plan: TurnPlan | string;
      try {
        plan = this.#layout.plan({ ...fixed, tries });
      } catch (error) {
        throw notWritten(this.#log.directory, error);
      }
      const written = typeof plan === 'string' ? plan : this.#writePlan(plan);
      if (written !== null) return written;
    }
    throw notWritten(this.#log.directory, new Error(`${TRIES_MAX} turn numbers were taken`));
  }

  /** Null when another program has taken the name. */
  #writePlan(plan: TurnPlan): WrittenTurn | string | null {
    const { intents, newId } = this.#options;
    const id = newId();
    const moves = plan.pieces.map(({ parent, name }) => ({
      from: join(parent, `.headgate-${id}`),
      to: join(parent, name),
    }));
    const claimed: TurnMove[] = [];
    let at = this.#log.directory;
    try {
      intents.prepare({ id, log: keyOf(this.#log), moves });
      for (const [index, move] of moves.entries()) {
        at = move.to;
        const refused = this.#claim(plan.pieces[index], move, claimed);
        if (refused === null) continue;
        return this.#undone({ id, moves }, claimed, refused === 'taken' ? null : refused);
      }
      for (const [index, move] of moves.entries()) {
        at = move.to;
        this.#writePiece(plan.pieces[index], move.from);
      }
      at = this.#log.directory;
      if (!intents.decide(id)) throw new Error('another process took this one for dead');
      const [first] = moves;
      if (first !== undefined && moveInto(this.#files, first) === null) {
        return this.#undone({ id, moves }, claimed, null);
      }
    } catch (error) {
      this.#giveUp({ id, moves }, claimed);
      throw notWritten(at, error);
    }
    return this.#finish(plan, { id, moves });
  }

  /** From here on the turn is in the log, whatever happens. */
  #finish(
    plan: TurnPlan,
    intent: { readonly id: string; readonly moves: readonly TurnMove[] },
  ): WrittenTurn {
    const { number } = plan;
    const directory = intent.moves[0]?.to ?? this.#log.directory;
    const warnings = [...plan.warnings];
    try {
      finishMoves(this.#files, this.#options.intents, intent);
    } catch (error) {
      if (!(error instanceof ProxyError) && errorCode(error) === '') throw error;
      const message = `turn ${number} is in the log; the rest follows when it is next read (${said(error)})`;
      warnings.push({ file: '.', message });
    }
    return { number, where: 'in_place', directory, warnings };
  }

  /** Null when it is ours; else "taken", or why we may not write here. */
  #claim(piece: TurnPiece | undefined, move: TurnMove, claimed: TurnMove[]): string | null {
    try {
      if (piece?.files.has('') === true) this.#files.writeFile(move.to, new Uint8Array());
      else this.#files.makeDirectory(move.to);
      claimed.push(move);
      return null;
    } catch (error) {
      const code = errorCode(error);
      if (code === 'EEXIST') return 'taken';
      if (FORBIDDEN.has(code)) return `${dirname(move.to)} cannot be written (${code})`;
      // Made, perhaps, and not brought to the disk.
      claimed.push(move);
      throw error;
    }
  }

  #writePiece(piece: TurnPiece | undefined, path: string): void {
    const entries = [...(piece?.files ?? [])];
    const whole = piece?.files.get('');
    if (whole !== undefined) {
      this.#files.writeFile(path, whole);
    } else {
      this.#files.makeDirectory(path);
      const inner = new Set(entries.flatMap(([file]) => directoriesAbove(file)));
      for (const directory of inner) this.#files.makeDirectory(join(path, directory));
      for (const [file, bytes] of entries) this.#files.writeFile(join(path, file), bytes);
      for (const directory of [...inner].toReversed()) {
        this.#files.syncDirectory(join(path, directory));
      }
      this.#files.syncDirectory(path);
    }
    this.#files.syncDirectory(dirname(path));
  }

  #undone<T>(
    intent: { readonly id: string; readonly moves: readonly TurnMove[] },
    claimed: readonly TurnMove[],
    result: T,
  ): T {
    undoMoves(this.#files, this.#options.intents, intent, claimed);
    return result;
  }

  /** What goes wrong here leaves the intent, and with it the next one to remove the rest. */
  #giveUp(
    intent: { readonly id: string; readonly moves: readonly TurnMove[] },
    claimed: readonly TurnMove[],
  ): void {
    try {
      undoMoves(this.#files, this.#options.intents, intent, claimed);
    } catch {
      // The error that led here says more.
    }
  }
}

/** `final`, `final/a` of `final/a/answer.txt`. */
function directoriesAbove(file: string): string[] {
  const segments = file.split('/').slice(0, -1);
  return segments.map((_, index) => segments.slice(0, index + 1).join('/'));
}

function append(
  directory: string,
  session: Session,
  turn: NewTurn,
  as: Pick<WrittenTurn, 'where' | 'warnings'>,
  header: AppendTurnHeader = {},
): WrittenTurn {
  const number = session.nextTurn;
  try {
    appendTurn(directory, turn, number, header);
  } catch (error) {
    throw notWritten(directory, error);
  }
  return { number, directory, ...as };
}

function notWritten(path: string, cause: unknown): ProxyError {
  if (cause instanceof ProxyError && cause.reason === 'TURN_NOT_WRITTEN') return cause;
  const code = errorCode(cause);
  const advice =
    code === 'ENOSPC' || code === 'EDQUOT'
      ? 'Free some space, then send the message again'
      : 'Check that the directory is there and can be written, then send the message again';
  return new ProxyError(
    'TURN_NOT_WRITTEN',
    `The model has answered, but the turn could not be written to ${path} (${said(cause)}). ${advice}.`,
    { where: path, cause },
  );
}

function said(error: unknown): string {
  return errorCode(error) || (error instanceof Error ? error.message : String(error));
}
