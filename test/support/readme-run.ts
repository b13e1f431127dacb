import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Browser } from 'playwright-core';
import type { Clock } from '../../src/clock.ts';
import { freePort } from './daemon.ts';
import { barsOf, type Bars } from './page-bars.ts';
import { type DocBlock, readPage, ROOT } from './doc-pages.ts';
import {
  commandsOf,
  type DocShell,
  type LastingCommand,
  type Lifetime,
  openShell,
} from './doc-shell.ts';

/** Is told of everything that happens in a run. */
export interface ReadmeWitness {
  block(block: DocBlock): void;
  /** A command has ended; one that lasts is ready. */
  ran(command: string, ms: number): void;
  /** What must hold, as a sentence; `seen` is what there was instead. */
  holds(sentence: string, isTrue: boolean, seen: string): void;
  skipped(what: string, why: string): void;
}

export interface ReadmeOptions {
  /** Empty, and the run's own. */
  readonly directory: string;
  readonly witness: ReadmeWitness;
  readonly clock: Clock;
  /** Null where there is none: then nobody looks at the page. */
  readonly browser: Browser | null;
  /** Whether to install and to show the demo; else the dependencies of this tree are linked. */
  readonly isWhole: boolean;
}

/** Whether there is a commit of this tree that can be cloned, as there is not in a package. */
export const IS_REPOSITORY = existsSync(join(ROOT, '.git'));

/** As the page prints it. */
const PRINTED = { host: '127.0.0.1', port: 4290 };
const LASTING = /^npm start( -- --simulate)?$/;
const INSTALLS = /^npm ci\b/;
const CALLS = /^curl\b[\s\S]*\/v1beta\//;
/** An installation downloads, and may have to compile. */
const COMMAND_MS_MAX = 15 * 60_000;

/** What commands print when they have done what the page says. Each must be on the page. */
const PROMISES: readonly {
  readonly command: RegExp;
  readonly prints: RegExp;
  readonly sentence: string;
}[] = [
  {
    command: /npm run demo$/,
    prints: /upstream 429s +0 +[1-9]/,
    sentence: 'the fleet draws no 429 with headgate, and some without',
  },
  {
    command: /:generateContent/,
    prints: /"text": /,
    sentence: 'the question is answered',
  },
  {
    command: /:streamGenerateContent/,
    prints: /^data: /m,
    sentence: 'the answer comes as a stream',
  },
  {
    command: /^headgate explain/,
    prints: /a call would/,
    sentence: 'explain tells whether a call would pass',
  },
  {
    command: /^headgate sessions list/,
    prints: /^log_\d+/m,
    sentence: 'the sample is listed',
  },
  {
    command: /^headgate continue/,
    prints: /turn 3 written to /,
    sentence: 'continue takes the next turn and writes it',
  },
  {
    command: /\/sessions\/latest\/continue/,
    prints: /"turn":4,[\s\S]*"text":"[^"]/,
    sentence: 'so does the route, which goes on from there',
  },
  {
    command: /headgate env gemini-cli/,
    prints: /never through headgate/,
    sentence: 'env says what is to be known beside the variables',
  },
  {
    command: /^headgate doctor/,
    prints: /^ok +port [\s\S]*^ok +database [\s\S]*^ok +upstream [\s\S]*^ok +key /m,
    sentence: 'doctor finds port, database, upstream and key in order',
  },
  {
    command: /^headgate usage/,
    prints: /^AGENT [\s\S]*^curl\S+ +1 /m,
    sentence: 'usage counts the call of the client that was pointed here',
  },
];

/** A call as a client makes it that has the variables of `headgate env gemini-cli`. */
const CLIENT_CALL = `curl "$GOOGLE_GEMINI_BASE_URL/v1beta/models/gemini-2.5-flash:generateContent" \\
  -H "x-goog-api-key: $GEMINI_API_KEY" -H 'content-type: application/json' \\
  -d '{"contents":[{"role":"user","parts":[{"text":"Are you there?"}]}]}'`;

/** An answer that is an error fails the command, and a person would see no progress meter. */
const PRELUDE = 'curl() { command curl --silent --show-error --fail-with-body "$@"; }';

/**
 * Does what a person does who has README.md and nothing else: clones what is committed, and types its
 * blocks in their order into two terminals, in a home of their own. In place of the real Gemini API
 * there is a `headgate simulate`, which a configuration file names; nothing else differs from the page,
 * but for the port where somebody has it already.
 */
export async function runReadme(t: Lifetime, options: ReadmeOptions): Promise<void> {
  const { directory, witness } = options;
  const clone = join(directory, 'headgate');
  cloneInto(clone);
  const port = (await isFree(PRINTED.port)) ? PRINTED.port : await freePort();
  const home = join(directory, 'home');
  mkdirSync(home);
  if (!options.isWhole) symlinkSync(join(ROOT, 'node_modules'), join(clone, 'node_modules'));
  const config = join(home, '.config/headgate/config.yaml');
  mkdirSync(dirname(config), { recursive: true });
  const address = `${PRINTED.host}:${port}`;
  if (port !== PRINTED.port) {
    writeFileSync(config, `listen: ${address}\n`);
    witness.skipped(`port ${PRINTED.port}`, `it is taken; this run has ${port}`);
  }
  const open = (): DocShell =>
    openShell(t, {
      cwd: clone,
      env: environment(home),
      prelude: PRELUDE,
      commandMsMax: COMMAND_MS_MAX,
    });
  const person = personAt({ ...options, t, config, address, open });

  const page = readPage('README.md', readFileSync(join(clone, 'README.md'), 'utf8'));
  for (const block of page.blocks) {
    witness.block(block);
    if (block.language === 'sh') await person.types(block);
    else if (block.language === 'yaml') await person.configures(block);
    else witness.holds(`${block.place} is commands or a configuration`, false, block.language);
  }
  await person.leaves();
}

