import { relative, sep } from 'node:path';
import { ProxyError } from '../errors.ts';
import { openConfined } from './confined-directory.ts';
import { fieldsOf, parseObject, textOf } from './readers/massgen-files.ts';
import { massgenSessionId } from './readers/massgen.ts';
import { readerFor, readerOfFormat } from './readers/readers.ts';
import { appendRecord } from './recording/record-append.ts';
import type { ConfinedDirectory, Session, SessionLog } from './session.ts';
import { mergeStore } from './store-merge.ts';

/**
 * Everything that is known of a session: its log, what its session store has and the log has not, and
 * the turns that headgate keeps beside a log. Sources and warnings are relative to the log directory.
 *
 * @throws ProxyError NOT_FOUND when the directory is gone, SESSION_UNREADABLE when it is no log of any
 * known format. Nothing else that is on the disk makes it fail.
 */
export function readSession(log: SessionLog): Session {
  const directory = openConfined(log.directory);
  const file = log.file ?? undefined;
  const reader = readerFor(directory, file) ?? readerOfFormat(log.format);
  if (reader === null) {
    throw new ProxyError(
      'SESSION_UNREADABLE',
      'This is no session log of a known format. GET /sessions lists what can be read.',
      { where: log.name },
    );
  }
  const session = withStore(reader.read(directory, file), log, directory);
  return withRecord(session, log, directory);
}

/** The id that a log tells by itself, without its session store; null where it tells none. */
export function sessionIdOf(log: ConfinedDirectory): string | null {
  return massgenSessionId(log);
}

/**
 * MassGen's registry, `~/.massgen/sessions.json`: session id by name of the log directory. It is global
 * and written without a lock, so that damaged JSON is an empty one; of several entries for one log
 * the newest counts.
 */
export function readRegistry(text: string): ReadonlyMap<string, string> {
  const sessions = parseObject(text)?.['sessions'];
  const newest = new Map<string, { readonly id: string; readonly startTime: string }>();
  for (const entry of Array.isArray(sessions) ? sessions : []) {
    const fields = fieldsOf(entry);
    const name = textOf(fields?.['log_directory']);
    const id = textOf(fields?.['session_id']);
    if (name === null || id === null) continue;
    // ISO times without a zone, all of one machine: they compare as texts.
    const startTime = textOf(fields?.['start_time']) ?? '';
    const known = newest.get(name);
    if (known === undefined || startTime >= known.startTime) newest.set(name, { id, startTime });
  }
  return new Map([...newest].map(([name, { id }]) => [name, id]));
}

function withStore(session: Session, log: SessionLog, directory: ConfinedDirectory): Session {
  const path = log.store;
  if (path === null || path === directory.path) return session;
  const store = open(path);
  const reader = store === null ? null : readerOfFormat('massgen-session-store');
  const place = placeOf(directory, store?.path ?? path);
  if (store === null || reader === null) {
    const warning = { file: place, message: 'the session store cannot be opened' };
    return { ...session, warnings: [...session.warnings, warning] };
  }
  return mergeStore(session, reader.read(store), place);
}

function withRecord(session: Session, log: SessionLog, directory: ConfinedDirectory): Session {
  const beside = open(log.beside);
  const reader = beside === null ? null : readerFor(beside);
  if (beside === null || beside.path === directory.path || reader?.format !== 'headgate') {
    return session;
  }
  return appendRecord(session, reader.read(beside), placeOf(directory, beside.path));
}

function open(path: string): ConfinedDirectory | null {
  try {
    return openConfined(path);
  } catch {
    return null;
  }
}

function placeOf(directory: ConfinedDirectory, path: string): string {
  return relative(directory.path, path).replaceAll(sep, '/') || '.';
}
