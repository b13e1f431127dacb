import { realpathSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ProxyError } from '../../src/errors.ts';
import { Archive, type ArchiveOptions } from '../../src/sessions/archive/archive.ts';
import type { SessionSummary } from '../../src/sessions/contracts.ts';
import {
  memoryIndex,
  proxyErrorOf,
  put,
  putChat,
  putMetadata,
  putStored,
  putTurn,
  touch,
} from '../support/session-logs.ts';

function base(t: Test): string {
  return realpathSync(t.testdir());
}

function archiveOf(top: string, options: Partial<ArchiveOptions> = {}): Archive {
  return new Archive({
    roots: () => [join(top, 'logs')],
    recordDirectory: () => join(top, 'records'),
    index: memoryIndex(),
    home: null,
    ...options,
  });
}

async function listed(archive: Archive): Promise<SessionSummary[]> {
  return (await archive.list({ limit: 1000, cursor: null })).sessions;
}

async function names(archive: Archive): Promise<string[]> {
  return (await listed(archive)).map(({ log }) => log.name);
}

t.test('sessions are listed by what they say of their time, not by file times', async (t) => {
  const top = base(t);
  putTurn(join(top, 'logs/log_20250101_000000/turn_1'), { question: 'middle?', endedAt: 2_000 });
  putTurn(join(top, 'logs/log_20250102_000000/turn_1'), { question: 'old?', endedAt: 1_000 });
  putTurn(join(top, 'logs/log_20250103_000000/turn_1'), { question: 'new?', endedAt: 3_000 });
  for (const [name, at] of [
    ['log_20250101_000000', 9],
    ['log_20250102_000000', 99],
  ] as const) {
    const log = join(top, 'logs', name);
    for (const path of [log, `${log}/turn_1`, `${log}/turn_1/coordination_events.json`]) {
      touch(path, 1_900_000_000 + at);
    }
  }
  const archive = archiveOf(top);
  const sessions = await listed(archive);
  t.strictSame(
    sessions.map(({ firstQuestion, updatedAtMs }) => [firstQuestion, updatedAtMs]),
    [
      ['new?', 3_000_000],
      ['middle?', 2_000_000],
      ['old?', 1_000_000],
    ],
  );
  const { log, foundBy } = await archive.find('latest');
  t.equal(log.name, 'log_20250103_000000');
  t.equal(foundBy, 'the newest of 3 sessions');
});

t.test('a log that tells no time has the one in its name, or else of its files', async (t) => {
  const top = base(t);
  put(join(top, 'logs/log_20240229_120000/massgen.log'), 'nothing of use');
  put(join(top, 'logs/renamed/massgen.log'), 'nothing of use');
  touch(join(top, 'logs/renamed/massgen.log'), 1_900_000_000);
  const sessions = await listed(archiveOf(top));
  t.strictSame(
    sessions.map(({ log, updatedAtMs }) => [log.name, updatedAtMs]),
    [
      ['renamed', 1_900_000_000_000],
      ['log_20240229_120000', new Date(2024, 1, 29, 12).getTime()],
    ],
  );
});

t.test(
  'a line of the listing tells agents, models, turns and the first question cut',
  async (t) => {
    const top = base(t);
    const log = join(top, 'logs/log_20251009_100000_000001');
    putTurn(join(log, 'turn_1'), { question: '\u{1f600}'.repeat(201) });
    putTurn(join(log, 'turn_2'), { question: 'second?' });
    putMetadata(join(log, 'turn_1'), 'session_20251009_100000');
    const [session] = await listed(archiveOf(top));
    t.match(session, {
      sessionId: 'session_20251009_100000',
      turns: 2,
      agents: ['agent_a'],
      models: ['gemini-2.5-flash'],
      firstQuestion: `${'\u{1f600}'.repeat(199)}…`,
      log: { root: join(top, 'logs'), directory: log, file: null, format: 'massgen', store: null },
    });
    t.match(session?.log.beside, /\/records\/\.beside\/[0-9a-f]{16}$/);
  },
);

