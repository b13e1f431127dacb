import { chmodSync, mkdirSync, readdirSync, realpathSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ProxyError } from '../../src/errors.ts';
import { Archive } from '../../src/sessions/archive/archive.ts';
import {
  memoryIndex,
  proxyErrorOf,
  put,
  putChat,
  putMetadata,
  putStored,
  putTurn,
} from '../support/session-logs.ts';
import { SPELLINGS } from '../support/traversal-spellings.ts';
import { expectedLogs, LOGS, NO_LOGS } from '../support/recorded-logs.ts';

const LOG = 'log_20251009_100000_000001';
const ID = 'session_20251009_100000';
const CHAT = 'session-2025-10-09T10-00-aaaa.json';

interface Project {
  readonly top: string;
  readonly log: string;
  readonly archive: Archive;
}

/** A project of MassGen with a log and its store, the chats of Gemini CLI, and roots for all. */
function project(t: Test, roots?: (top: string) => string[], home: string | null = null): Project {
  const top = realpathSync(t.testdir());
  const log = join(top, 'work/.massgen/massgen_logs', LOG);
  putTurn(join(log, 'turn_1'), { question: 'one?' });
  putTurn(join(log, 'turn_2/attempt_1'), { question: 'two?' });
  putTurn(join(log, 'turn_2'), { question: 'two?' });
  putMetadata(join(log, 'turn_1'), ID);
  putStored(join(top, 'work/.massgen/sessions', ID), 1, {
    question: 'one?',
    answer: 'Answer to one?',
  });
  putChat(join(top, 'gemini/project/chats', CHAT), {
    id: 'chat-1',
    question: 'hm?',
    at: '2025-10-09T10:00:00Z',
  });
  put(join(top, 'work/.massgen/massgen_logs/empty/.keep'), '');
  put(join(top, 'work/.massgen/massgen_logs/other/notes.txt'), 'no log');
  const of =
    roots ??
    (() =>
      ['work/.massgen/massgen_logs', 'work/.massgen/sessions', 'gemini'].map((root) =>
        join(top, root),
      ));
  const archive = new Archive({
    roots: () => of(top),
    recordDirectory: () => join(top, 'records'),
    index: memoryIndex(),
    home,
  });
  return { top, log, archive };
}

t.test('every way to name a log finds it, and its session store', async (t) => {
  const { log, archive } = project(t);
  const ways = {
    [LOG]: 'by its name',
    [`${LOG}/`]: 'by its name',
    [`${LOG}//`]: 'by its name',
    [`${LOG}/turn_1`]: 'by a path inside it',
    [`${LOG}/turn_2/`]: 'by a path inside it',
    [`${LOG}/turn_2/attempt_1`]: 'by a path inside it',
    [`${LOG}/turn_2/attempt_1/final`]: 'by a path inside it',
    [`${LOG}/turn_1/final/agent_a`]: 'by a path inside it',
    [ID]: 'by its session store',
    [`${ID}/turn_1`]: 'by its session store',
  };
  for (const [name, foundBy] of Object.entries(ways)) {
    const found = await archive.find(name);
    t.equal(found.log.directory, log, name);
    t.equal(found.log.name, LOG);
    t.match(found.log.store, new RegExp(`${ID}$`), `the store for ${name}`);
    t.equal(found.foundBy, foundBy, name);
  }
  for (const part of [
    LOG.slice(0, -1),
    LOG.slice(0, 10),
    ID.slice(0, -2),
    LOG.toUpperCase(),
    'turn_1',
    '',
  ]) {
    t.equal((await proxyErrorOf(archive.find(part))).reason, 'NOT_FOUND', `${part} is not enough`);
  }
});

t.test('a session id finds its log where only the registry or the log tells it', async (t) => {
  const { top, log, archive } = project(t, (top) => [join(top, 'work/.massgen/massgen_logs')]);
  const { foundBy, log: found } = await archive.find(ID);
  t.equal(found.directory, log);
  t.equal(found.store, null, 'a store outside the roots is not used');
  t.equal(foundBy, 'by its session id');
  putTurn(join(top, 'work/.massgen/massgen_logs/log_2'), { question: 'x?' });
  put(join(top, 'home/.massgen/sessions.json'), {
    sessions: [
      { session_id: 'session_from_registry', log_directory: 'log_2', start_time: '2025-01-01' },
    ],
  });
  const registered = new Archive({
    roots: () => [join(top, 'work/.massgen/massgen_logs')],
    recordDirectory: () => join(top, 'records'),
    index: memoryIndex(),
    home: join(top, 'home'),
  });
  const known = await registered.find('session_from_registry');
  t.equal(known.log.name, 'log_2');
  t.equal(registered.read(known.log).sessionId, 'session_from_registry');
});

