import { join } from 'node:path';
import t, { type Test } from 'tap';
import { loadConfig } from '../../src/config/load.ts';

function loadText(t: Test, text: string, env: NodeJS.ProcessEnv = {}) {
  const directory = t.testdir({ 'config.yaml': text });
  return loadConfig({ file: join(directory, 'config.yaml'), env, cwd: '/cwd', flags: {} });
}

const ENV = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/' };

t.test('Traces are off unless the file names a collector.', async (t) => {
  for (const text of ['', 'tracing:\n', 'tracing: { otlp_endpoint: " " }', 'tracing: {}']) {
    t.equal(loadText(t, text, ENV).tracing, null, text);
  }
});

t.test('The address of the environment is taken where the file names the variable.', async (t) => {
  const text = 'tracing: { otlp_endpoint: "${OTEL_EXPORTER_OTLP_ENDPOINT:-}" }';
  t.equal(loadText(t, text).tracing, null);
  t.strictSame(loadText(t, text, ENV).tracing, {
    url: 'http://collector:4318/v1/traces',
    headers: {},
    sampleRatio: 1,
    serviceName: 'headgate',
  });
});

t.test('The path of traces is added once.', async (t) => {
  for (const path of ['', '/', '/v1/traces', '/v1/traces/']) {
    const { tracing } = loadText(t, `tracing: { otlp_endpoint: "https://c.example/otel${path}" }`);
    t.equal(tracing?.url, 'https://c.example/otel/v1/traces', path);
  }
});

t.test("A collector's key is a secret, and a tenant's name is none.", async (t) => {
  const text = (key: string) =>
    `tracing: { otlp_endpoint: "http://c:1", headers: { authorization: "${key}", x-org: prod } }`;
  const config = loadText(t, text('Bearer abcdefgh'));
  t.strictSame(config.secrets, ['Bearer abcdefgh']);
  t.equal(config.hash, loadText(t, text('Bearer ijklmnop')).hash);
});