t.test('a session store is a part of the log that it belongs to', async (t) => {
  const top = base(t);
  const log = join(top, 'logs/log_20251009_100000_000001');
  const store = join(top, 'sessions/session_20251009_100000');
  putTurn(join(log, 'turn_1'), { question: 'one?' });
  putMetadata(join(log, 'turn_1'), 'session_20251009_100000');
  putStored(store, 1, { question: 'one?', answer: 'Answer to one?' });
  putStored(join(top, 'sessions/session_20240101_000000'), 1, {
    question: 'alone?',
    answer: 'Yes.',
  });
  const roots = (): string[] => [join(top, 'logs'), join(top, 'sessions')];
  const archive = archiveOf(top, { roots });
  const sessions = await listed(archive);
  t.strictSame(sessions.map((one) => one.log.name).toSorted(), [
    'log_20251009_100000_000001',
    'session_20240101_000000',
  ]);
  t.equal(sessions.find((one) => one.log.directory === log)?.log.store, store);
  putStored(store, 2, { question: 'two?', answer: 'Only in the store.' });
  t.equal(
    (await listed(archive)).find((one) => one.log.directory === log)?.turns,
    2,
    'a turn that only the store has',
  );
  for (const name of [
    'session_20251009_100000',
    'log_20251009_100000_000001',
    'session_20251009_100000/turn_1/',
  ]) {
    const found = await archive.find(name);
    t.equal(found.log.directory, log, name);
    t.equal(found.log.store, store, name);
  }
  t.equal(archive.read((await archive.find('session_20251009_100000')).log).turns.length, 2);
  rmSync(store, { recursive: true });
  t.equal((await listed(archive)).find((one) => one.log.directory === log)?.turns, 1);
});

t.test('a store that its log does not name is matched by its questions', async (t) => {
  const top = base(t);
  const roots = (): string[] => [join(top, 'logs'), join(top, 'sessions')];
  putTurn(join(top, 'logs/log_20251009_100000/turn_1'), { question: 'one?' });
  putTurn(join(top, 'logs/log_20251009_100001/turn_1'), { question: 'other?' });
  putStored(join(top, 'sessions/session_20251009_100003'), 1, {
    question: 'one?',
    answer: 'Answer to one?',
  });
  putStored(join(top, 'sessions/session_20251009_100004'), 1, {
    question: 'third?',
    answer: 'No.',
  });
  const index = memoryIndex();
  for (const archive of [archiveOf(top, { roots, index }), archiveOf(top, { roots, index })]) {
    t.strictSame((await names(archive)).toSorted(), [
      'log_20251009_100000',
      'log_20251009_100001',
      'session_20251009_100004',
    ]);
    t.equal((await archive.find('session_20251009_100003')).log.name, 'log_20251009_100000');
    t.match((await archive.find('log_20251009_100000')).log.store, /session_20251009_100003$/);
  }
});

t.test('of two chats with one session id the newer one is listed', async (t) => {
  const top = base(t);
  const chats = join(top, 'logs/project/chats');
  putChat(join(chats, 'session-2025-10-09T10-00-aaaa.json'), {
    id: 'id-1',
    question: 'old?',
    at: '2025-10-09T10:00:00Z',
  });
  putChat(join(chats, 'session-2025-10-09T11-00-bbbb.json'), {
    id: 'id-1',
    question: 'new?',
    at: '2025-10-09T11:00:00Z',
  });
  putChat(join(chats, 'session-2025-10-08T11-00-cccc.json'), {
    id: 'id-2',
    question: 'else?',
    at: '2025-10-08T11:00:00Z',
  });
  put(join(chats, 'session-2025-10-08T11-00-dddd.json'), 'no chat');
  // A chat that was resumed and asked nothing: newer than the one that holds the conversation.
  put(join(chats, 'session-2025-10-09T12-00-eeee.json'), {
    sessionId: 'id-1',
    projectHash: 'abc',
    startTime: '2025-10-09T12:00:00Z',
    lastUpdated: '2025-10-09T12:00:00Z',
    messages: [],
  });
  const archive = archiveOf(top);
  t.strictSame(await names(archive), [
    'project/chats/session-2025-10-09T11-00-bbbb.json',
    'project/chats/session-2025-10-08T11-00-cccc.json',
  ]);
  for (const name of [
    'id-1',
    'project/chats/session-2025-10-09T11-00-bbbb.json',
    'session-2025-10-09T11-00-bbbb.json',
    // The old file of a conversation that went on in another one, and the one that holds nothing.
    'project/chats/session-2025-10-09T10-00-aaaa.json',
    'project/chats/session-2025-10-09T12-00-eeee.json',
    'latest',
    'project',
  ]) {
    t.equal((await archive.find(name)).log.file, 'chats/session-2025-10-09T11-00-bbbb.json', name);
  }
});

