import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runInNewContext } from 'node:vm';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { AGENT_PATTERN } from '../../src/cli/env.ts';
import { NAME_PATTERN } from '../../src/gemini/route.ts';
import { runInside } from '../support/cli.ts';
import { clientsPage } from '../support/clients-page.ts';
import { call, limits, startGate } from '../support/gate.ts';

const URL = 'http://127.0.0.1:4290';
const NAMES = [
  'massgen',
  'gemini-cli',
  'genai-js',
  'genai-python',
  'ai-sdk',
  'langchain',
  'openai',
  'litellm',
  'curl',
];

/** What a variable holds in a shell that has evaluated the text. Throws when the shell gives up. */
function inShell(text: string, variable: string, env: Readonly<Record<string, string>> = {}) {
  const script = `eval "$TEXT"; printf %s "$${variable}"`;
  return execFileSync('/bin/sh', ['-euc', script], {
    env: { PATH: process.env['PATH'] ?? '', TEXT: text, ...env },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

/** What a client is made with where the printed line of code runs as it stands, in `env`. */
function madeWith(code: string, maker: string, env: object = {}): unknown {
  const [, name] = /const (\w+) =/.exec(code) ?? [];
  // It can be called with and without `new`.
  const take = function (options: object) {
    return options;
  };
  const made = runInNewContext(`${code}; JSON.stringify(${name})`, {
    [maker]: take,
    process: { env },
  });
  return JSON.parse(made);
}

/** Why a test of a program is left out; false where it can run. */
function lacks(program: string): string | false {
  return spawnSync(program, ['--version']).error === undefined
    ? false
    : `${program} is not on PATH`;
}

async function printed(t: Test, ...argv: string[]) {
  const { code, stdout, stderr } = await runInside(t, ['env', ...argv]);
  t.equal(code, 0, argv.join(' '));
  return { stdout, stderr };
}

t.test('Without a name it lists the clients that it knows.', async (t) => {
  const { stdout, stderr } = await printed(t);
  const names = stdout.trim().split('\n').slice(1);
  t.same(
    names.map((line) => line.split(/\s+/)[0]),
    NAMES,
  );
  t.match(stderr, /headgate env CLIENT/);
  const { clients } = JSON.parse((await printed(t, '--json')).stdout);
  t.same(
    clients.map(({ name }: { name: string }) => name),
    NAMES,
  );
});

for (const [client, variable, path, key] of [
  ['massgen', 'GOOGLE_GEMINI_BASE_URL', '', 'GEMINI_API_KEY'],
  ['gemini-cli', 'GOOGLE_GEMINI_BASE_URL', '', 'GEMINI_API_KEY'],
  ['genai-js', 'GOOGLE_GEMINI_BASE_URL', '', 'GEMINI_API_KEY'],
  ['genai-python', 'GOOGLE_GEMINI_BASE_URL', '', 'GEMINI_API_KEY'],
  ['openai', 'OPENAI_BASE_URL', '/v1beta/openai/', 'OPENAI_API_KEY'],
] as const) {
  t.test(`What it prints for ${client} sets ${variable} and ${key} in a shell.`, async (t) => {
    const { stdout } = await printed(t, client);
    t.equal(inShell(stdout, variable), URL + path);
    t.equal(inShell(stdout, key), 'headgate');
    const own = { GEMINI_API_KEY: 'AIza-own', OPENAI_API_KEY: 'sk-of-openai' };
    t.equal(inShell(stdout, key, own), 'AIza-own', 'a Gemini key of the user is kept');
    const named = await printed(t, client, '--agent', 'x@1');
    const prefix = client === 'massgen' ? '' : '/agents/x@1';
    t.equal(inShell(named.stdout, variable), URL + prefix + path);
  });
}

t.test('MassGen is told how each agent names itself, and to leave its limiter off.', async (t) => {
  for (const [agent, ...flags] of [['agent_a'], ['true', '--agent', 'true']] as const) {
    const { stdout, stderr } = await printed(t, 'massgen', ...flags);
    const yaml = stdout.split('\n').filter((line) => line.startsWith('# '));
    const headers = { 'x-headgate-agent': agent };
    t.strictSame(parse(yaml.map((line) => line.slice(2)).join('\n')), {
      agents: [{ id: agent, backend: { type: 'gemini', http_options: { headers } } }],
    });
    t.match(stderr, /Leave MassGen's own --rate-limit off/);
  }
});

t.test('The lines of code run, and hold the address and the key of each client.', async (t) => {
  const code = async (client: string, ...flags: string[]) =>
    (await printed(t, client, ...flags)).stdout;
  const uncommented = (text: string) => text.replaceAll(/^export .*\n/gm, '').replaceAll('# ', '');
  t.strictSame(madeWith(await code('ai-sdk'), 'createGoogleGenerativeAI'), {
    apiKey: 'headgate',
    baseURL: `${URL}/v1beta`,
  });
  t.strictSame(madeWith(uncommented(await code('genai-js')), 'GoogleGenAI'), {
    apiKey: 'headgate',
    httpOptions: { baseUrl: URL },
  });
  t.strictSame(madeWith(await code('langchain', '--agent', 'a:b'), 'ChatGoogleGenerativeAI'), {
    model: 'gemini-2.5-flash',
    apiKey: 'headgate',
    baseUrl: `${URL}/agents/a:b`,
  });
  const own = { GEMINI_API_KEY: 'AIza-own' };
  const kept = madeWith(await code('ai-sdk'), 'createGoogleGenerativeAI', own);
  t.match(kept, { apiKey: 'AIza-own' });
  t.match(await code('langchain'), `base_url="${URL}"`);
  t.match(await code('genai-python'), `http_options={"base_url": "${URL}"}`);
  t.match(await code('genai-python'), 'api_key=os.environ.get("GEMINI_API_KEY", "headgate")');
  const [model] = parse(await code('litellm')).model_list;
  t.match(model.litellm_params, { api_base: `${URL}/v1beta`, api_key: 'headgate' });
});

t.test('The code for Python is of that language.', { skip: lacks('python3') }, async (t) => {
  const { stdout } = await printed(t, 'genai-python', '--agent', 'x@1');
  const script = [
    'import os, types',
    'genai = types.SimpleNamespace(Client=dict)',
    stdout.replaceAll(/^export .*\n/gm, '').replaceAll(/^# /gm, ''),
    'print(client["api_key"], client["http_options"]["base_url"])',
  ].join('\n');
  const options = { encoding: 'utf8', env: { PATH: process.env['PATH'] ?? '' } } as const;
  t.equal(execFileSync('python3', ['-c', script], options), `headgate ${URL}/agents/x@1\n`);
});

t.test(
  'The command for curl gets an answer when it is pasted.',
  { skip: lacks('curl') },
  async (t) => {
    const gate = await startGate(t, { config: { rate_limits: limits({}) } });
    const { stdout } = await printed(t, 'curl', '--url', gate.url, '--agent', 'pasted');
    const child = spawn('/bin/sh', ['-euc', stdout], {
      env: { PATH: process.env['PATH'] ?? '', GEMINI_API_KEY: 'AIza-client', no_proxy: '*' },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let answer = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      answer += text;
    });
    await once(child, 'close');
    t.match(JSON.parse(answer), { candidates: [{ content: { role: 'model' } }] }, answer);
    t.match((await call(gate, '/usage?by=agent')).text, /"pasted"/);
  },
);

t.test(
  'The address is that of the configuration, and a token is told of but not shown.',
  async (t) => {
    const file = join(t.testdir(), 'config.yaml');
    const token = 'admin-token-of-twenty-chars';
    const listen = '0.0.0.0:8123';
    writeFileSync(file, JSON.stringify({ listen, admin: { token } }));
    const { stdout, stderr } = await printed(t, 'gemini-cli', '--config', file);
    const known = { HEADGATE_TOKEN: token, GEMINI_API_KEY: 'AIza-own' };
    t.equal(inShell(stdout, 'GOOGLE_GEMINI_BASE_URL', known), 'http://127.0.0.1:8123');
    t.equal(inShell(stdout, 'GEMINI_API_KEY', known), token, 'the token is sent as the key');
    t.throws(() => inShell(stdout, 'GEMINI_API_KEY', { GEMINI_API_KEY: 'AIza-own' }));
    t.match(stderr, /sends headgate's admin\.token/);
    t.notMatch(stdout + stderr, token);
    for (const client of ['genai-js', 'genai-python', 'ai-sdk', 'langchain', 'litellm', 'curl']) {
      const there = await printed(t, client, '--url', 'http://gate.example:8080/');
      t.match(there.stdout, 'HEADGATE_TOKEN', client);
      t.notMatch(there.stdout, /(?::-|")headgate\b/, client);
      t.match(there.stdout, 'http://gate.example:8080', client);
    }
  },
);

t.test(
  'The page of clients shows what is printed, and the addresses in its table are those.',
  async (t) => {
    const { rows, sections } = clientsPage();
    const shown = sections.filter(({ envName }) => envName !== null);
    t.strictSame(new Set(shown.map(({ envName }) => envName)), new Set(NAMES));
    for (const { envName, code } of shown) t.equal((await printed(t, envName ?? '')).stdout, code);
    for (const { name, address, section } of rows) {
      if (section !== null && address !== null) t.match(section.code, address, name);
    }
  },
);

t.test('JSON holds the same, and a shell takes an address with a quote as it is.', async (t) => {
  const { stdout } = await printed(t, 'openai', '--json', '--agent', 'critic');
  t.match(JSON.parse(stdout), {
    client: 'openai',
    url: URL,
    agent: 'critic',
    variables: { OPENAI_BASE_URL: `${URL}/agents/critic/v1beta/openai/` },
    key: { variable: 'OPENAI_API_KEY', from: 'GEMINI_API_KEY', otherwise: 'headgate' },
  });
  const odd = await printed(t, 'gemini-cli', '--url', "http://127.0.0.1/a'b$(exit 3)");
  t.equal(inShell(odd.stdout, 'GOOGLE_GEMINI_BASE_URL'), "http://127.0.0.1/a'b$(exit 3)");
});

t.test('An unknown client and a name that cannot be are refused with what would do.', async (t) => {
  const unknown = await runInside(t, ['env', 'claude']);
  t.match(unknown, { code: 2, stdout: '', stderr: /no settings are known for 'claude'.*massgen/ });
  for (const agent of ['a/b', '..', '', 'x'.repeat(65)]) {
    const { code, stderr } = await runInside(t, ['env', 'curl', '--agent', agent]);
    t.equal(code, 2, agent);
    t.match(stderr, /--agent is/);
  }
  t.equal(AGENT_PATTERN.source, NAME_PATTERN.source);
});
