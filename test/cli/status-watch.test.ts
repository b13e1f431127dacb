import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { MessageChannel } from 'node:worker_threads';
import t, { type Test } from 'tap';
import type { CliContext } from '../../src/cli/context.ts';
import { openScreen } from '../../src/cli/screen.ts';
import { systemClock } from '../../src/clock.ts';
import type { StatusView } from '../../src/http/views.ts';
import { runInside } from '../support/cli.ts';
import { busyStatus } from '../support/status-view.ts';

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const ENTER = '\u001b[?1049h';
const LEAVE = '\u001b[?7h\u001b[?25h\u001b[?1049l';

/** A terminal that only remembers. */
function terminal(env: Record<string, string> = {}) {
  let written = '';
  const modes: boolean[] = [];
  const stdin = Object.assign(new PassThrough(), {
    isTTY: true,
    setRawMode: (raw: boolean) => modes.push(raw),
  });
  const stdout = Object.assign(new PassThrough(), { isTTY: true, columns: 80, rows: 24 });
  stdout.on('data', (chunk: Buffer) => {
    written += chunk.toString();
  });
  return {
    stdin,
    stdout,
    modes,
    /** What was written since it was asked last. */
    taken: () => {
      const text = written;
      written = '';
      return text;
    },
    // Of the streams a screen uses what is here.
    context: {
      env,
      cwd: '/',
      stdin,
      stdout,
      stderr: stdout,
      clock: systemClock,
    } as unknown as CliContext,
  };
}

t.test('A screen takes the terminal over, draws in place, and gives it back.', (t) => {
  const { context, modes, taken } = terminal();
  const screen = openScreen(context);
  t.ok(taken().startsWith(ENTER));
  t.strictSame(modes, [true]);
  screen.draw(() => ['one', 'x'.repeat(80)]);
  const frame = taken();
  t.notMatch(frame, '\u001b[2J', 'nothing is cleared that is drawn again: no flicker');
  t.match(frame, 'one\u001b[K\r\n');
  t.match(frame, `${'x'.repeat(80)}\r\n\u001b[J`, 'a full line keeps its last character');
  screen.draw(({ rows }) => Array.from({ length: rows + 5 }, (_, at) => `line ${at}`));
  const full = taken();
  t.match(full, 'line 23');
  t.notMatch(full, 'line 24');
  t.notMatch(full, /line 23[^]*\n/, 'the last line scrolls nothing');
  screen.close();
  t.equal(taken(), LEAVE);
  t.strictSame(modes, [true, false]);
  t.end();
});

t.test('A terminal that changes its size is drawn anew at once.', (t) => {
  const { context, stdout, taken } = terminal();
  const screen = openScreen(context);
  screen.draw(({ columns, rows }) => [`${columns}x${rows}`]);
  taken();
  Object.assign(stdout, { columns: 140, rows: 40 });
  stdout.emit('resize');
  t.match(taken(), '\u001b[2J140x40');
  screen.close();
  taken();
  stdout.emit('resize');
  t.equal(taken(), '', 'not after it was given back');
  t.end();
});

t.test('q, Escape, Ctrl-C, Ctrl-D and signals leave; arrows and other keys do not.', async (t) => {
  for (const keys of ['q', 'Q', '\u001b', '\u0003', '\u0004', 'xq']) {
    const { context, stdin } = terminal();
    const screen = openScreen(context);
    stdin.write('\u001b[A');
    stdin.write('x');
    await new Promise(setImmediate);
    t.equal(screen.left.aborted, false);
    stdin.write(keys);
    await new Promise(setImmediate);
    t.equal(screen.left.aborted, true, JSON.stringify(keys));
    screen.close();
  }
  const screen = openScreen(terminal().context);
  process.emit('SIGTERM');
  t.equal(screen.left.aborted, true);
  screen.close();
});

t.test('A dumb terminal gets lines, one drawing below the other.', (t) => {
  const { context, modes, taken } = terminal({ TERM: 'dumb' });
  const screen = openScreen(context);
  screen.draw(({ rows }) => [`${rows} rows`]);
  screen.close();
  t.equal(taken(), 'Infinity rows\n\n');
  t.strictSame(modes, []);
  t.end();
});

