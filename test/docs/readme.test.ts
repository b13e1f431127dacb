import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import { findChromium, openBrowser } from '../support/browser.ts';
import { IS_REPOSITORY, runReadme } from '../support/readme-run.ts';

const REPOSITORY = { skip: !IS_REPOSITORY && 'this tree is no clone of a repository' } as const;

t.test('README.md of the last commit does what it says, in its order', REPOSITORY, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'headgate-readme-'));
  // What is torn down last is what came first.
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const chromium = findChromium();
  const browser = chromium === null ? null : await openBrowser(chromium);
  t.teardown(() => browser?.close());
  let place = '';
  let typed = '';
  await runReadme(t, {
    directory,
    clock: systemClock,
    browser,
    isWhole: false,
    witness: {
      block(block) {
        place = block.place;
        typed = '';
      },
      ran(command, ms) {
        typed = command;
        t.comment(`${Math.round(ms)} ms  ${command.split('\n')[0]}`);
      },
      holds(sentence, isTrue, seen) {
        t.ok(isTrue, `${place}: ${sentence}`, { typed, seen });
      },
      skipped(what, why) {
        t.pass(what, { skip: why });
      },
    },
  });
});
