import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { ProxyError } from '../../src/errors.ts';
import { readSession } from '../../src/sessions/read-session.ts';
import type { NewTurn } from '../../src/sessions/contracts.ts';
import type { SessionLog } from '../../src/sessions/session.ts';
import { keyOf } from '../../src/sessions/archive/session-index.ts';
import { turnFiles } from '../../src/sessions/writing/turn-files.ts';
import {
  findTakenTurn,
  recoverTurns,
  writeTurn,
  type WriteOptions,
  type WrittenTurn,
} from '../../src/sessions/writing/turn-writer.ts';
import {
  fingerprints,
  ids,
  intentsAt,
  logAt,
  newTurn,
  SAMPLE_LOGS,
} from '../support/written-turns.ts';
import { expectedLogs, LOGS, NO_LOGS } from '../support/recorded-logs.ts';

function sample(t: Test, name: string): SessionLog {
  const make = SAMPLE_LOGS[name];
  const top = join(t.testdir(), 'top');
  mkdirSync(top);
  if (make === undefined) throw new Error(`there is no sample ${name}`);
  return make(top);
}

const FULL = 'a log of turns with its session store';

function optionsFor(t: Test, more: Partial<WriteOptions> = {}): WriteOptions {
  const intents = intentsAt(':memory:');
  t.teardown(() => intents.close());
  return { write: 'in_place', intents, newId: ids(), ...more };
}

function write(log: SessionLog, turn: NewTurn, options: WriteOptions): WrittenTurn {
  return writeTurn(log, readSession(log), turn, options);
}

/** What was thrown; null where nothing was. */
function thrownBy(run: () => unknown): unknown {
  try {
    run();
    return null;
  } catch (error) {
    return error;
  }
}

