import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/load.ts';
import { checkSource } from '../../src/http/guard.ts';
import { directoryFor } from '../support/daemon.ts';
import { parsePlist } from '../support/plist.ts';
import { eventually, missing, RULES } from '../support/prometheus.ts';

const ROOT = new URL('../../', import.meta.url);
const UNITS = ['config/headgate.service', 'config/headgate-user.service'];
const PLIST = 'config/headgate.plist';

interface Service {
  readonly ports: readonly string[];
  readonly volumes: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
}

function pathOf(path: string): string {
  return fileURLToPath(new URL(path, ROOT));
}

function textOf(path: string): string {
  return readFileSync(pathOf(path), 'utf8');
}

const compose = parse(textOf('compose.yaml'));
const services: Readonly<Record<string, Service>> = compose.services;

t.test('compose opens ports on loopback only, and mounts what is there', async (t) => {
  t.strictSame(Object.keys(services), ['headgate', 'prometheus', 'grafana']);
  const volumes = Object.keys(compose.volumes);
  for (const [name, service] of Object.entries(services)) {
    for (const port of service.ports) t.match(port, /^127\.0\.0\.1:\d+:\d+$/, name);
    for (const volume of service.volumes) {
      const [source = ''] = volume.split(/:(?=\/)/);
      if (source.startsWith('./')) t.ok(existsSync(pathOf(source)), `${name} mounts ${source}`);
      else t.ok(source.startsWith('${') || volumes.includes(source), `${name} mounts ${source}`);
    }
    for (const value of Object.values(service.environment ?? {})) t.type(value, 'string', name);
  }
});

t.test('in compose, Prometheus reaches headgate with its name and token', async (t) => {
  const shipped = parse(textOf('config/prometheus/prometheus.yml'));
  const [job] = shipped.scrape_configs;
  const [target = ''] = job.static_configs[0].targets;
  const [host = '', port] = target.split(':');
  t.ok(Object.hasOwn(services, host), `${host} is a service`);
  t.match(textOf('Dockerfile'), `EXPOSE ${port}\n`);
  t.match(textOf('Dockerfile'), 'COPY config/container.yaml /etc/headgate/config.yaml');

  const { admin } = loadConfig({
    file: pathOf('config/container.yaml'),
    env: { HEADGATE_TOKEN: 'chosen', HOME: directoryFor(t) },
    cwd: directoryFor(t),
    flags: {},
  });
  t.equal(admin.token, 'chosen');
  const settings = { ...admin, listenHost: '0.0.0.0' };
  const caller = { method: 'GET', headers: { host: target } };
  t.doesNotThrow(() => checkSource(caller, settings));
  t.throws(() => checkSource(caller, { ...settings, allowedHosts: [] }), /admin\.allowed_hosts/);

  const [secret = ''] = services['prometheus']?.secrets ?? [];
  t.equal(job.authorization.credentials_file, `/run/secrets/${secret}`);
  t.equal(compose.secrets[secret].environment, 'HEADGATE_TOKEN');
  t.ok(services['prometheus']?.volumes.includes('./config/prometheus:/etc/prometheus:ro'));
  for (const file of shipped.rule_files) t.ok(existsSync(join(RULES, file)), file);
});

t.test('in compose, Grafana finds Prometheus and the dashboard', async (t) => {
  const { datasources } = parse(textOf('config/grafana/datasources.yaml'));
  const { hostname, port } = new URL(datasources[0].url);
  t.match(services[hostname]?.ports, [`127.0.0.1:${port}:${port}`]);
  const mounts = new Map(
    services['grafana']?.volumes.map((volume) => {
      const [source = '', target = ''] = volume.split(':');
      return [source, target];
    }),
  );
  const dashboard = mounts.get('./config/grafana/headgate.json') ?? '';
  const { providers } = parse(textOf('config/grafana/dashboards.yaml'));
  t.equal(providers[0].options.path, dirname(dashboard));
  const { environment = {} } = services['grafana'] ?? {};
  t.equal(environment['GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH'], dashboard);
  for (const kind of ['datasources', 'dashboards']) {
    t.match(
      mounts.get(`./config/grafana/${kind}.yaml`),
      `/etc/grafana/provisioning/${kind}/`,
      `Grafana reads its ${kind}`,
    );
  }
});