/** What stands where a daemon does, and can go away and come back. */
async function startDaemon(view: () => StatusView, port = 0): Promise<Server & { url: string }> {
  const server = createServer((_request, reply) => {
    reply.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(view()));
  }).listen(port, '127.0.0.1');
  await once(server, 'listening');
  // It listens on a port.
  const { port: taken } = server.address() as AddressInfo;
  return Object.assign(server, { url: `http://127.0.0.1:${taken}` });
}

/** Runs `status --watch` in a terminal that remembers, until the keyboard says q. */
function watching(t: Test, url: string, env: Record<string, string> = {}) {
  const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => stdin });
  // As in main.ts: a command that only waits for the clock keeps nothing alive.
  const { port1 } = new MessageChannel();
  port1.on('message', () => undefined);
  t.teardown(() => port1.close());
  let printed = '';
  const looks = new Set<() => void>();
  const ended = runInside(t, ['status', '--watch', '--url', url], {
    isTTY: true,
    env,
    stdin,
    onPrint(text) {
      printed += text;
      for (const look of looks) look();
    },
  });
  return {
    ended,
    press: (key: string) => stdin.write(key),
    seen: (pattern: RegExp) =>
      new Promise<void>((resolve) => {
        const look = (): void => {
          if (pattern.test(printed)) {
            looks.delete(look);
            resolve();
          }
        };
        looks.add(look);
        look();
      }),
  };
}

t.test(
  'That the daemon has gone is said, and that it is back, or was started again.',
  async (t) => {
    let view = busyStatus();
    const first = await startDaemon(() => view);
    const { seen, press, ended } = watching(t, first.url);
    await seen(/AGENTS/);
    first.close();
    first.closeAllConnections();
    await seen(
      /No daemon answers since \d\d:\d\d:\d\d; what follows is of then\.[^]*headgate 1\.2\.3/,
    );
    const { port } = new URL(first.url);
    const second = await startDaemon(() => view, Number(port));
    await seen(/The daemon answers again after [\d.]+ m?s\./);
    second.close();
    second.closeAllConnections();
    view = { ...view, started_at: new Date().toISOString() };
    const third = await startDaemon(() => view, Number(port));
    t.teardown(() => third.close());
    await seen(/The daemon was started again/);
    press('q');
    t.match(await ended, { code: 0, stderr: '' });
    third.closeAllConnections();
  },
);

t.test(
  'NO_COLOR draws without colours, and a hanging daemon keeps nobody from leaving.',
  async (t) => {
    let isHanging = false;
    const server = createServer((_request, reply) => {
      if (isHanging) return;
      reply
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify(busyStatus()));
      isHanging = true;
    }).listen(0, '127.0.0.1');
    t.teardown(() => server.close());
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const { seen, press, ended } = watching(t, `http://127.0.0.1:${port}`, { NO_COLOR: '1' });
    await seen(/AGENTS/);
    await once(server, 'request');
    press('q');
    const { code, stdout } = await ended;
    t.equal(code, 0);
    // oxlint-disable-next-line eslint/no-control-regex
    t.notMatch(stdout, /\u001b\[\d+m/);
    server.closeAllConnections();
  },
);

t.test(
  'In a real terminal it leaves the modes as they were.',
  { skip: spawnSync('script', ['--version']).status !== 0 && 'needs script of util-linux' },
  async (t) => {
    const server = await startDaemon(() => busyStatus());
    t.teardown(() => server.close());
    const command = `stty cols 80 rows 24; stty -g; '${process.execPath}' '${MAIN}' status --watch --url ${server.url}; echo "ended $?"; stty -g`;
    const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: {
        PATH: process.env['PATH'],
        HOME: t.testdir(),
        TERM: 'xterm-256color',
        SHELL: '/bin/sh',
      },
    });
    t.teardown(() => child.kill('SIGKILL'));
    let printed = '';
    for await (const chunk of child.stdout.setEncoding('utf8')) {
      printed += String(chunk);
      if (printed.includes('AGENTS') && child.stdin.writable) child.stdin.end('\u0003');
    }
    const [before, after] = printed.match(/^[0-9a-f]+(?::[0-9a-f]+){10,}/gm) ?? [];
    t.ok(before);
    t.equal(after, before);
    t.match(printed, `${LEAVE}ended 0`);
    server.closeAllConnections();
  },
);
