import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { StatusView } from '../../src/http/views.ts';
import { styleFor } from '../../src/cli/style.ts';
import { type CliOptions, runCli, runInside, startCli } from '../support/cli.ts';

/** A daemon with a configuration of its own, in front of a simulated Gemini. */
async function startServe(t: Test) {
  const directory = t.testdir({
    'c.yaml': 'storage: { path: own.db }\nlisten: 127.0.0.1:0\ncooldown: null\n',
  });
  const config = join(directory, 'c.yaml');
  const serve = startCli(t, ['--simulate', '--config', config]);
  const [, url = ''] = await serve.waitFor(/listening on (\S+)/);
  return {
    serve,
    url,
    config,
    directory,
    status: async (): Promise<StatusView> =>
      (await (await fetch(`${url}/status`)).json()) as StatusView,
    ask: (argv: readonly string[], options: CliOptions = {}) =>
      runInside(t, argv, { env: { HEADGATE_URL: url, ...options.env } }),
    call: (model: string, text: string) =>
      fetch(`${url}/v1beta/models/${model}:generateContent`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-headgate-agent': 'tester' },
        body: JSON.stringify({ contents: [{ role: 'user', parts: [{ text }] }] }),
      }),
  };
}

// The tests share one daemon and follow one another.
t.test('A daemon is run, asked and changed from the command line.', async (t) => {
  const { serve, url, config, directory, ask, call, status } = await startServe(t);

  await t.test(
    'serve says where it is, what won, how to use it and what it keeps to.',
    async (t) => {
      await serve.waitFor(/any other .*\n/);
      const { stdout, stderr } = serve.printed;
      t.equal(stdout, '', 'talk is on stderr');
      t.ok(stderr.includes(`${config} (--config)`));
      t.ok(stderr.includes(`export GOOGLE_GEMINI_BASE_URL=${url}`));
      t.ok(stderr.includes(join(directory, 'simulate.db')), 'simulated counts stay apart');
      t.match(stderr, /gemini-2\.5-pro +2 +120,000 +48 .*profile massgen/);
    },
  );

  await t.test(
    'status shows windows with bars, limits and sources, within 80 columns.',
    async (t) => {
      t.equal((await call('gemini-2.5-pro', 'Why is the sky blue?')).status, 200);
      const { code, stdout, stderr } = await ask(['status']);
      t.equal(code, 0);
      t.equal(stderr, '');
      t.match(stdout, /1 call, 1 answered, 0 running, 0 waiting, 0 refused, 0 upstream 429s/);
      t.match(
        stdout,
        /gemini-2\.5-pro {2}0 running\n {2}rpm +█{6}░{6} +1 \/ 2 {2}next in .*massgen/,
      );
      // oxlint-disable-next-line eslint/no-control-regex
      t.notMatch(stdout, /\u001b/, 'no colours where there is no terminal');
      for (const line of stdout.split('\n')) t.ok(line.length <= 80, line);
    },
  );

  await t.test(
    'status --json is what the daemon answers; --watch makes it one object a line.',
    async (t) => {
      const { stdout } = await ask(['status', '--json']);
      t.match(JSON.parse(stdout), { mode: 'enforce', totals: { exchanges: 1 }, listen: url });
      const watch = startCli(t, ['status', '--watch', '--json', '--url', url]);
      await watch.waitFor(/\n.*\n/);
      for (const line of watch.printed.stdout.trimEnd().split('\n')) {
        t.match(JSON.parse(line), { mode: 'enforce' });
      }
    },
  );

  await t.test('status shows who waits for what, and who was refused.', async (t) => {
    t.equal((await call('gemini-2.5-pro', 'And why is it red at night?')).status, 200);
    const waiting = call('gemini-2.5-pro', 'And at noon?');
    while ((await status()).queue.length === 0);
    const { stdout } = await ask(['status']);
    t.match(stdout, /Waiting: 1[^]*1 {2}gemini-2\.5-pro {2}tester +.* in .* requests per minute/);
    const { queue } = await status();
    await fetch(`${url}/queue/${queue[0]?.id}`, { method: 'DELETE' });
    await waiting;
    t.match(
      (await ask(['status'])).stdout,
      /Last refusals[^]*gemini-2\.5-pro {2}tester +CANCELLED/,
    );
  });

  await t.test(
    'explain says whether a call would pass, and if not, which limit and when.',
    async (t) => {
      const flash = await ask(['explain', 'gemini-2.5-flash', '--tokens', '1_000']);
      t.match(flash, { code: 0, stderr: '' });
      t.match(flash.stdout, 'gemini-2.5-flash: a call of 1,000 input tokens would pass now\n');
      const pro = await ask(['explain', 'gemini-2.5-pro']);
      t.match(pro.stdout, /would wait \d+\.\d s\n {2}rpm {2}requests per minute: .*free at \d\d:/);
      const large = await ask(['explain', 'gemini-2.5-pro', '--tokens', '130000', '--json']);
      t.match(JSON.parse(large.stdout), { admit: false, wait_ms: null });
    },
  );

  await t.test('limits are set live, shown, kept for check, and reset.', async (t) => {
    const set = await ask(['limits', 'set', 'gemini-2.5-flash', 'rpm=5', 'tpm=100_000']);
    t.equal(set.code, 0);
    t.match(set.stdout, /gemini-2\.5-flash +5 +100,000 +245 +.*set live \(9 in profile massgen\)/);
    t.match((await ask(['limits', 'list'])).stdout, /gemini-2\.5-flash +5 +100,000/);
    const stored = 'storage: { path: simulate.db }\n';
    writeFileSync(join(directory, 'stored.yaml'), stored);
    const check = await ask(['check', '--config', join(directory, 'stored.yaml')]);
    t.match(check.stdout, /gemini-2\.5-flash +5 +100,000 .*set live/);
    const back = await ask(['limits', 'set', 'gemini-2.5-flash', 'tpm=null', '--json']);
    t.match(JSON.parse(back.stdout).windows[1], { limit: 240_000, override: null });
    const reset = await ask(['limits', 'reset', 'gemini-2.5-flash']);
    t.match(reset.stdout, /gemini-2\.5-flash +9 +240,000 +245 +profile massgen\n/);
    const wrong = await ask(['limits', 'set', 'gemini-2.5-flash', 'rmp=5']);
    t.match(wrong, { code: 2, stdout: '' });
    t.match(wrong.stderr, /rmp is no limit of gemini-2\.5-flash; use rpm, tpm, rpd/);
  });

  await t.test(
    'reload takes a good configuration, and names the place in a bad one.',
    async (t) => {
      t.match((await ask(['reload'])).stdout, /c\.yaml: unchanged/);
      const text = 'storage: { path: own.db }\nlisten: 127.0.0.1:0\n';
      writeFileSync(config, `${text}rate_limits: { gemini: { my-model: { rpm: 3 } } }\n`);
      // The watcher may have been quicker.
      t.match(await ask(['reload']), { code: 0, stdout: /c\.yaml: (now in force|unchanged)/ });
      t.match((await ask(['limits', 'list'])).stdout, /my-model +3 /);
      writeFileSync(config, `${text}queue: { max_dept: 3 }\n`);
      const bad = await ask(['reload']);
      t.match(bad, { code: 78, stdout: '', stderr: /c\.yaml:3:10: queue\.max_dept: unknown key/ });
      t.match((await ask(['status'])).stdout, /! The last reload was not taken/);
      t.match((await ask(['limits', 'list'])).stdout, /my-model +3 /, 'the former one stays');
      writeFileSync(config, text);
      serve.signal('SIGHUP');
      let stdout = 'my-model';
      while (stdout.includes('my-model')) ({ stdout } = await ask(['limits', 'list']));
      t.pass('SIGHUP reads it again too');
    },
  );

  await t.test('The address that is taken is named.', async (t) => {
    const { host } = new URL(url);
    const second = await runCli(t, ['serve', '--simulate', '--listen', host]);
    t.equal(second.code, 1);
    t.match(second.stderr, `cannot listen on ${host}: another program listens there`);
  });

  await t.test('SIGTERM lets running calls end and exits with 0.', async (t) => {
    const running = call('gemini-2.5-flash', 'Take your time. [[sleep:1500]]');
    while ((await status()).totals.running === 0);
    serve.signal('SIGTERM');
    t.equal((await running).status, 200);
    t.match(await serve.ended, { code: 0, stderr: /stopping: [^]*\nstopped\n$/ });
  });
});

