/**
 * Makes the pictures of the documentation: `npm run pictures`. A daemon lives through an hour with six
 * agents in a minute and a half, in front of a simulated Gemini, and is then looked at.
 *
 * A further picture is one more entry of PICTURES.
 */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContextOptions } from 'playwright-core';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config/load.ts';
import { startDaemon } from '../../src/daemon.ts';
import { createLogger } from '../../src/log.ts';
import { makeScenario } from '../../src/simulator/scenario.ts';
import { findChromium, openBrowser } from '../../test/support/browser.ts';
import { startAgents } from './agents.ts';
import { QuickClock } from './quick-clock.ts';
import { commandInTerminal, pictureOfTerminal } from './terminal.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const SAMPLES = fileURLToPath(new URL('../../config/samples', import.meta.url));

/** Enough for the plots, and for some calls to wait when the clock is the machine's again. */
const HOUR = { behindMs: 58 * 60_000, factor: 40 };
const CALM_MS = 20_000;

const LIMITS = {
  'gemini-2.5-flash': { rpm: 10, tpm: 250_000, rpd: 1_500 },
  'gemini-2.5-pro': { rpm: 5, tpm: 125_000, rpd: 400 },
  'gemini-2.5-flash-lite': { rpm: 15, tpm: 250_000, rpd: 1_000 },
};

/** What there is to look at. */
interface Scene {
  readonly url: string;
  readonly browser: Browser;
}

type Picture = (scene: Scene, file: string) => Promise<void>;

/** Enough for a few redraws. */
const WATCHED_MS = 4_000;

/** A row more. */
const SLACK_PX = 50;

const WIDE = { viewport: { width: 1400, height: 900 } };
const PHONE = { viewport: { width: 390, height: 1_500 }, deviceScaleFactor: 2, hasTouch: true };

const PICTURES: Readonly<Record<string, Picture>> = {
  'page-light.png': ofPage({ ...WIDE, colorScheme: 'light' }, { fullPage: true }),
  'page-dark.png': ofPage({ ...WIDE, colorScheme: 'dark' }, { fullPage: true }),
  'page-phone.png': ofPage({ ...PHONE, colorScheme: 'light' }, { fullPage: false }),
  'status-watch.png': async ({ url, browser }, path) => {
    const size = { columns: 120, rows: 34 };
    const argv = ['status', '--watch', '--url', url];
    await pictureOfTerminal(browser, path, {
      written: await commandInTerminal(argv, size, WATCHED_MS),
      size,
    });
  },
};

function ofPage(options: BrowserContextOptions, { fullPage }: { fullPage: boolean }): Picture {
  return async ({ url, browser }, path) => {
    const context = await browser.newContext({ ...options, timezoneId: 'UTC', locale: 'en-GB' });
    const page = await context.newPage();
    await page.goto(url);
    await page.getByRole('meter').first().waitFor();
    await page.locator('.plot canvas').last().waitFor();
    await page.getByRole('link', { name: /^log_/ }).first().waitFor();
    // The bars move to where they belong.
    await page.waitForTimeout(1_500);
    if (fullPage) {
      // A call may come to wait while the picture is taken: without room for it the page's end is cut.
      const height = await page.evaluate('document.documentElement.scrollHeight');
      await page.setViewportSize({ width: WIDE.viewport.width, height: Number(height) + SLACK_PX });
    }
    await page.screenshot({ path, fullPage });
    await context.close();
  };
}

async function main(): Promise<void> {
  const chromium = findChromium();
  if (chromium === null) throw new Error('Install Chromium, or name one in CHROMIUM.');
  const directory = mkdtempSync(join(tmpdir(), 'headgate-pictures-'));
  const clock = new QuickClock(HOUR);
  const daemon = await startDaemon({
    load: () => loadConfig({ file: writeConfig(directory), env: {}, cwd: directory, flags: {} }),
    clock,
    random: seeded(7),
    simulate: true,
    scenario: makeScenario({
      models: {},
      default: { rpm: null, tpm: null, rpd: null },
      latency: { first_byte: [900, 6_000], per_chunk: 90, chunks: 12 },
    }),
    logger: createLogger({
      level: 'error',
      format: 'json',
      destination: process.stderr,
      secrets: () => [],
      clock: systemClock,
    }),
  });
  const stopAgents = startAgents(daemon.url, clock, seeded(11));
  const browser = await openBrowser(chromium);
  try {
    while (clock.isQuick) await clock.pause(60_000);
    await setLimit(daemon.url, 'gemini-2.5-flash-lite', { rpm: 12 });
    await clock.pause(CALM_MS);
    const wanted = process.argv.slice(2);
    for (const [name, make] of Object.entries(PICTURES)) {
      if (wanted.length > 0 && !wanted.includes(name)) continue;
      await make({ url: daemon.url, browser }, join(HERE, name));
      process.stderr.write(`docs/pictures/${name}\n`);
    }
  } finally {
    stopAgents();
    await browser.close();
    await daemon.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

function writeConfig(directory: string): string {
  const file = join(directory, 'headgate.yaml');
  cpSync(SAMPLES, join(directory, 'sessions'), { recursive: true });
  const content = {
    listen: '127.0.0.1:0',
    rate_limits: { profile: 'none', day: 'pacific', gemini: LIMITS },
    cooldown: null,
    storage: { path: './headgate.db' },
    sessions: { roots: ['./sessions'], record_dir: './recorded' },
  };
  // JSON is YAML; one key on a line, so that the page names lines.
  writeFileSync(file, JSON.stringify(content, null, 2));
  return file;
}

async function setLimit(url: string, model: string, limits: object): Promise<void> {
  await fetch(`${url}/limits/${model}`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(limits),
  });
}

/** The same numbers in [0, 1) each time: a linear congruence (Numerical Recipes). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

await main();
