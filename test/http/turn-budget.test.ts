import t from 'tap';

import { TurnBudget } from '../../src/http/turn-budget.ts';
import { ManualClock } from '../support/manual-clock.ts';

/** What a budget was given to do, in the order in which it did it. */
function stage(): {
  readonly done: string[];
  /** Runs work of `pieces` steps of `ms` each; says whether it was done at once. */
  readonly run: (name: string, pieces: number, ms?: number, then?: () => void) => boolean;
} {
  const clock = new ManualClock();
  const budget = new TurnBudget(clock);
  const done: string[] = [];
  return {
    done,
    run(name, pieces, ms = 1, then = () => undefined) {
      let left = pieces;
      const step = (): boolean => {
        clock.advance(ms);
        done.push(name);
        left -= 1;
        return left === 0;
      };
      return budget.run(step, () => {
        done.push(`${name} finished`);
        then();
      });
    },
  };
}

/** Everything due in this turn of the event loop has run; what the budget put off is still to come. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

t.test('what fits into a turn is done on return, and nothing is called', async (t) => {
  const { done, run } = stage();
  t.equal(run('a', 2), true);
  t.strictSame(done, ['a', 'a']);
  await turn();
  await turn();
  t.strictSame(done, ['a', 'a']);
});

t.test(
  'work over the budget stops after the piece that spent it, and goes on each turn',
  async (t) => {
    const { done, run } = stage();
    // 2.5 ms a turn: the third piece of 1 ms is the last to begin.
    t.equal(run('a', 7), false);
    t.equal(done.length, 3);
    await turn();
    t.equal(done.length, 6);
    await turn();
    t.strictSame(done.slice(6), ['a', 'a finished']);
    await turn();
    t.equal(done.length, 8, 'it is finished once');
  },
);

t.test('a piece longer than a turn is still done, one each turn', async (t) => {
  const { done, run } = stage();
  t.equal(run('a', 3, 100), false);
  t.equal(done.length, 1);
  await turn();
  t.equal(done.length, 2);
  await turn();
  t.strictSame(done, ['a', 'a', 'a', 'a finished']);
});

t.test('all work of one turn shares its budget', async (t) => {
  const { done, run } = stage();
  t.equal(run('a', 2), true);
  t.equal(run('b', 2), false, 'half a millisecond is left: one piece');
  t.equal(run('c', 1), false, 'nothing is left');
  t.strictSame(done, ['a', 'a', 'b']);
  await turn();
  t.strictSame(done.slice(3), ['b', 'b finished', 'c', 'c finished']);
});

t.test('each turn has a budget of its own, also when nothing was waiting', async (t) => {
  const { run } = stage();
  t.equal(run('a', 3), true);
  t.equal(run('b', 1), false);
  await turn();
  await turn();
  t.equal(run('c', 3), true);
});

t.test('those that wait take turns, so that a small one is not behind a large one', async (t) => {
  const { done, run } = stage();
  run('large', 100);
  run('small', 2);
  run('other', 1);
  done.length = 0;
  await turn();
  t.strictSame(done, ['large', 'small', 'other', 'other finished']);
  await turn();
  t.strictSame(done.slice(4), ['large', 'small', 'small finished', 'large']);
});

t.test('work begun at the end of other work waits for what is left of the turn', async (t) => {
  const { done, run } = stage();
  const answers: boolean[] = [];
  run('a', 4, 1, () => {
    answers.push(run('next', 1), run('last', 9));
  });
  done.length = 0;
  await turn();
  t.strictSame(answers, [true, false]);
  t.strictSame(done, ['a', 'a finished', 'next', 'last']);
  await turn();
  t.strictSame(done.slice(4), ['last', 'last', 'last']);
});
