import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { openConfined } from '../../src/sessions/confined-directory.ts';
import { readSession } from '../../src/sessions/read-session.ts';
import { logFilesIn } from '../../src/sessions/readers/readers.ts';
import { sessionStoreReader } from '../../src/sessions/readers/session-store.ts';
import type { Session, SessionLog } from '../../src/sessions/session.ts';
import { keyOf } from '../../src/sessions/archive/session-index.ts';
import { recoverTurns, writeTurn } from '../../src/sessions/writing/turn-writer.ts';
import {
  fingerprints,
  ids,
  intentsAt,
  newTurn,
  SAMPLE_LOGS,
  stopping,
  type Stop,
} from '../support/written-turns.ts';

const CHILD = fileURLToPath(new URL('../support/killed-writer.ts', import.meta.url));
/** More operations than any turn takes. */
const NEVER = 1_000;

class Stopped extends Error {}

function stopped(): never {
  throw new Stopped('the process is gone');
}

/** A fresh copy of a sample and of an empty database in a directory of their own. */
function stage(t: Test, name: string): { log: SessionLog; database: string; top: string } {
  const top = join(t.testdir(), 'top');
  mkdirSync(top, { recursive: true });
  const make = SAMPLE_LOGS[name];
  if (make === undefined) throw new Error(`there is no sample ${name}`);
  return { log: make(top), database: join(t.testdirName, 'headgate.db'), top };
}

/** Writes and is stopped, as a process of its own; the number of operations it began. */
function writeAndStop(log: SessionLog, database: string, stop: Stop): number {
  const intents = intentsAt(database);
  const process = stopping(intents, stop);
  try {
    const options = { write: 'in_place', newId: ids(), ...process } as const;
    writeTurn(log, readSession(log), newTurn(), options);
  } catch {
    // As a process that is gone tells nobody.
  } finally {
    intents.close();
  }
  return process.operations();
}

/** Recovers and is stopped, too; true when it came to its end. */
function recoverAndStop(log: SessionLog, database: string, stop: Stop): boolean {
  const intents = intentsAt(database);
  const process = stopping(intents, stop);
  try {
    recoverTurns(keyOf(log), process.intents, process.files);
  } catch {
    // As above.
  } finally {
    intents.close();
  }
  return process.operations() <= stop.at;
}

/** Of a chat, the file that it goes on in, if there is one. */
function newest(log: SessionLog): SessionLog {
  if (log.file === null) return log;
  const files = logFilesIn(openConfined(log.directory));
  return { ...log, file: files.find((file) => file !== log.file) ?? log.file };
}

/** Whether the new turn is there; it and nothing else may have been added. */
function outcome(
  t: Test,
  log: SessionLog,
  before: Session,
  old: { readonly top: string; readonly files: ReadonlyMap<string, string> },
): boolean {
  const after = readSession(newest(log));
  const added = after.turns.slice(before.turns.length);
  const isThere = added.length > 0;
  t.ok(added.length <= 1, 'one turn or none');
  const texts = ({ turns }: Session): unknown =>
    turns.map((turn) => [turn.number, turn.question, turn.answer, turn.winner]);
  const { question, answer } = newTurn();
  t.strictSame(
    texts({ ...after, turns: after.turns.slice(0, before.turns.length) }),
    texts(before),
    'the old turns',
  );
  if (isThere) {
    t.equal(added[0]?.question, question);
    t.equal(added[0]?.answer?.trim(), answer.trim());
    t.equal(added[0]?.answered, true);
  }
  t.equal(after.nextTurn, before.nextTurn + (isThere ? 1 : 0), 'no number is lost');
  if (log.store !== null) {
    const stored = sessionStoreReader.read(openConfined(log.store));
    t.equal(stored.turns.at(-1)?.question === question, isThere, 'in the store as in the log');
    t.equal(stored.turns.at(-1)?.answer === answer, isThere);
  }
  const now = fingerprints(old.top);
  for (const [path, hash] of old.files) if (now.get(path) !== hash) t.fail(`${path} was changed`);
  if (!isThere) t.equal(now.size, old.files.size, 'nothing is left behind');
  t.notOk(
    [...now.keys()].some((path) => path.includes('.headgate-')),
    'nothing temporary is left',
  );
  return isThere;
}

for (const name of Object.keys(SAMPLE_LOGS)) {
  t.test(`${name} has the whole turn or none wherever its writer stops`, async (t) => {
    const whole = stage(t, name);
    const total = writeAndStop(whole.log, whole.database, { at: NEVER, die: stopped });
    t.ok(total >= 8, `${total} operations`);
    const seen = new Set<boolean>();
    for (let at = 0; at <= total; at++) {
      for (const torn of [false, true]) {
        const { log, database, top } = stage(t, name);
        const before = readSession(log);
        const old = { top, files: fingerprints(top) };
        writeAndStop(log, database, { at, torn, die: stopped });
        recoverAndStop(log, database, { at: NEVER, die: stopped });
        seen.add(outcome(t, log, before, old));
        const intents = intentsAt(database);
        t.notOk(intents.has(keyOf(log)), 'nothing is on its way any more');
        intents.close();
      }
    }
    t.strictSame(seen, new Set([false, true]));
  });
}

t.test('recovery may be stopped as often as it likes', async (t) => {
  const name = 'a log of turns with its session store';
  const { log, database, top } = stage(t, name);
  const total = writeAndStop(log, database, { at: NEVER, die: stopped });
  for (let at = 0; at <= total; at += 2) {
    let isWhole = false;
    for (let again = 0; !isWhole; again++) {
      const { log, database } = stage(t, name);
      const before = readSession(log);
      const old = { top, files: fingerprints(top) };
      writeAndStop(log, database, { at, die: stopped });
      isWhole = recoverAndStop(log, database, { at: again, die: stopped });
      recoverAndStop(log, database, { at: NEVER, die: stopped });
      outcome(t, log, before, old);
    }
  }
});

t.test('a turn can be taken again after its writer was killed', async (t) => {
  const name = 'a log of turns with its session store';
  const whole = stage(t, name);
  const total = writeAndStop(whole.log, whole.database, { at: NEVER, die: stopped });
  for (const at of [5, total - 3, total - 1]) {
    const { log, database, top } = stage(t, name);
    const before = readSession(log);
    const old = { top, files: fingerprints(top) };
    const { status, signal, stderr } = spawnSync(
      process.execPath,
      [...process.execArgv, CHILD, JSON.stringify({ log, database, at })],
      { encoding: 'utf8', env: { ...process.env, TS_NODE_TRANSPILE_ONLY: '1' } },
    );
    t.strictSame([status, signal], [null, 'SIGKILL'], stderr);
    recoverAndStop(log, database, { at: NEVER, die: stopped });
    const isThere = outcome(t, log, before, old);
    t.equal(isThere, at >= total - 3, `stopped at ${at} of ${total}`);
    writeAndStop(log, database, { at: NEVER, die: stopped });
    t.equal(readSession(log).turns.length, before.turns.length + (isThere ? 2 : 1));
  }
});
