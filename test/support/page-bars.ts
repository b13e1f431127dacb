import type { Browser } from 'playwright-core';
import type { Lifetime } from './doc-shell.ts';

/** The bars of requests on the daemon's page, as a browser shows them: what is used, by its name. */
export type BarValues = Readonly<Record<string, number>>;

export interface Bars {
  read(): Promise<BarValues>;
  /** The name of a bar that stands higher than it did, with both values; null where none comes to. */
  risenFrom(before: BarValues): Promise<string | null>;
  /** Closes the page, which draws as long as it is open. */
  close(): Promise<void>;
}

/** A machine that does other things besides takes its time. */
const PATIENCE_MS = 30_000;
const LOOKS_MAX = 300;

/** Runs in the page. A bar that comes has risen from 0. */
const READ = `(() => Object.fromEntries([...document.querySelectorAll('[role=meter]')]
  .map((bar) => [bar.getAttribute('aria-label'), Number(bar.getAttribute('aria-valuenow'))])
  .filter(([name]) => name.startsWith('Requests '))))()`;

/** Opens the page and leaves it open until the end of `t`. */
export async function barsOf(t: Lifetime, browser: Browser, url: string): Promise<Bars> {
  const context = await browser.newContext();
  t.teardown(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  await page.goto(url);
  await page.getByRole('heading', { level: 2 }).first().waitFor();
  const read = (): Promise<BarValues> => page.evaluate<BarValues>(READ);
  return {
    read,
    close: () => context.close(),
    async risenFrom(before) {
      for (let look = 0; look < LOOKS_MAX; look += 1) {
        const now = Object.entries(await read());
        const risen = now.find(([name, value]) => value > (before[name] ?? 0));
        if (risen !== undefined) return `${risen[0]}, ${before[risen[0]] ?? 0} to ${risen[1]}`;
        // The page's policy lets nothing be evaluated in it that would wait there.
        await page.waitForTimeout(PATIENCE_MS / LOOKS_MAX);
      }
      return null;
    },
  };
}
