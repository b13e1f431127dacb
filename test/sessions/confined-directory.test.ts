import { execFileSync } from 'node:child_process';
import { mkdirSync, realpathSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ProxyError } from '../../src/errors.ts';
import { openConfined, resolveInside } from '../../src/sessions/confined-directory.ts';
import { SPELLINGS } from '../support/traversal-spellings.ts';

const SECRET = 'the text outside';

/** A root with a log in it, a secret beside it, and links of every kind between them. */
function fixture(t: Test): { readonly root: string; readonly outside: string } {
  const base = realpathSync(
    t.testdir({
      root: {
        log: { 'a.txt': 'inside', deep: { 'b.txt': 'deeper' } },
        'a.txt': 'top',
        name: 'a file',
        '..hidden': { 'c.txt': 'dots' },
      },
      'root-sibling': { 'secret.txt': SECRET },
      outside: { 'secret.txt': SECRET, dir: { 'secret.txt': SECRET } },
    }),
  );
  const root = join(base, 'root');
  const outside = join(base, 'outside');
  symlinkSync(outside, join(root, 'out'));
  symlinkSync('../outside', join(root, 'out-relative'));
  symlinkSync('..', join(root, 'up'));
  symlinkSync('/', join(root, 'slash'));
  symlinkSync(join(outside, 'secret.txt'), join(root, 'secret-link.txt'));
  symlinkSync('a.txt', join(root, 'inner-link.txt'));
  symlinkSync('log', join(root, 'inner'));
  symlinkSync('loop', join(root, 'loop'));
  symlinkSync('nowhere', join(root, 'dangling'));
  symlinkSync('out', join(root, 'twice'));
  return { root, outside };
}

t.test('no spelling of a path reads, lists or finds anything outside', async (t) => {
  const { root } = fixture(t);
  const confined = openConfined(root);
  t.ok(SPELLINGS.length >= 100);
  for (const path of SPELLINGS) {
    const shown = JSON.stringify(path.slice(0, 60));
    t.equal(confined.read(path, 1000), null, `read ${shown}`);
    t.type(confined.problem(path), 'string', `problem ${shown}`);
    t.equal(confined.isFile(path), false, `isFile ${shown}`);
    t.strictSame(confined.list(path.replace(/secret\.txt$/, '')), [], `list ${shown}`);
  }
});

t.test('a request resolves to a directory inside or to nothing', async (t) => {
  const { root } = fixture(t);
  t.equal(resolveInside(root, 'log'), join(root, 'log'));
  t.equal(resolveInside(root, 'log/deep/'), join(root, 'log/deep'));
  t.equal(resolveInside(root, '..hidden'), join(root, '..hidden'));
  t.equal(resolveInside(root, 'inner/deep'), join(root, 'log/deep'), 'a link that stays inside');
  const nothing = ['', '.', '/', 'name', 'absent', root, `${root}/log`, '..', 'out', 'out/dir'];
  nothing.push('twice', 'up', 'up/root/log/../log', 'slash', 'out-relative/dir', 'loop');
  for (const path of [...nothing, ...SPELLINGS]) {
    t.equal(resolveInside(root, path), null, JSON.stringify(path.slice(0, 60)));
    t.equal(resolveInside(root, path.replace(/.secret\.txt$/, '')), null);
  }
  t.equal(resolveInside(join(root, 'absent'), 'log'), null);
});

t.test('what is inside is read, bounded, and listed in order', async (t) => {
  const { root, outside } = fixture(t);
  const confined = openConfined(root);
  t.equal(confined.read('log/a.txt', 1000)?.bytes.toString(), 'inside');
  t.equal(confined.read('inner/deep/b.txt', 1000)?.bytes.toString(), 'deeper');
  t.same(confined.read('log/a.txt', 2), { bytes: Buffer.from('in'), cut: true });
  t.equal(confined.read('log/a.txt', 6)?.cut, false);
  t.equal(confined.problem('log/a.txt'), null);
  t.equal(confined.problem('log/none.txt'), 'is absent');
  t.equal(confined.problem('log'), 'is not a regular file');
  t.equal(confined.problem('inner-link.txt'), 'is a symbolic link');
  t.equal(confined.isDirectory('log/'), true);
  t.equal(confined.isDirectory('out'), false);
  t.strictSame(confined.list('log'), [
    { name: 'a.txt', kind: 'file' },
    { name: 'deep', kind: 'directory' },
  ]);
  const kinds = new Map(confined.list('.').map((entry) => [entry.name, entry.kind]));
  t.equal(kinds.get('out'), 'other');
  t.equal(kinds.get('inner-link.txt'), 'other');
  symlinkSync(root, join(outside, 'link-to-root'));
  const linked = openConfined(join(outside, 'link-to-root'));
  t.equal(linked.path, root, 'the root itself may be a link');
  t.equal(linked.read('out/secret.txt', 1000), null);
});

t.test('a pipe is refused without waiting for its writer', async (t) => {
  const { root } = fixture(t);
  execFileSync('mkfifo', [join(root, 'pipe')]);
  const confined = openConfined(root);
  t.equal(confined.read('pipe', 10), null);
  t.equal(confined.problem('pipe'), 'is not a regular file');
  t.equal(confined.isFile('pipe'), false);
});

t.test('a directory swapped for a link after opening the root leads nowhere', async (t) => {
  const { root, outside } = fixture(t);
  const confined = openConfined(root);
  writeFileSync(join(root, 'log/secret.txt'), 'mine');
  t.equal(confined.read('log/secret.txt', 100)?.bytes.toString(), 'mine');
  renameSync(join(root, 'log'), join(root, 'moved'));
  symlinkSync(outside, join(root, 'log'));
  t.equal(confined.read('log/secret.txt', 100), null);
  t.strictSame(confined.list('log'), []);
});

t.test('a listing ends at 10,000 entries', async (t) => {
  const { root } = fixture(t);
  mkdirSync(join(root, 'many'));
  for (let i = 0; i < 10_001; i++) writeFileSync(join(root, 'many', String(i)), '');
  t.equal(openConfined(root).list('many').length, 10_000);
});

t.test('a root that is no directory is not found', async (t) => {
  const notFound = new ProxyError('NOT_FOUND', 'There is no such session log directory.');
  const { root } = fixture(t);
  for (const path of ['absent', 'a.txt', 'loop', 'dangling']) {
    t.throws(() => openConfined(join(root, path)), notFound, path);
  }
  t.throws(() => openConfined('\0'), notFound);
});
