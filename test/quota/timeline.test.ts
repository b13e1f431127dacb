import t from 'tap';
import type { TimelineAnchor } from '../../src/quota/timeline.ts';
import { anchorTimeline, observeUpstreamDate, Timeline } from '../../src/quota/timeline.ts';
import { ManualClock } from '../support/manual-clock.ts';

function begin(clock: ManualClock, stored: TimelineAnchor | null = null): Timeline {
  return new Timeline(anchorTimeline(stored, clock), clock);
}

t.test('the timeline begins at wall time and then follows monotonic time only', async (t) => {
  const clock = new ManualClock({ wallMs: 5_000_000 });
  const timeline = begin(clock);
  t.equal(timeline.nowMs(), 5_000_000);
  clock.advance(250);
  clock.stepWall(-3_600_000);
  t.equal(timeline.nowMs(), 5_000_250, 'a step back moves nothing');
  clock.setWall(99_000_000);
  t.equal(timeline.nowMs(), 5_000_250, 'nor does a step forward');
  t.equal(timeline.upstreamOffsetMs, 0);
});

t.test('a machine that has slept five seconds or more has let them pass', async (t) => {
  const clock = new ManualClock({ wallMs: 5_000_000 });
  const timeline = begin(clock);
  const anchor = timeline.touched();
  clock.suspend(4_000);
  timeline.refresh(anchor);
  t.equal(timeline.nowMs(), 5_000_000, 'uptime is not told exactly enough for less');
  clock.suspend(56_000);
  timeline.refresh(anchor);
  t.equal(timeline.nowMs(), 5_060_000);
  clock.suspend(-1_500);
  timeline.refresh(anchor);
  t.equal(timeline.nowMs(), 5_060_000, 'and time never goes back');
});

t.test('processes of one boot share one axis, whenever they begin', async (t) => {
  const clock = new ManualClock({ wallMs: 5_000_000 });
  const first = begin(clock);
  clock.advance(700);
  clock.stepWall(60_000);
  clock.suspend(30_000);
  first.refresh(first.touched());
  const second = begin(clock, first.touched());
  t.equal(second.nowMs(), first.nowMs());
  t.equal(second.nowMs(), 5_030_700);
});

t.test('a reboot is bridged by the wall clock, never backwards', async (t) => {
  const clock = new ManualClock({ wallMs: 5_000_000 });
  const stored = begin(clock).touched();
  clock.reboot(90_000);
  const after = begin(clock, stored);
  t.equal(after.nowMs(), 5_090_000);
  t.equal(after.upstreamOffsetMs, 0);
  clock.setWall(1_000_000);
  const kept = after.touched();
  clock.reboot();
  clock.setWall(900_000);
  const backwards = begin(clock, kept);
  t.equal(backwards.nowMs(), 5_090_000, 'the axis stands where it stood');
  t.equal(backwards.nowMs() + backwards.upstreamOffsetMs, 900_000, 'the upstream is by the wall');
});

t.test("the Date of answers tells the upstream's clock to well under a guard", async (t) => {
  const trueOffsetMs = 2_345;
  let offsetMs = 0;
  for (let sentAtMs = 10_000; sentAtMs < 40_000; sentAtMs += 730) {
    const receivedAtMs = sentAtMs + 120;
    const dateMs = Math.floor((sentAtMs + 60 + trueOffsetMs) / 1000) * 1000;
    const next = observeUpstreamDate(offsetMs, { dateMs, sentAtMs, receivedAtMs });
    t.ok(Math.abs(next - trueOffsetMs) <= Math.abs(offsetMs - trueOffsetMs), 'never further off');
    offsetMs = next;
  }
  t.ok(Math.abs(offsetMs - trueOffsetMs) < 250, `${offsetMs}`);
});

t.test('an offset that fits the Date stays as it is', async (t) => {
  const observed = { dateMs: 20_000, sentAtMs: 20_100, receivedAtMs: 20_200 };
  t.equal(observeUpstreamDate(0, observed), 0);
  t.equal(observeUpstreamDate(-199, observed), -199);
  t.equal(observeUpstreamDate(950, observed), 950, 'nearly is enough');
  t.equal(observeUpstreamDate(7_000, observed), 900);
  t.equal(observeUpstreamDate(-7_000, observed), -200);
});