t.test('chats of Gemini CLI are found by path, file name and session id', async (t) => {
  const { archive } = project(t);
  for (const name of [
    `project/chats/${CHAT}`,
    CHAT,
    'chat-1',
    'project',
    'project/',
    `project/chats/${CHAT}/`,
  ]) {
    const { log } = await archive.find(name);
    t.equal(log.name, `project/chats/${CHAT}`, name);
    t.equal(log.file, `chats/${CHAT}`, name);
    t.equal(log.format, 'gemini-cli', name);
    t.equal(archive.read(log).turns.length, 1);
  }
});

t.test('of one name in two roots the first root wins, and it is said', async (t) => {
  const { top, archive } = project(t, (top) => [join(top, 'a'), join(top, 'b')]);
  putTurn(join(top, 'a', LOG), { question: 'in a?', endedAt: 1_000 });
  putTurn(join(top, 'b', LOG), { question: 'in b?', endedAt: 2_000 });
  const { log, foundBy } = await archive.find(LOG);
  t.equal(log.root, join(top, 'a'));
  putMetadata(join(top, 'a', LOG), ID);
  putMetadata(join(top, 'b', LOG), ID);
  const byId = await archive.find(ID);
  t.equal(byId.log.root, join(top, 'a'), 'by session id, though the other one is newer');
  t.equal(byId.foundBy, `by its session id, in ${join(top, 'a')}; there are others with it`);
  t.equal(foundBy, `by its name, in ${join(top, 'a')}; ${join(top, 'b')} has one of this name too`);
});

t.test('a name that means nothing says what there is', async (t) => {
  const { top, archive } = project(t, (top) => [join(top, 'gemini'), join(top, 'absent')]);
  const error = await proxyErrorOf(archive.find('log_x'));
  t.equal(error.reason, 'NOT_FOUND');
  t.match(error.message, /"log_x"/);
  t.match(error.message, /GET \/sessions/);
  t.strictSame(error.details, {
    roots: [
      { root: join(top, 'gemini'), exists: true, sessions: 1, newest: `project/chats/${CHAT}` },
      { root: join(top, 'absent'), exists: false, sessions: 0, newest: null },
      { root: join(top, 'records'), exists: false, sessions: 0, newest: null },
    ],
  });
  const none = project(t, () => []).archive;
  t.match((await proxyErrorOf(none.find('latest'))).message, /no session .*sessions\.roots/);
});

t.test('a directory that is no session log is told from one that is absent', async (t) => {
  const { archive } = project(t);
  const other = await proxyErrorOf(archive.find('other'));
  t.equal(other.reason, 'SESSION_UNREADABLE');
  t.match(other.message, /holds "notes\.txt"/);
  mkdirSync(join(project(t).top, 'gemini/nothing'));
  const empty = await proxyErrorOf(archive.find('nothing'));
  t.equal(empty.reason, 'SESSION_UNREADABLE');
  t.match(empty.message, /is empty/);
});

t.test('no spelling of a name finds or reads anything outside the roots', async (t) => {
  const { top, archive } = project(t, (top) => [join(top, 'root')]);
  putTurn(join(top, 'root/log'), { question: 'inside?' });
  put(join(top, 'root/name'), 'a file');
  putTurn(join(top, 'outside'), { question: 'outside?' });
  putTurn(join(top, 'outside/dir'), { question: 'outside?' });
  put(join(top, 'outside/secret.txt'), 'outside?');
  for (const [target, link] of [
    ['../outside', 'out'],
    ['../outside', 'out-relative'],
    ['..', 'up'],
    ['/', 'slash'],
    ['loop', 'loop'],
    ['nowhere', 'dangling'],
    ['out', 'twice'],
    ['../outside/secret.txt', 'secret-link.txt'],
  ] as const) {
    symlinkSync(target, join(top, 'root', link));
  }
  const spellings = [
    ...SPELLINGS,
    ...SPELLINGS.map((path) => path.replace(/.secret\.txt$/, '')),
    join(top, 'outside'),
    'out',
    'twice/dir',
    'up/outside',
    '../outside',
  ];
  t.ok(spellings.length >= 100);
  const absent = (await proxyErrorOf(archive.find('absent'))).message;
  for (const path of spellings) {
    const shown = JSON.stringify(path.slice(0, 60));
    const name = path.replace(/\/+$/, '');
    const answer = await archive.find(path).catch((error: unknown) => error);
    if (answer instanceof ProxyError) {
      t.equal(answer.reason, 'NOT_FOUND', shown);
      const quoted = JSON.stringify(path.length > 200 ? `${path.slice(0, 200)}…` : path);
      t.equal(
        answer.message,
        absent.replace('"absent"', () => quoted),
        `${shown} looks absent`,
      );
    } else t.match(answer, { log: { directory: join(top, 'root/log') } }, name);
  }
});

