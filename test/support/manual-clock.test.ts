import t from 'tap';
import { ManualClock } from './manual-clock.ts';

t.test('timers fire in order as time passes, each at its own moment', async (t) => {
  const clock = new ManualClock({ wallMs: 0, monotonicMs: 100 });
  const fired: string[] = [];
  const note = (name: string) => () => fired.push(`${name}@${clock.monotonicMs()}`);
  clock.after(20, note('late'));
  clock.after(10, () => {
    note('early')();
    clock.after(5, note('nested'));
  });
  clock.after(10, note('tie'));
  clock.after(10, note('cancelled')).cancel();
  clock.advance(9);
  t.same(fired, []);
  clock.advance(11);
  t.same(fired, ['early@110', 'tie@110', 'nested@115', 'late@120']);
  t.equal(clock.wallMs(), 20);
  t.equal(clock.pendingTimers, 0);
});

t.test('a timer never fires within the call that set it', async (t) => {
  const clock = new ManualClock();
  let isFired = false;
  clock.after(0, () => (isFired = true));
  clock.advance(0);
  t.equal(isFired, false);
  clock.advance(1);
  t.equal(isFired, true);
});

t.test('steps and sleep move the wall alone, a reboot starts monotonic time anew', async (t) => {
  const clock = new ManualClock({ wallMs: 1000, monotonicMs: 50 });
  clock.after(5, () => t.fail('its process is gone'));
  clock.stepWall(-300);
  clock.suspend(1000);
  t.same([clock.wallMs(), clock.monotonicMs(), clock.suspendedMs()], [1700, 50, 1000]);
  const boot = clock.bootId();
  clock.reboot(10);
  clock.advance(100);
  t.same([clock.wallMs(), clock.monotonicMs(), clock.suspendedMs()], [1810, 100, 0]);
  t.not(clock.bootId(), boot);
});
