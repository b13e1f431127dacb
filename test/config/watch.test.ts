import { renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import { watchFiles } from '../../src/config/watch.ts';
import { ManualClock } from '../support/manual-clock.ts';

/** Watches with a clock that a test moves, so that only the regular look is seen. */
function looking(t: Test, files: readonly string[]) {
  const clock = new ManualClock();
  let changes = 0;
  const watcher = watchFiles(files, clock, () => (changes += 1));
  t.teardown(() => watcher.close());
  return {
    clock,
    watcher,
    changesAfterLook: () => {
      clock.advance(5000);
      return changes;
    },
  };
}

t.test(
  'A file written, replaced, removed or created is a change, another file is not.',
  async (t) => {
    const directory = t.testdir({ 'a.yaml': 'one', 'other.yaml': 'x' });
    const file = join(directory, 'a.yaml');
    const { changesAfterLook } = looking(t, [file]);
    t.equal(changesAfterLook(), 0);
    writeFileSync(file, 'one and more');
    t.equal(changesAfterLook(), 1);
    writeFileSync(join(directory, 'other.yaml'), 'y');
    t.equal(changesAfterLook(), 1);
    writeFileSync(join(directory, 'new.yaml'), 'two and more');
    renameSync(join(directory, 'new.yaml'), file);
    t.equal(changesAfterLook(), 2);
    rmSync(file);
    t.equal(changesAfterLook(), 3);
    writeFileSync(file, 'again');
    t.equal(changesAfterLook(), 4);
  },
);

t.test('A link replaced on the way to the file is a change, as Kubernetes makes it.', async (t) => {
  const directory = t.testdir({ v1: { 'a.yaml': 'same' }, v2: { 'a.yaml': 'same' } });
  symlinkSync('v1', join(directory, '..data'));
  symlinkSync('..data/a.yaml', join(directory, 'a.yaml'));
  const { changesAfterLook } = looking(t, [join(directory, 'a.yaml')]);
  symlinkSync('v2', join(directory, '..next'));
  renameSync(join(directory, '..next'), join(directory, '..data'));
  t.equal(changesAfterLook(), 1);
  t.equal(changesAfterLook(), 1);
});

t.test('A directory that does not exist yet is looked at until it does.', async (t) => {
  const directory = t.testdir({});
  const { changesAfterLook } = looking(t, [join(directory, 'no/such/a.yaml')]);
  t.equal(changesAfterLook(), 0);
  t.testdir({ no: { such: { 'a.yaml': 'x' } } });
  t.equal(changesAfterLook(), 1);
});

t.test('A closed watch sets no timer and tells nothing.', async (t) => {
  const file = join(t.testdir({ 'a.yaml': 'one' }), 'a.yaml');
  const { clock, watcher, changesAfterLook } = looking(t, [file]);
  watcher.close();
  writeFileSync(file, 'one and more');
  t.equal(changesAfterLook(), 0);
  t.equal(clock.pendingTimers, 0);
});

t.test('The system tells of a change long before the regular look.', async (t) => {
  const file = join(t.testdir({ 'a.yaml': 'one' }), 'a.yaml');
  const startedMs = systemClock.monotonicMs();
  let tell: () => void = () => undefined;
  const told = new Promise<void>((resolve) => (tell = resolve));
  const watcher = watchFiles([file], systemClock, () => tell());
  // The watch's timers do not keep a process alive, and nothing else here does.
  const alive = setInterval(() => undefined, 1000);
  writeFileSync(file, 'one and more');
  await told;
  clearInterval(alive);
  watcher.close();
  t.ok(systemClock.monotonicMs() - startedMs < 4000);
});
