import { join } from 'node:path';
import t from 'tap';
import type { SessionIndexRow } from '../../src/sessions/archive/session-index.ts';
import { openDatabase } from '../../src/store/database.ts';
import { createSessionIndexStore } from '../../src/store/session-index-store.ts';

const ROW: SessionIndexRow = {
  directory: '/logs/log',
  file: null,
  root: '/logs',
  name: 'log',
  signature: '[]',
  format: 'massgen',
  sessionId: 'session_1',
  turns: 2,
  agents: ['a', 'b'],
  models: ['gemini-2.5-flash'],
  updatedAtMs: 1_760_000_000_000,
  warnings: 1,
};

t.test('rows are kept, replaced and removed by directory and file', async (t) => {
  const connection = openDatabase(':memory:');
  t.teardown(() => connection.close());
  const index = createSessionIndexStore(connection);
  const chat: SessionIndexRow = { ...ROW, file: 'chats/a.json', sessionId: null, root: '/other' };
  index.put([ROW, chat]);
  t.strictSame(index.read('/logs'), [ROW]);
  t.strictSame(index.read(null), [ROW, chat]);
  index.put([{ ...ROW, turns: 3 }]);
  t.strictSame(index.read('/logs'), [{ ...ROW, turns: 3 }]);
  index.remove([ROW]);
  t.strictSame(index.read(null), [chat]);
  t.strictSame(index.read('/absent'), []);
});

t.test('a batch is written whole or not at all', async (t) => {
  const connection = openDatabase(':memory:');
  t.teardown(() => connection.close());
  const index = createSessionIndexStore(connection);
  t.throws(() => index.put([ROW, { ...ROW, directory: '/x', turns: -1 }]), /CHECK/);
  t.strictSame(index.read(null), []);
});

t.test('a damaged row is left out', async (t) => {
  const connection = openDatabase(':memory:');
  t.teardown(() => connection.close());
  const index = createSessionIndexStore(connection);
  const good = { ...ROW, directory: '/logs/good' };
  for (const damage of ['', 'x', '{}', '[1]', 'null']) {
    index.put([ROW, good]);
    connection
      .prepare('UPDATE session_index SET agents = ? WHERE directory = ?')
      .run(damage, ROW.directory);
    t.strictSame(index.read(null), [good], damage);
  }
});

t.test(
  'while another process holds the lock, writes are dropped and nothing is thrown',
  async (t) => {
    const path = join(t.testdir(), 'headgate.db');
    const holder = openDatabase(path);
    const connection = openDatabase(path);
    t.teardown(() => {
      connection.close();
      holder.close();
    });
    const index = createSessionIndexStore(connection);
    index.put([ROW]);
    holder.exec('BEGIN IMMEDIATE');
    index.put([{ ...ROW, turns: 9 }]);
    index.remove([ROW]);
    t.strictSame(index.read(null), [ROW]);
    holder.exec('COMMIT');
    index.remove([ROW]);
    t.strictSame(index.read(null), []);
  },
);
