import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ConfigError } from '../../src/config/problems.ts';
import { loadConfig } from '../../src/config/load.ts';
import { runInside } from '../support/cli.ts';
import { startGate } from '../support/gate.ts';
import { LIVE_PATH, SETUP, talkTo } from '../support/live.ts';
import { bodyOf } from '../support/loopback.ts';

/** A self-signed pair for 127.0.0.1; null where openssl is not installed. */
function pairFor(t: Test): { readonly directory: string; readonly ca: string } | null {
  const directory = mkdtempSync(join(tmpdir(), 'headgate-tls-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const files = ['-keyout', join(directory, 'a.key'), '-out', join(directory, 'a.crt')];
  try {
    execFileSync('openssl', ['req', '-x509', '-days', '2', ...curve, ...subject, ...files], {
      stdio: 'ignore',
    });
  } catch {
    return null;
  }
  return { directory, ca: readFileSync(join(directory, 'a.crt'), 'utf8') };
}

t.test('with a certificate headgate speaks https and wss', async (t) => {
  const pair = pairFor(t);
  if (pair === null) return void t.pass('skipped: openssl is not installed');
  const { directory, ca } = pair;
  const tls = { cert: join(directory, 'a.crt'), key: join(directory, 'a.key') };
  const gate = await startGate(t, { config: { tls } });
  t.match(gate.url, /^https:\/\/127\.0\.0\.1:\d+$/);
  const outgoing = request(`${gate.url}/livez`, { ca, agent: false }).end();
  const [response] = await once(outgoing, 'response');
  t.equal(response.statusCode, 200);
  await bodyOf(response);
  const offering = request(`${gate.url}/v1beta/models`, {
    ca,
    agent: false,
    headers: { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAEA' },
  }).end();
  const [plain] = await once(offering, 'response');
  t.equal(plain.statusCode, 200);
  t.match((await bodyOf(plain)).toString(), /models/);

  const talk = await talkTo(gate, LIVE_PATH, { ca });
  talk.socket.send(SETUP);
  t.strictSame(await talk.nextJson(), { setupComplete: {} });
  talk.socket.close(1000, 'done');
  t.match(await talk.closed, { code: 1000 });
  t.notMatch(gate.log.join(''), /PRIVATE KEY/);

  // Commands find the daemon of a configuration by its `listen`.
  const { port } = new URL(gate.url);
  gate.configure({ tls, listen: `127.0.0.1:${port}` });
  const status = await runInside(t, ['status', '--config', gate.file]);
  t.equal(status.code, 0, status.stderr);
  t.match(status.stdout, gate.url);
});

t.test('a pair that cannot be used is told at its place in the file', async (t) => {
  const pair = pairFor(t);
  const other = pairFor(t);
  if (pair === null || other === null) return void t.pass('skipped: openssl is not installed');
  const { directory } = pair;
  writeFileSync(join(directory, 'not.pem'), 'nothing');
  writeFileSync(join(directory, 'other.key'), readFileSync(join(other.directory, 'a.key')));
  const file = join(directory, 'config.yaml');
  const mistakesOf = (tls: string): string => {
    writeFileSync(file, `listen: 127.0.0.1:0\ntls:\n${tls}`);
    try {
      loadConfig({ file, env: {}, cwd: directory, flags: {} });
    } catch (error) {
      if (error instanceof ConfigError) return error.message;
      throw error;
    }
    return '';
  };
  t.equal(mistakesOf('  cert: a.crt\n  key: a.key\n'), '');
  t.match(
    mistakesOf('  cert: none.crt\n  key: a.key\n'),
    /config\.yaml:3:\d+: .*none\.crt cannot be read: there is no such file/,
  );
  t.match(
    mistakesOf('  cert: a.crt\n  key: not.pem\n'),
    /config\.yaml:4:\d+: .*holds no PEM of a private key/,
  );
  t.match(
    mistakesOf('  cert: not.pem\n  key: a.key\n'),
    /config\.yaml:3:\d+: .*holds no PEM of a certificate/,
  );
  t.match(
    mistakesOf('  cert: a.crt\n  key: other.key\n'),
    /config\.yaml:4:\d+: .*is not the key of the certificate/,
  );
  t.match(mistakesOf('  cert: a.crt\n'), /config\.yaml:\d+:\d+: .*key/);
});