t.test('A second signal stops at once and exits with 1.', async (t) => {
  const { serve, call, status } = await startServe(t);
  const running = call('gemini-2.5-flash', 'Never mind. [[sleep:60000]]').catch(() => null);
  while ((await status()).totals.running === 0);
  serve.signal('SIGINT');
  await serve.waitFor(/stopping:/);
  // The same signal twice in a moment is one: npm and the terminal both send it.
  serve.signal('SIGINT');
  const twice = setInterval(() => serve.signal('SIGINT'), 100);
  t.match(await serve.ended, { code: 1, stderr: /stopped at once/ });
  clearInterval(twice);
  await running;
});

t.test('A token is asked for, and taken from flag, environment or configuration.', async (t) => {
  const directory = t.testdir({
    'c.yaml': 'admin: { token: sesame-street }\nlisten: 127.0.0.1:0\nstorage: { path: own.db }\n',
  });
  const serve = startCli(t, ['serve', '--simulate', '--config', join(directory, 'c.yaml')]);
  const [, url = ''] = await serve.waitFor(/listening on (\S+)/);
  const none = await runInside(t, ['status', '--url', url]);
  t.match(none, { code: 1, stdout: '', stderr: /asks for a token[^]*\$HEADGATE_TOKEN/ });
  t.equal((await runInside(t, ['status', '--url', url, '--token', 'sesame-street'])).code, 0);
  const env = { HEADGATE_TOKEN: 'sesame-street' };
  t.equal((await runInside(t, ['status', '--url', url], { env })).code, 0);
  const port = new URL(url).port;
  writeFileSync(
    join(directory, 'client.yaml'),
    `admin: { token: sesame-street }\nlisten: 127.0.0.1:${port}\n`,
  );
  const located = { HEADGATE_CONFIG: join(directory, 'client.yaml') };
  t.equal(
    (await runInside(t, ['status'], { env: located })).code,
    0,
    'address and token of the file',
  );
  t.notMatch(serve.printed.stderr, /sesame/);
});