t.test(
  'on the command line any path finds its log, with the store where MassGen puts it',
  async (t) => {
    const { top, log, archive } = project(t, () => []);
    const store = join(top, 'work/.massgen/sessions', ID);
    for (const path of [
      log,
      `${log}/`,
      `${log}/turn_2`,
      `${log}/turn_2/attempt_1/final/agent_a`,
      `${log}/turn_1/coordination_events.json`,
      store,
      join(top, 'work/.massgen/massgen_logs'),
    ]) {
      const found = await archive.findPath(path);
      t.equal(found.log.directory, log, path);
      t.equal(found.log.store, store, path);
      t.equal(found.log.root, null);
      t.equal(found.log.name, log, 'named by its path');
      t.equal(archive.read(found.log).turns.length, 2);
    }
    const chat = await archive.findPath(join(top, 'gemini/project/chats', CHAT));
    t.match(chat.log, { file: `chats/${CHAT}`, format: 'gemini-cli' });
    t.equal((await archive.findPath(join(top, 'gemini/project'))).log.file, `chats/${CHAT}`);
    t.equal(
      (await archive.findPath(join(top, 'gemini'))).log.file,
      `chats/${CHAT}`,
      'a directory of projects',
    );
    t.equal((await proxyErrorOf(archive.findPath(join(top, 'nowhere')))).reason, 'NOT_FOUND');
    t.equal((await proxyErrorOf(archive.findPath(join(top, 'work')))).reason, 'SESSION_UNREADABLE');
    const other = join(top, 'work/.massgen/massgen_logs/other/notes.txt');
    t.equal((await proxyErrorOf(archive.findPath(other))).reason, 'SESSION_UNREADABLE');
    t.equal(
      (await archive.findAnywhere(`massgen_logs/${LOG}`, join(top, 'work/.massgen'))).log.directory,
      log,
    );
    const rooted = project(t).archive;
    t.equal((await rooted.findAnywhere(ID, '/')).log.name, LOG, 'what is no path is a name');
    t.equal((await proxyErrorOf(rooted.findAnywhere('absent', '/'))).reason, 'NOT_FOUND');
  },
);

t.test(
  'a log that cannot be opened is no log',
  { skip: process.getuid?.() === 0 && 'root may read all' },
  async (t) => {
    const { log, archive } = project(t);
    chmodSync(log, 0);
    t.teardown(() => chmodSync(log, 0o755));
    t.equal((await proxyErrorOf(archive.find(LOG))).reason, 'SESSION_UNREADABLE');
  },
);

t.test(
  'every recorded log is listed once and found by all its names',
  { skip: NO_LOGS },
  async (t) => {
    for (const [path, { entry, session_id: id }] of expectedLogs()) {
      const top = realpathSync(join(LOGS, entry));
      const roots = ['.massgen/massgen_logs', 'massgen_logs', 'sessions', '.massgen/sessions'];
      const archive = new Archive({
        roots: () => roots.map((root) => join(top, root)),
        recordDirectory: () => join(t.testdirName, 'none'),
        index: memoryIndex(),
        home: join(top, 'home'),
      });
      const directory = realpathSync(join(LOGS, path));
      const { sessions } = await archive.list({ limit: 100, cursor: null });
      t.strictSame(
        sessions.map(({ log }) => log.directory),
        [directory],
        `${entry} is listed once`,
      );
      const [session] = sessions;
      t.equal(session?.sessionId, id, `${entry}: its session id`);
      const name = directory.slice(directory.lastIndexOf('/') + 1);
      const inner = readdirSync(directory, { withFileTypes: true }).find((one) =>
        one.isDirectory(),
      );
      for (const asked of [
        name,
        ...(id === null ? [] : [id]),
        ...(inner ? [`${name}/${inner.name}`] : []),
        'latest',
      ]) {
        const { log } = await archive.find(asked);
        t.equal(log.directory, directory, `${entry}: ${asked}`);
        t.equal(log.store, session?.log.store, `${entry}: ${asked} has the same store`);
        t.equal(archive.read(log).turns.length, session?.turns, `${entry}: ${asked} is read whole`);
      }
      const unrooted = new Archive({
        roots: () => [],
        recordDirectory: () => '/none',
        index: memoryIndex(),
        home: join(top, 'home'),
      });
      t.equal(
        (await unrooted.findPath(directory)).log.store,
        session?.log.store,
        `${entry}: the store beside`,
      );
    }
  },
);