/** What MassGen itself restores a session from, by its own rules: the store alone. */
function restoredByMassgen(store: string): { role: string; content: string }[] {
  const numbers = readdirSync(store)
    .flatMap((name) => /^turn_(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .toSorted((a, b) => a - b);
  return numbers.flatMap((number) => {
    const turn = join(store, `turn_${number}`);
    const metadata: { task: string } = JSON.parse(
      readFileSync(join(turn, 'metadata.json'), 'utf8'),
    );
    return [
      { role: 'user', content: metadata.task },
      { role: 'assistant', content: readFileSync(join(turn, 'answer.txt'), 'utf8') },
    ];
  });
}

function unchanged(t: Test, directory: string, before: ReadonlyMap<string, string>): string[] {
  const after = fingerprints(directory);
  for (const [path, hash] of before) if (after.get(path) !== hash) t.fail(`${path} was changed`);
  return [...after.keys()].filter((path) => !before.has(path));
}

t.test('every resumable log takes two turns and reads back with them', { skip: NO_LOGS }, (t) => {
  const resumable = expectedLogs().filter(([, log]) => log.resumable);
  t.ok(resumable.length >= 15, `${resumable.length} logs`);
  for (const [path, { entry, session_dir: sessionDirectory }] of resumable) {
    t.test(`${entry} goes on`, async (t) => {
      const top = realpathSync(t.testdir());
      cpSync(join(LOGS, entry), join(top, entry), { recursive: true, verbatimSymlinks: true });
      const store = sessionDirectory === null ? null : join(top, entry, sessionDirectory);
      const log = logAt(join(top, path), { store, beside: join(top, 'beside') });
      const old = fingerprints(join(top, entry));
      const before = readSession(log);
      const agent = before.agentIds.at(-1) ?? 'agent_a';
      const agentConfig = { ...newTurn().agentConfig, id: agent };
      const turns = [newTurn({ agentConfig }), newTurn({ agentConfig }, 1)];
      const options = optionsFor(t);
      const written = turns.map((turn) => write(log, turn, options));
      const after = readSession(log);
      const next = before.nextTurn;
      t.strictSame(
        written.map(({ number, where, warnings }) => [number, where, warnings]),
        [0, 1].map((index) => [next + index, 'in_place', []]),
      );
      t.strictSame(after.turns.slice(0, -2), before.turns, 'the old turns are as they were');
      t.strictSame(
        after.turns.slice(-2).map(({ number, question, answer, winner, answered, degraded }) => ({
          number,
          question,
          answer,
          winner,
          answered,
          degraded,
        })),
        turns.map(({ question, answer }, index) => ({
          number: next + index,
          question,
          answer,
          winner: agent,
          answered: true,
          degraded: false,
        })),
      );
      t.equal(after.nextTurn, next + 2);
      t.strictSame(
        // A turn that failed is not in the store, which shows once there is one after it.
        after.warnings.filter(({ message }) => message !== 'turn 2 is missing'),
        // The new turns tell at least who answered.
        before.warnings.filter(({ message }) => !message.startsWith('no configuration')),
        'there is nothing to warn of in them',
      );
      t.equal(after.sessionId, before.sessionId);
      t.equal(after.toolVersion, before.toolVersion);
      t.equal(after.updatedAtMs, turns[1]?.endedAtMs);
      t.strictSame([...after.agentIds].toSorted(), [...before.agentIds].toSorted());
      for (const { id, model } of before.agents.filter((one) => one.id !== agent)) {
        t.equal(after.agents.find((one) => one.id === id)?.model, model, 'other agents stay');
      }
      t.equal(after.agents.find(({ id }) => id === agent)?.model, 'gemini-2.5-pro');
      const added = unchanged(t, join(top, entry), old);
      t.ok(
        added.every((file) => /(?:^|\/)turn_\d+(?:\/|$)/.test(file)),
        'only turns are added',
      );
      if (store !== null) {
        const restored = restoredByMassgen(store);
        t.strictSame(
          restored.slice(-4),
          turns.flatMap(({ question, answer }) => [
            { role: 'user', content: question },
            { role: 'assistant', content: answer },
          ]),
          'MassGen restores them, too',
        );
      }
    });
  }
  t.end();
});

for (const name of Object.keys(SAMPLE_LOGS)) {
  t.test(`${name} takes a turn that is found again by its key`, async (t) => {
    const log = sample(t, name);
    const options = optionsFor(t);
    const before = readSession(log);
    const turns = [newTurn({ idempotencyKey: 'key "é"' }), newTurn({ idempotencyKey: 'k2' }, 1)];
    const [first, second] = turns.map((turn) => write(log, turn, options));
    t.match(first, { number: before.nextTurn, where: 'in_place', warnings: [] });
    t.ok(existsSync(first?.directory ?? ''), 'it is where it is said to be');
    t.not(first?.directory, second?.directory);
    for (const [index, key] of ['key "é"', 'k2'].entries()) {
      const { question, contents, answer, model, response } = turns[index] ?? newTurn();
      const number = log.file === null ? before.nextTurn + index : before.nextTurn;
      const agent = 'agent_a';
      t.strictSame(findTakenTurn(log, key), {
        number,
        question,
        contents,
        answer,
        agent,
        model,
        response,
      });
    }
    t.equal(findTakenTurn(log, 'key'), null);
    t.equal(findTakenTurn(log, ''), null);
  });
}

t.test('what is told to be written beside leaves the log alone and is found there', async (t) => {
  const log = sample(t, FULL);
  const old = fingerprints(dirname(dirname(log.directory)));
  const turn = newTurn({ idempotencyKey: 'k' });
  const written = write(log, turn, optionsFor(t, { write: 'beside' }));
  t.match(written, { number: 3, where: 'beside', directory: log.beside });
  t.match(written.warnings, [{ file: '.', message: /headgate's own record .*sessions\.write/ }]);
  const next = write(log, newTurn({}, 1), optionsFor(t));
  t.match(next, { number: 4, where: 'beside', warnings: [{ message: /earlier turns/ }] });
  t.match(findTakenTurn(log, 'k'), { number: 3, question: turn.question, answer: turn.answer });
  t.match(readSession(log).turns.slice(2), [
    { number: 3, question: turn.question, answer: turn.answer, answered: true },
    { number: 4, question: newTurn({}, 1).question },
  ]);
  const added = unchanged(t, dirname(dirname(log.directory)), old);
  t.ok(added.every((path) => path.includes('-beside')));
});

t.test('a log that cannot be written has its turn beside it', async (t) => {
  for (const code of ['EROFS', 'EACCES', 'EPERM']) {
    for (const where of ['turn_', 'sessions/']) {
      const log = sample(t, FULL);
      const old = fingerprints(log.directory);
      const makeDirectory = (path: string): void => {
        if (path.includes(where)) throw Object.assign(new Error(code), { code });
        turnFiles.makeDirectory(path);
      };
      const options = optionsFor(t, { files: { ...turnFiles, makeDirectory } });
      const written = write(log, newTurn(), options);
      t.match(written, { number: 3, where: 'beside' });
      t.match(written.warnings, [{ message: new RegExp(`cannot be written \\(${code}\\)`) }]);
      t.strictSame(fingerprints(log.directory), old, 'of which nothing is left in the log');
      t.notOk(options.intents.has(keyOf(log)));
    }
  }
});

t.test('a full disk or any other error leaves nothing behind, and says where', async (t) => {
  const codes = ['ENOSPC', 'EIO', 'EDQUOT'];
  for (const name of Object.keys(SAMPLE_LOGS)) {
    for (const [at, code] of codes.flatMap((one) => [1, 2, 3].map((n) => [n, one] as const))) {
      const log = sample(t, name);
      const old = fingerprints(log.directory);
      let left: number = log.file === null ? at : Math.min(at, 2);
      const writeFile = (path: string, bytes: Uint8Array): void => {
        turnFiles.writeFile(path, bytes.subarray(0, bytes.length / 2));
        if (--left === 0) throw Object.assign(new Error(code), { code });
      };
      const options = optionsFor(t, { files: { ...turnFiles, writeFile } });
      const thrown = thrownBy(() => write(log, newTurn(), options));
      t.ok(thrown instanceof ProxyError);
      t.match(thrown, { reason: 'TURN_NOT_WRITTEN', where: log.directory, message: code });
      t.strictSame(fingerprints(log.directory), old);
      t.notOk(options.intents.has(keyOf(log)));
    }
  }
});

t.test('a number that another program takes at the same time is left to it', async (t) => {
  const log = sample(t, FULL);
  let isFirst = true;
  const makeDirectory = (path: string): void => {
    if (isFirst && basename(path) === 'turn_3') mkdirSync(path);
    isFirst = false;
    turnFiles.makeDirectory(path);
  };
  const options = optionsFor(t, { files: { ...turnFiles, makeDirectory } });
  t.match(write(log, newTurn(), options), { number: 4, where: 'in_place' });
  t.strictSame(readdirSync(join(log.directory, 'turn_3')), []);
  t.strictSame(readdirSync(log.store ?? ''), ['turn_1', 'turn_2', 'turn_4']);
});

t.test('a directory that another program fills after it was claimed is left to it', async (t) => {
  for (const full of ['log', 'store'] as const) {
    const log = sample(t, FULL);
    const parent = full === 'log' ? log.directory : (log.store ?? '');
    const rename = (from: string, to: string): void => {
      if (to === join(parent, 'turn_3')) turnFiles.writeFile(join(to, 'theirs'), Buffer.from('x'));
      turnFiles.rename(from, to);
    };
    const options = optionsFor(t, { files: { ...turnFiles, rename } });
    const written = write(log, newTurn(), options);
    t.equal(written.number, full === 'log' ? 4 : 3);
    t.strictSame(readdirSync(join(parent, 'turn_3')), ['theirs']);
    const { turns } = readSession(log);
    t.equal(turns.filter(({ question }) => question === newTurn().question).length, 1);
    t.ok(existsSync(join(log.store ?? '', 'turn_4/answer.txt')));
    t.notOk(options.intents.has(keyOf(log)));
  }
});

t.test('a writer that was taken for dead writes nothing any more', async (t) => {
  const log = sample(t, FULL);
  const before = fingerprints(dirname(dirname(log.directory)));
  const options = optionsFor(t);
  let syncs = 0;
  const syncDirectory = (path: string): void => {
    turnFiles.syncDirectory(path);
    if (++syncs === 3) recoverTurns(keyOf(log), options.intents);
  };
  const files = { ...turnFiles, syncDirectory };
  const thrown = thrownBy(() => write(log, newTurn(), { ...options, files }));
  t.match(thrown, { reason: 'TURN_NOT_WRITTEN', message: /took this one for dead|ENOENT/ });
  t.strictSame(fingerprints(dirname(dirname(log.directory))), before);
});

t.test('a store that cannot be brought to its end follows at the next read', async (t) => {
  const log = sample(t, FULL);
  const options = optionsFor(t);
  const rename = (from: string, to: string): void => {
    if (to.includes('/sessions/')) throw Object.assign(new Error('EIO'), { code: 'EIO' });
    turnFiles.rename(from, to);
  };
  const written = write(log, newTurn(), { ...options, files: { ...turnFiles, rename } });
  t.match(written, { number: 3, warnings: [{ message: /follows when it is next read \(EIO\)/ }] });
  t.equal(existsSync(join(log.store ?? '', 'turn_3/answer.txt')), false);
  recoverTurns(keyOf(log), options.intents);
  t.equal(existsSync(join(log.store ?? '', 'turn_3/answer.txt')), true);
  t.notOk(options.intents.has(keyOf(log)));
});

t.test('a session store that has gone is no obstacle, and it is said', async (t) => {
  const log = { ...sample(t, FULL), store: '/nowhere/session_1' };
  const written = write(log, newTurn(), optionsFor(t));
  t.match(written, { number: 3, where: 'in_place', warnings: [{ message: /session store/ }] });
});

t.test('a log that is gone takes no turn', async (t) => {
  const log = sample(t, FULL);
  const session = readSession(log);
  const gone = { ...log, directory: join(log.directory, 'gone') };
  const thrown = thrownBy(() => writeTurn(gone, session, newTurn(), optionsFor(t)));
  t.match(thrown, { reason: 'TURN_NOT_WRITTEN', where: gone.directory });
});