interface Desk extends ReadmeOptions {
  readonly t: Lifetime;
  /** The file of the configuration, in the person's home. */
  readonly config: string;
  readonly address: string;
  readonly open: () => DocShell;
}

/** Somebody with two terminals and a browser. */
function personAt(desk: Desk) {
  const { witness, clock, config, address, open, isWhole } = desk;
  const terminals = { daemon: open(), other: open() };
  let daemon: LastingCommand | null = null;
  let bars: Bars | null = null;
  const kept = new Set<RegExp>();

  const timed = async <T>(command: string, work: () => Promise<T>): Promise<T> => {
    const startedMs = clock.monotonicMs();
    const result = await work();
    witness.ran(command, clock.monotonicMs() - startedMs);
    return result;
  };

  const stop = async (): Promise<void> => {
    if (daemon === null) return;
    await bars?.close();
    bars = null;
    const { printed } = await daemon.interrupt();
    witness.holds('Ctrl-C stops the daemon', !/uncaught|fatal/i.test(printed), printed);
    daemon = null;
  };

  const serve = async (command: string): Promise<void> => {
    daemon = await timed(command, () => terminals.daemon.start(command, /listening on http/));
    if (desk.browser === null) return;
    bars = await barsOf(desk.t, desk.browser, `http://${address}/`);
  };

  const run = async (terminal: DocShell, command: string): Promise<void> => {
    const before = CALLS.test(command) ? await bars?.read() : undefined;
    const { code, printed } = await timed(command, () => terminal.run(command));
    witness.holds('the command succeeds', code === 0, printed);
    for (const { command: wanted, prints, sentence } of PROMISES) {
      if (!wanted.test(command)) continue;
      kept.add(wanted);
      witness.holds(sentence, prints.test(printed), printed);
    }
    if (before === undefined || bars === null) return;
    const risen = await bars.risenFrom(before);
    witness.holds(`a bar of the page moves: ${risen ?? 'none'}`, risen !== null, printed);
  };

  return {
    async types({ text }: DocBlock): Promise<void> {
      const commands = commandsOf(text.replaceAll(`${PRINTED.host}:${PRINTED.port}`, address)).map(
        (command) => ({ command, bare: command.replace(/\s+#.*$/, '').trim() }),
      );
      const isDaemon = commands.some(({ bare }) => LASTING.test(bare));
      if (isDaemon) await stop();
      // "Use it" is in front of the real Gemini API, which no test may ask.
      if (commands.some(({ bare }) => bare === 'npm start')) await standIn(desk);
      for (const { command, bare } of commands) {
        if (LASTING.test(bare)) await serve(command);
        else if (!isWhole && INSTALLS.test(bare)) {
          witness.skipped(
            bare,
            'dependencies are linked; the demo is run by test/cli/demo.test.ts',
          );
          for (const { command: wanted } of PROMISES) if (wanted.test(bare)) kept.add(wanted);
        } else await run(isDaemon ? terminals.daemon : terminals.other, command);
        if (/headgate env/.test(bare)) await run(terminals.other, CLIENT_CALL);
      }
    },
    async configures({ text, place }: DocBlock): Promise<void> {
      appendFileSync(config, text);
      const check = await terminals.other.run('headgate check --json');
      witness.holds('headgate check finds it good', check.code === 0, check.printed);
      // The daemon may have read it already, since it changed.
      const reload = await terminals.other.run('headgate reload');
      const [, hash = null] = /"hash": *"(\w+)"/.exec(check.printed) ?? [];
      const isTaken = hash !== null && reload.printed.includes(hash);
      witness.holds(`the daemon takes ${place}`, isTaken, reload.printed + check.printed);
    },
    async leaves(): Promise<void> {
      if (desk.browser === null) {
        witness.skipped('the page', 'there is no Chromium on this machine');
      }
      for (const { command, sentence } of PROMISES) {
        if (!kept.has(command)) witness.holds(sentence, false, 'README.md has no such command');
      }
      await stop();
    },
  };
}

/** A simulated Gemini in place of the real one, by the configuration. */
async function standIn({ open, config }: Desk): Promise<void> {
  const { found } = await open().start('node dist/main.js simulate', /^http:\S+$/m);
  appendFileSync(config, `upstream: { base_url: '${found[0]}' }\n`);
}

function cloneInto(directory: string): void {
  const env = Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_'));
  const argv = ['clone', '--quiet', '--no-hardlinks', ROOT, directory];
  const { status, stderr } = spawnSync('git', argv, {
    env: Object.fromEntries(env),
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`git ${argv.join(' ')}: ${stderr}`);
}

/**
 * Nothing of the person who runs this but how the network is reached, and where npm installs from: what
 * npm, a client or a shell has set would change what the page's lines do.
 */
function environment(home: string): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) =>
    /^(LANG|LC_\w+|TMPDIR|USER|LOGNAME|https?_proxy|NODE_EXTRA_CA_CERTS|SSL_CERT_FILE)$/i.test(
      name,
    ),
  );
  const PATH = (process.env['PATH'] ?? '')
    .split(':')
    .filter((folder) => !/node_modules|node-gyp-bin/.test(folder))
    .join(':');
  const npmrc = process.env['npm_config_userconfig'] ?? join(homedir(), '.npmrc');
  return {
    ...Object.fromEntries(kept),
    PATH,
    HOME: home,
    no_proxy: PRINTED.host,
    ...(existsSync(npmrc) ? { npm_config_userconfig: npmrc } : {}),
  };
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const isListening = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, PRINTED.host, () => resolve(true));
  });
  if (!isListening) return false;
  server.close();
  await once(server, 'close');
  return true;
}
