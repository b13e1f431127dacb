import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const packages = createRequire(import.meta.url);

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** Colours on a dark ground of which each can be read (WCAG AA), as the page has them in the dark. */
const THEME = {
  background: '#12161c',
  foreground: '#d8dee6',
  red: '#ff7b72',
  green: '#56c271',
  yellow: '#e3b341',
  cyan: '#57c7d9',
};

/**
 * What a command of headgate writes to a terminal of that size within `ms`: the built command, in a
 * pseudo-terminal of util-linux's `script`. It is ended by q.
 */
export async function commandInTerminal(
  argv: readonly string[],
  { columns, rows }: TerminalSize,
  ms: number,
): Promise<string> {
  const words = [process.execPath, MAIN, ...argv].map((word) => `'${word}'`).join(' ');
  const command = `stty cols ${columns} rows ${rows}; exec ${words}`;
  const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'], HOME: '/nonexistent', TERM: 'xterm-256color', TZ: 'UTC' },
  });
  let written = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    written += text;
  });
  await new Promise((resolve) => setTimeout(resolve, ms));
  const shown = written;
  child.stdin.end('q');
  await once(child, 'close');
  return shown;
}

/** Draws those bytes with a terminal emulator, and takes a picture of it. */
export async function pictureOfTerminal(
  browser: Browser,
  path: string,
  { written, size }: { readonly written: string; readonly size: TerminalSize },
): Promise<void> {
  const context = await browser.newContext({
    viewport: { width: 1600, height: 1200 },
    deviceScaleFactor: 1.5,
  });
  const page = await context.newPage();
  await page.setContent('<div id="terminal"></div>');
  await page.addStyleTag({ path: packages.resolve('@xterm/xterm/css/xterm.css') });
  await page.addStyleTag({
    content: `body { margin: 0; } #terminal { display: inline-block; padding: 12px 14px;
      background: ${THEME.background}; border-radius: 8px; } .xterm-viewport { overflow: hidden !important; }`,
  });
  await page.addScriptTag({ path: packages.resolve('@xterm/xterm/lib/xterm.js') });
  // Runs in the page, where the script above has put the class Terminal.
  await page.evaluate(
    `new Promise((drawn) => {
      const terminal = new Terminal(${JSON.stringify({
        cols: size.columns,
        rows: size.rows,
        theme: THEME,
        fontFamily: '"DejaVu Sans Mono", Menlo, Consolas, monospace',
        fontSize: 13,
        scrollback: 0,
        allowProposedApi: true,
      })});
      terminal.open(document.getElementById('terminal'));
      terminal.write(${JSON.stringify(written)}, () => requestAnimationFrame(() => requestAnimationFrame(drawn)));
    })`,
  );
  await page.locator('#terminal').screenshot({ path, omitBackground: true });
  await context.close();
}
