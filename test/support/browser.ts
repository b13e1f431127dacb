import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

/** Under which names Linux and macOS have it; Debian's package is called `chromium`. */
const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];
const PLACES = [
  '/usr/bin/chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/** A Chromium of this machine; null where there is none. CHROMIUM names another. */
export function findChromium(env: NodeJS.ProcessEnv = process.env): string | null {
  const { CHROMIUM: named, PATH = '' } = env;
  const folders = PATH.split(delimiter).filter((folder) => folder !== '');
  const found = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  const candidates = [...(named === undefined ? [] : [named]), ...found, ...PLACES];
  return candidates.find((path) => existsSync(path)) ?? null;
}

/** Starts it without a window, with further flags of Chromium's. Whoever starts it closes it. */
export function openBrowser(
  executablePath: string,
  flags: readonly string[] = [],
): Promise<Browser> {
  return chromium.launch({
    executablePath,
    args: [
      // Chromium's sandbox refuses to run as root, as in a container.
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      // Containers give shared memory 64 MB, which is too little for a page.
      '--disable-dev-shm-usage',
      // Numbers of a picture look the same on every machine.
      '--font-render-hinting=none',
      ...flags,
    ],
  });
}