t.test('A database that cannot be used is named, with what to do.', async (t) => {
  const directory = t.testdir({
    'simulate.db': 'this is a letter and no database, long enough to tell that from an empty file',
    'c.yaml': 'listen: 127.0.0.1:0\nstorage: { path: own.db }\n',
  });
  const argv = ['serve', '--simulate', '--config', join(directory, 'c.yaml')];
  const { code, stderr } = await runCli(t, argv);
  t.equal(code, 1);
  t.match(stderr, /simulate\.db is not a database or is damaged\. Move it away/);
});

t.test('simulate prints its address on stdout and serves until a signal.', async (t) => {
  const simulate = startCli(t, ['simulate']);
  const [, url = ''] = await simulate.waitFor(/^(http:\S+)\n/);
  await simulate.waitFor(/GOOGLE_GEMINI_BASE_URL/);
  t.equal((await fetch(`${url}/__sim`)).status, 200);
  simulate.signal('SIGTERM');
  t.match(await simulate.ended, { code: 0, stdout: `${url}\n`, stderr: /0 calls, 0 answered/ });
});

t.test('Colours are for terminals, and NO_COLOR switches them off.', async (t) => {
  const red = (isTTY: boolean, env: Record<string, string>) => styleFor({ isTTY }, env).red('x');
  t.equal(red(true, {}), '\u001b[31mx\u001b[0m');
  t.equal(red(true, { NO_COLOR: '' }), '\u001b[31mx\u001b[0m', 'empty does not count');
  t.equal(red(true, { NO_COLOR: '1' }), 'x');
  t.equal(red(true, { TERM: 'dumb' }), 'x');
  t.equal(red(false, {}), 'x');
});
