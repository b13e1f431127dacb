/**
 * Does what README.md says, as somebody who has nothing else: `npm run readme`. It clones the last
 * commit, installs, runs every block in order, looks at the page meanwhile, and tells how long each
 * command took.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/clock.ts';
import { findChromium, openBrowser } from '../support/browser.ts';
import { runReadme } from '../support/readme-run.ts';

/** Of what was seen instead of what should be: as much as fits a screen. */
const SEEN_MAX = 4_000;

const closers: (() => unknown)[] = [];
const tally = { commands: 0, ms: 0, broken: 0 };

for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => {
    tally.broken += 1;
    void close().finally(() => process.exit(1));
  });
}

try {
  await main();
} catch (error) {
  tally.broken += 1;
  say(error instanceof Error ? error.message : String(error));
} finally {
  await close();
}
say(`\n${tally.commands} commands took ${seconds(tally.ms)}, ${tally.broken} broken promises`);
process.exitCode = tally.broken === 0 ? 0 : 1;

async function main(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'headgate-readme-'));
  closers.push(() => rmSync(directory, { recursive: true, force: true }));
  const chromium = findChromium();
  const browser = chromium === null ? null : await openBrowser(chromium);
  closers.push(() => browser?.close());
  const lifetime = { teardown: (closer: () => unknown) => void closers.push(closer) };
  await runReadme(lifetime, {
    directory,
    clock: systemClock,
    browser,
    isWhole: true,
    witness: {
      block({ place, text }) {
        say(`\n${place}\n${text.trimEnd().replaceAll(/^/gm, '    ')}\n`);
      },
      ran(command, ms) {
        tally.commands += 1;
        tally.ms += ms;
        const [line = ''] = command.split('\n');
        say(`${seconds(ms).padStart(9)}  ${line}`);
      },
      holds(sentence, isTrue, seen) {
        say(`${(isTrue ? 'ok' : 'BROKEN').padStart(9)}  ${sentence}`);
        if (isTrue) return;
        tally.broken += 1;
        say(seen.slice(-SEEN_MAX));
      },
      skipped(what, why) {
        say(`${'skipped'.padStart(9)}  ${what}: ${why}`);
      },
    },
  });
}

/** In the opposite order; what cannot be closed keeps nothing else open. */
async function close(): Promise<void> {
  for (const closer of closers.splice(0).toReversed()) {
    try {
      await closer();
    } catch (error) {
      say(String(error));
    }
  }
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
