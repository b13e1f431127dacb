import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import { checkRoom } from '../../src/cli/doctor-checks.ts';
import type { Finding } from '../../src/cli/doctor-finding.ts';
import { systemClock } from '../../src/clock.ts';
import { openDatabase } from '../../src/store/database.ts';
import { runInside, startCli } from '../support/cli.ts';
import { freePort } from '../support/daemon.ts';

const KEY = 'AIzaSyNobodyMayEverReadThisKey0123456789';

interface Verdict {
  readonly code: number | null;
  readonly text: string;
  /** The first finding of a check that is not ok, else its finding. */
  of(check: string): Finding;
}

/** Runs the doctor twice, for people and for programs, and holds that no key is in either. */
async function doctor(
  t: Test,
  flags: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Verdict> {
  const words = await runInside(t, ['doctor', ...flags], { env });
  const json = await runInside(t, ['doctor', '--json', ...flags], { env });
  const text = words.stdout + words.stderr + json.stdout + json.stderr;
  t.notMatch(text, KEY, 'no key is printed');
  t.equal(words.code, json.code);
  const { ok, checks }: { ok: boolean; checks: Finding[] } = JSON.parse(json.stdout);
  t.equal(ok, json.code === 0, 'ok means that nothing failed');
  return {
    code: words.code,
    text: words.stdout,
    of(name) {
      const findings = checks.filter(({ check }) => check === name);
      const found = findings.find(({ level }) => level !== 'ok') ?? findings[0];
      if (found === undefined) throw new Error(`no check is called ${name}`);
      return found;
    },
  };
}

/** What stands in the place of the Gemini API and answers as the test says. */
async function upstreamFor(t: Test, answer: (reply: ServerResponse) => void): Promise<string> {
  const server = createServer((_, reply) => answer(reply));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return `http://127.0.0.1:${address.port}`;
}

/** A configuration in front of that upstream, without a daemon. */
async function configFor(t: Test, upstreamUrl: string, more = ''): Promise<string> {
  const directory = t.testdir({});
  const file = join(directory, 'c.yaml');
  writeFileSync(
    file,
    `listen: 127.0.0.1:${await freePort()}
upstream: { base_url: "${upstreamUrl}", api_key: "\${GEMINI_API_KEY:-}" }
storage: { path: ./headgate.db }
${more}`,
  );
  return file;
}

function models(reply: ServerResponse): void {
  reply.setHeader('content-type', 'application/json');
  reply.end('{"models":[]}');
}

t.test('In front of a simulated Gemini everything is ok, and no call is counted.', async (t) => {
  const directory = t.testdir({ 'c.yaml': 'listen: 127.0.0.1:0\nstorage: { path: own.db }\n' });
  const serve = startCli(t, ['--simulate', '--config', join(directory, 'c.yaml')]);
  const [, url = ''] = await serve.waitFor(/listening on (\S+)/);
  const { code, text, of } = await doctor(t, ['--url', url]);
  t.equal(code, 0);
  t.notMatch(text, /^(warn|fail)/m);
  t.match(of('config').message, join(directory, 'c.yaml'), "the daemon's own configuration");
  t.match(of('port').message, `headgate 0.1.0 runs at ${url}`);
  t.match(of('database').message, /simulate\.db, [\d.]+ MB, schema \d+, no damage found/);
  t.match(of('upstream').message, /simulated Gemini at http.* answers/);
  t.match(of('clock').message, 'agrees with the upstream');
  const status: unknown = await (await fetch(`${url}/status`)).json();
  t.match(status, { totals: { exchanges: 0 }, partitions: [] });
});

t.test('Without a daemon it tells what one would find.', async (t) => {
  const config = await configFor(t, await upstreamFor(t, models));
  const good = await doctor(t, ['--config', config], {
    GEMINI_API_KEY: KEY,
    GOOGLE_GEMINI_BASE_URL: 'http://127.0.0.1:4290',
  });
  t.equal(good.code, 0);
  t.match(good.of('port').message, /^127\.0\.0\.1:\d+ is free for headgate serve$/);
  t.match(good.of('database').message, /headgate\.db will be made at the start/);
  t.match(good.of('key'), {
    level: 'ok',
    message: 'the key of upstream.api_key, from $GEMINI_API_KEY is accepted',
  });
  const none = await doctor(t, ['--config', config]);
  t.equal(none.code, 0, 'clients may send keys of their own');
  t.match(none.of('key'), { level: 'warn', hint: /GEMINI_API_KEY/ });
});

t.test('A key that is refused fails, with the reason and without the key.', async (t) => {
  const url = await upstreamFor(t, (reply) => {
    reply.statusCode = 403;
    reply.end(
      JSON.stringify({
        error: {
          code: 403,
          message: `Permission denied: Consumer 'api_key:${KEY}' has been suspended.`,
          details: [{ reason: 'CONSUMER_SUSPENDED' }],
        },
      }),
    );
  });
  const { code, of } = await doctor(t, ['--config', await configFor(t, url)], {
    GEMINI_API_KEY: KEY,
  });
  t.equal(code, 1);
  t.match(of('key'), { level: 'fail', message: /refused: 403 CONSUMER_SUSPENDED$/, hint: /key/ });
  t.equal(of('upstream').level, 'ok', 'it was reached all the same');
});

t.test('A clock that is off is told with how far, and in which direction.', async (t) => {
  const HOUR_MS = 3_600_000;
  for (const [offMs, words] of [
    [HOUR_MS, /^(1 h|59 min \d+ s|1 h 0 min) behind the upstream's$/],
    [-HOUR_MS, /^(1 h|59 min \d+ s|1 h 0 min) ahead of the upstream's$/],
  ] as const) {
    const url = await upstreamFor(t, (reply) => {
      reply.setHeader('date', new Date(systemClock.wallMs() + offMs).toUTCString());
      models(reply);
    });
    const { code, of } = await doctor(t, ['--config', await configFor(t, url)]);
    t.equal(code, 0, 'headgate reckons with it');
    t.match(of('clock'), { level: 'warn', message: words });
  }
});

t.test('What keeps a daemon from starting fails, with what to do.', async (t) => {
  const taken = await upstreamFor(t, models);
  const config = await configFor(t, taken, 'nonsense: 1\nmode: loud\n');
  const bad = await doctor(t, ['--config', config]);
  t.equal(bad.code, 1);
  t.match(bad.text, `${config}:4:1: nonsense`);
  t.match(bad.text, `${config}:5:7: mode`, 'every mistake, with its place');
  t.match(bad.of('database'), { level: 'warn', message: /not looked at/ });

  writeFileSync(config, `listen: ${taken.slice('http://'.length)}\n`);
  const port = await doctor(t, ['--config', config]);
  t.match(port.of('port'), { level: 'fail', message: /another program, which is not headgate/ });

  const gone = `http://127.0.0.1:${await freePort()}`;
  t.match((await doctor(t, ['--url', gone, '--config', config])).of('port'), {
    level: 'fail',
    message: `no daemon answers at ${gone}`,
  });
  const nobody = await doctor(t, ['--config', await configFor(t, gone)], { GEMINI_API_KEY: KEY });
  t.match(nobody.of('upstream'), { level: 'fail', message: /cannot be reached: ECONNREFUSED/ });
  t.match(nobody.of('clock'), { level: 'warn', message: /not compared/ });
  t.match(nobody.of('key'), { level: 'warn', message: /not tried/ }, 'nothing is left out');
  const keyless = await doctor(t, ['--config', await configFor(t, gone)]);
  t.match(keyless.of('key'), { level: 'warn', message: 'none is configured' });
});

t.test('A database that cannot be used fails.', async (t) => {
  const config = await configFor(t, await upstreamFor(t, models));
  const path = join(config, '..', 'headgate.db');
  openDatabase(path).close();
  const database = async () => (await doctor(t, ['--config', config])).of('database');
  t.match(await database(), { level: 'ok', message: /schema \d+, no damage found/ });

  const newer = new Database(path);
  newer.pragma('user_version = 999');
  newer.close();
  t.match(await database(), { level: 'fail', message: /newer headgate \(schema 999/ });

  const locked = new Database(path);
  locked.pragma('user_version = 1');
  locked.exec('BEGIN IMMEDIATE');
  t.match(await database(), { level: 'fail', message: /locked by another program/ });
  locked.exec('ROLLBACK');
  locked.close();
  t.match(await database(), { level: 'ok', message: /schema 1, which becomes \d+ at the next/ });

  writeFileSync(path, 'no database '.repeat(1000));
  t.match(await database(), { level: 'fail', message: /not a database or is damaged/ });
});

t.test('A disk without room fails, and one with little is warned of.', async (t) => {
  const room = (megabytes: number) => checkRoom('/state/headgate.db', megabytes * 1_048_576);
  t.match(room(0.5), { level: 'fail', message: 'the disk of /state/headgate.db has 0 MB left' });
  t.match(room(63), { level: 'warn', message: /has 63 MB left/, hint: /Make room/ });
  t.equal(room(64), null);
});

t.test('Variables that lead clients past headgate are told.', async (t) => {
  const config = await configFor(t, await upstreamFor(t, models));
  const shell = async (env: Record<string, string>) =>
    (await doctor(t, ['--config', config], env)).of('shell');
  t.match(await shell({ GEMINI_API_KEY: KEY }), {
    level: 'warn',
    message: /GEMINI_API_KEY is set and GOOGLE_GEMINI_BASE_URL is not/,
    hint: /headgate env/,
  });
  t.match(await shell({ GOOGLE_GEMINI_BASE_URL: `https://u:${KEY}@example.org/${KEY}` }), {
    level: 'warn',
    message: /^GOOGLE_GEMINI_BASE_URL points to example\.org, not to headgate at http/,
  });
  t.match(await shell({ GOOGLE_GENAI_USE_VERTEXAI: 'true' }), { level: 'warn' });
  t.match(await shell({ OPENAI_BASE_URL: 'https://api.openai.com/v1' }), { level: 'ok' });
  const url = `https://generativelanguage.googleapis.com/v1beta/openai/`;
  t.match(await shell({ OPENAI_BASE_URL: url }), { level: 'warn', hint: /headgate env openai/ });
});

t.test(
  'A MassGen that keeps a limit of its own is told.',
  { skip: process.platform !== 'linux' && 'needs /proc' },
  async (t) => {
    const config = await configFor(t, await upstreamFor(t, models));
    const rest = 'setInterval(() => {}, 60_000); console.log(1)';
    const child = spawn(process.execPath, ['-e', rest, 'massgen', '--rate-limit']);
    t.teardown(() => child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    const { of } = await doctor(t, ['--config', config]);
    t.match(of('massgen'), { level: 'warn', message: /here with --rate-limit: calls wait twice/ });
  },
);