t.test('systemd takes the units', { skip: missing('systemd-analyze') }, async (t) => {
  for (const unit of UNITS) {
    const manager = unit.includes('user') ? '--user' : '--system';
    const { status, stderr } = spawnSync('systemd-analyze', [manager, 'verify', pathOf(unit)], {
      encoding: 'utf8',
      env: { ...process.env, XDG_RUNTIME_DIR: directoryFor(t) },
    });
    t.equal(status, 0, `${unit}: ${stderr}`);
    t.equal(stderr, '', `${unit} has no warning`);
  }
});

t.test('the commands of the units start headgate, and SIGTERM ends it well', async (t) => {
  for (const unit of UNITS) {
    const [, line = ''] = /^ExecStart=(.+)$/m.exec(textOf(unit)) ?? [];
    const home = homeOf(t);
    const argv = line.replace('/etc/headgate', join(home, '.config/headgate')).split(' ');
    const started = start(t, home, argv, { GEMINI_API_KEY: 'test-key' });
    await eventually(
      async () => started.stderr() + started.exitCode(),
      (said) => !said.endsWith('null') || said.includes('listening on'),
    );
    t.match(started.stderr(), 'listening on', unit);
    t.equal(await started.end(), 0, unit);
  }
});

t.test(
  'the command of the plist starts headgate with what the environment file says',
  async (t) => {
    const plist = parsePlist(textOf(PLIST));
    t.match(plist, { Label: 'headgate', RunAtLoad: true, KeepAlive: { SuccessfulExit: false } });
    const argv = argvOf(plist);
    const home = homeOf(t);
    writeFileSync(join(home, '.config/headgate/environment'), 'GEMINI_API_KEY=test-key\n');
    const started = start(t, home, argv, {});
    const log = join(home, 'Library/Logs/headgate.log');
    const read = async () => (existsSync(log) ? readFileSync(log, 'utf8') : '');
    const said = await eventually(read, (text) => text.includes('listening on'));
    t.match(said, 'listening on');
    t.equal(await started.end(), 0);

    writeFileSync(join(home, '.config/headgate/environment'), '');
    const refused = start(t, home, argv, {});
    t.equal(await refused.ended, 0, 'launchd does not start it again with a bad configuration');
    t.match(await read(), 'GEMINI_API_KEY', 'the log says what is wrong');
  },
);

t.test('what launchd would not take is no property list', async (t) => {
  const text = textOf(PLIST);
  for (const [what, broken] of [
    ['a tag without its end', text.replace('</dict>', '')],
    ['a value without a key', text.replace('<key>Label</key>', '')],
    ['a bare ampersand', text.replace('exec headgate', '&& headgate')],
    ['a second value', text.replace('</plist>', '<true/></plist>')],
  ] as const) {
    t.not(broken, text);
    t.throws(() => parsePlist(broken), what);
  }
});

function argvOf(plist: unknown): string[] {
  if (typeof plist === 'object' && plist !== null && 'ProgramArguments' in plist) {
    const { ProgramArguments: argv } = plist;
    if (Array.isArray(argv)) return argv.map(String);
  }
  throw new Error('the plist names no command');
}

/** A home with a configuration that needs a key from the environment, and headgate on its PATH. */
function homeOf(t: Test): string {
  const home = directoryFor(t);
  const own = join(home, '.config/headgate');
  mkdirSync(own, { recursive: true });
  mkdirSync(join(home, 'bin'));
  const config = {
    listen: '127.0.0.1:0',
    upstream: { base_url: 'http://127.0.0.1:9', api_key: '${GEMINI_API_KEY}' },
    log: { format: 'json' },
  };
  writeFileSync(join(own, 'config.yaml'), JSON.stringify(config));
  const program = join(home, 'bin/headgate');
  writeFileSync(
    program,
    `#!/bin/sh\nexec "${process.execPath}" "${pathOf('dist/main.js')}" "$@"\n`,
  );
  chmodSync(program, 0o755);
  return home;
}

function start(
  t: Test,
  home: string,
  [program = '', ...argv]: readonly string[],
  env: Record<string, string>,
) {
  const child = spawn(program, argv, {
    cwd: home,
    env: { HOME: home, PATH: [join(home, 'bin'), '/usr/bin', '/bin'].join(delimiter), ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = once(child, 'close').then(([code]: (number | null)[]) => code);
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return {
    ended,
    stderr: () => stderr,
    exitCode: () => child.exitCode,
    end() {
      child.kill('SIGTERM');
      return ended;
    },
  };
}
