import { AxeBuilder } from '@axe-core/playwright';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import type { Test } from 'tap';
import { findChromium, openBrowser } from './browser.ts';

const CHROMIUM = findChromium();

/** For tests that need a browser; on a machine without one they say so. */
export const BROWSER = { skip: CHROMIUM === null && 'no Chromium is installed' } as const;

/** A machine that does other things besides takes its time. */
const PATIENCE_MS = 30_000;

/** One for a whole file, started when first asked for. */
export function browserFor(t: Test, flags: readonly string[] = []): () => Promise<Browser> {
  let browser: Promise<Browser> | null = null;
  t.teardown(async () => (await browser)?.close());
  return () => (browser ??= openBrowser(CHROMIUM ?? '', flags));
}

/** A page of the daemon as somebody has it open. */
export interface Visit {
  readonly page: Page;
  /** Errors in the console, scripts that threw, and requests that went to another host. */
  readonly faults: readonly string[];
}

/** Opens it in a context of its own, which is closed with the test; `prepare` is called before. */
export async function visit(
  t: Test,
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
  prepare: (page: Page) => Promise<void> = async () => undefined,
): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width: 1400, height: 900 }, ...options });
  t.teardown(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const faults: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => faults.push(`thrown: ${error.message}`));
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) faults.push(request.url());
  });
  await prepare(page);
  await page.goto(url);
  return { page, faults };
}

/** What axe-core finds that keeps somebody from using the page: none of it may be there. */
export async function barriersOf(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) =>
      nodes.map(
        ({ target, failureSummary }) => `${id} at ${target.join(' ')}: ${failureSummary ?? ''}`,
      ),
    );
}

/** Whether anything has to be pushed sideways to be seen. */
export function isTooWide(page: Page): Promise<boolean> {
  return page.evaluate('document.documentElement.scrollWidth > window.innerWidth');
}