t.test('a log is read anew when it has changed, and only then', async (t) => {
  const top = base(t);
  const log = join(top, 'logs/log_20251009_100000_000001');
  const events = join(log, 'turn_1/coordination_events.json');
  putTurn(join(log, 'turn_1'), { question: 'one?' });
  const index = memoryIndex();
  const archive = archiveOf(top, { index });
  const row = async (): Promise<[number, string | null, number] | null> => {
    const [session] = await listed(archive);
    return session === undefined
      ? null
      : [session.turns, session.firstQuestion, session.updatedAtMs];
  };
  t.strictSame(await row(), [1, 'one?', 1_760_000_000_000]);

  touch(events, 1_760_000_000);
  await row();
  const text = '{"session_metadata":{"user_prompt":"two?"}}';
  writeFileSync(events, text.padEnd(statSync(events).size));
  touch(events, 1_760_000_000);
  t.strictSame(await row(), [1, 'one?', 1_760_000_000_000], 'the same times and sizes');
  writeFileSync(events, text);
  touch(events, 1_760_000_000);
  t.match(await row(), [1, 'two?'], 'another size');
  touch(events, 1_900_000_000);
  t.match(await row(), [1, 'two?'], 'events rewritten in place');

  putTurn(join(log, 'turn_2'), { question: 'more?', endedAt: 1_760_000_100 });
  t.strictSame(await row(), [2, 'two?', 1_760_000_100_000], 'a turn was added');
  const before = [...index.rows.values()][0]?.signature;
  writeFileSync(join(log, 'turn_1/final/agent_a/answer.txt'), 'another answer');
  await row();
  t.not([...index.rows.values()][0]?.signature, before, 'an answer was rewritten in place');

  renameSync(log, join(top, 'elsewhere'));
  t.strictSame(await row(), null, 'the log has vanished');
  t.equal(index.rows.size, 0);
});

t.test('what was read is known to the next process, and damaged rows are read anew', async (t) => {
  const top = base(t);
  const log = join(top, 'logs/log_20251009_100000_000001');
  putTurn(join(log, 'turn_1'), { question: 'one?' });
  const index = memoryIndex();
  await listed(archiveOf(top, { index }));
  const [row] = index.rows.values();
  if (row === undefined) return t.fail('nothing was kept');
  index.put([{ ...row, turns: 7 }]);
  t.equal((await listed(archiveOf(top, { index })))[0]?.turns, 7, 'the kept row is taken');
  for (const signature of [
    '',
    '{}',
    '[]',
    '[[],null,null,null]',
    '[[["x"]],null,null,null]',
    '[[[1,2,3]],null,null,null]',
  ]) {
    index.put([{ ...row, turns: 7, signature }]);
    t.equal((await listed(archiveOf(top, { index })))[0]?.turns, 1, signature);
  }
});

t.test('pages follow one another whatever is added meanwhile', async (t) => {
  const top = base(t);
  for (let i = 0; i < 7; i++) {
    putTurn(join(top, `logs/log_${i}/turn_1`), {
      question: `${i}?`,
      endedAt: 1_000 + Math.floor(i / 3),
    });
  }
  const archive = archiveOf(top);
  const all = await names(archive);
  t.equal(all.length, 7);
  const seen: string[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < 10; page++) {
    const found: Awaited<ReturnType<Archive['list']>> = await archive.list({ limit: 2, cursor });
    seen.push(...found.sessions.map(({ log }) => log.name));
    putTurn(join(top, `logs/added_${page}/turn_1`), { question: 'new?', endedAt: 5_000 + page });
    cursor = found.nextCursor;
    if (cursor === null) break;
  }
  t.strictSame(seen, all);
  for (const cursor of ['', 'x', 'WzFd', Buffer.from('["a","b"]').toString('base64url')]) {
    const error = await proxyErrorOf(archive.list({ limit: 2, cursor }));
    t.strictSame([error.reason, error.where], ['BAD_REQUEST', 'cursor'], cursor);
  }
});

t.test('a listing lets other work go on', async (t) => {
  const top = base(t);
  for (let i = 0; i < 250; i++) put(join(top, `logs/log_${i}/massgen.log`), 'x');
  let rests = 0;
  const archive = archiveOf(top, { yieldNow: async () => void rests++ });
  await listed(archive);
  t.ok(rests >= 250, 'after each log that was read');
  rests = 0;
  await listed(archive);
  t.ok(rests >= 2 && rests < 10, `and after some that were compared: ${rests}`);
});

t.test(
  'a listing that is asked for while one is under way sees what was there by then',
  async (t) => {
    const top = base(t);
    putTurn(join(top, 'logs/log_1/turn_1'), { question: 'one?' });
    const archive = archiveOf(top);
    const first = listed(archive);
    putTurn(join(top, 'logs/log_2/turn_1'), { question: 'two?' });
    const later = await Promise.all([listed(archive), listed(archive), first]);
    t.equal(later[0].length, 2);
    t.equal(later[1].length, 2);
    t.equal((await listed(archive)).length, 2);
  },
);

t.test('records of turns beside a log count to it and are not listed', async (t) => {
  const top = base(t);
  putTurn(join(top, 'logs/log_1/turn_1'), { question: 'one?' });
  const index = memoryIndex();
  const archive = archiveOf(top, { index });
  const { log } = await archive.find('log_1');
  await listed(archive);
  const before = [...index.rows.values()][0]?.signature;
  putTurn(join(log.beside, 'turn_1'), { question: 'beside?' });
  t.strictSame(await names(archive), ['log_1']);
  t.not([...index.rows.values()][0]?.signature, before, 'the log is read anew with them');
  const name = log.beside.slice(-16);
  for (const path of [`.beside/${name}`, '.beside', `.beside/${name}/turn_1`]) {
    t.equal((await proxyErrorOf(archive.find(path))).reason, 'NOT_FOUND', path);
  }
  const wide = archiveOf(top, { roots: () => [top] });
  t.equal((await proxyErrorOf(wide.find(`records/.beside/${name}`))).reason, 'NOT_FOUND');
});

t.test('a root may be absent, a link, a log itself, or named twice', async (t) => {
  const top = base(t);
  putTurn(join(top, 'logs/log_1/turn_1'), { question: 'one?' });
  putTurn(join(top, 'logs/log_2/agent_a/20251009_100000_000001'), { question: 'two?' });
  symlinkSync(join(top, 'logs'), join(top, 'link'));
  symlinkSync(join(top, 'logs/log_1'), join(top, 'logs/same'));
  const twice = archiveOf(top, {
    roots: () => [join(top, 'absent'), join(top, 'link'), join(top, 'logs')],
  });
  t.strictSame(await names(twice).then((all) => all.toSorted()), ['log_1', 'log_2']);
  t.equal((await twice.find('same/turn_1')).log.directory, join(top, 'logs/log_1'));
  const itself = archiveOf(top, { roots: () => [join(top, 'logs/log_1')] });
  t.strictSame(await names(itself), ['log_1']);
  for (const name of ['log_1', 'turn_1', 'turn_1/final/agent_a', 'latest']) {
    t.equal((await itself.find(name)).log.directory, join(top, 'logs/log_1'), name);
  }
  t.type(
    await archiveOf(top, { roots: () => [] })
      .find('x')
      .catch((error: unknown) => error),
    ProxyError,
  );
});

t.test('a directory full of flat logs is not one log of many agents', async (t) => {
  const top = base(t);
  for (const name of ['named/log_20251009_100000', 'renamed/first', 'renamed/second']) {
    putTurn(join(top, 'logs', name), { question: `${name}?` });
    put(join(top, 'logs', name, 'agent_a/20251009_100000_000001/answer.txt'), 'A draft.');
  }
  put(join(top, 'logs/named/massgen.log'), 'left behind by a run');
  const archive = archiveOf(top);
  t.strictSame(await names(archive), []);
  t.match((await archive.find('named')).log.name, 'named/log_20251009_100000');
  t.match((await archive.find('renamed')).log.name, /^renamed\/(?:first|second)$/);
  t.equal((await archive.find('renamed/first')).log.directory, join(top, 'logs/renamed/first'));
  for (const name of ['named', 'renamed']) {
    const roots = (): string[] => [join(top, 'logs', name)];
    t.equal((await names(archiveOf(top, { roots }))).length, name === 'named' ? 1 : 2, name);
  }
});
