import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { loadConfig } from '../config/load.ts';
import type { Daemon } from '../daemon.ts';
import { createLogger } from '../log.ts';
import { type Simulator, startSimulator } from '../simulator/simulator.ts';
import { CommandFailure, type CliContext, printLine } from './context.ts';
import { runFleet } from './demo-fleet.ts';
import { demoSession } from './demo-session.ts';
import {
  DEMO_LIMITS,
  DEMO_MODELS,
  demoConfig,
  demoScenario,
  MINUTE_MS,
  planFleet,
  STARTUP_MS,
  TIME_DIVISOR,
} from './demo-plan.ts';
import { type ProgressOptions, showProgress } from './demo-progress.ts';
import { type FleetResult, reportLines, resultOf } from './demo-report.ts';
import { seededRandom } from './random.ts';
import { styleFor } from './style.ts';
import { counted } from './words.ts';

interface DemoFlags {
  readonly plain?: boolean;
}

const SEED = 42;

export function addDemo(program: Command, context: CliContext): void {
  program
    .command('demo')
    .description('a fleet of agents with and without headgate; no key, no network, under a minute')
    .option('--plain', 'lines instead of bars that move; also when stdout is no terminal')
    .addHelpText(
      'after',
      `
Examples:
  headgate demo
  headgate demo --plain | tee demo.txt

Exits with 1 when headgate let the simulated Gemini answer a single 429.`,
    )
    .action((flags: DemoFlags) => demo(context, flags));
}

async function demo(context: CliContext, flags: DemoFlags): Promise<void> {
  const { clock, env, stdout } = context;
  const style = styleFor(stdout, env);
  const isPlain = flags.plain === true || !stdout.isTTY;
  const options: ProgressOptions = { stdout, style, clock, isPlain };
  const say = (line = ''): void => printLine(stdout, line);
  for (const line of introLines()) say(line);

  say(style.bold('1. Through headgate'));
  const withHeadgate = await runWithHeadgate(context, options);
  say();
  say(style.bold('2. The same agents straight at the same Gemini'));
  const without = await runWithout(context, options);
  say();
  for (const line of reportLines(withHeadgate, without, style)) say(line);
  say();
  say(style.bold('3. A past conversation goes on'));
  await demoSession(context, style);
  say();
  for (const line of NEXT_STEPS) say(line);
  if (withHeadgate.rejections > 0) {
    throw new CommandFailure(
      'failed',
      `headgate drew ${counted(withHeadgate.rejections, 'upstream 429')}; that must not happen`,
    );
  }
  if (withHeadgate.answered < withHeadgate.calls) {
    const { answered, calls } = withHeadgate;
    throw new CommandFailure('failed', `headgate got ${answered} of ${calls} calls answered`);
  }
}

function introLines(): string[] {
  const agents = planFleet();
  const calls = agents.flatMap(({ calls }) => calls);
  const limits = DEMO_MODELS.map((model) => {
    const wanted = calls.filter((call) => call.model === model).length;
    return `  ${model.padEnd(16)}  ${counted(wanted, 'call')} to make, ${DEMO_LIMITS[model].rpm} a minute allowed`;
  });
  return [
    `${agents.length} agents (${agents.map(({ name }) => name).join(', ')}) make ${calls.length} calls to a`,
    'simulated Gemini, which lets nobody exceed the quota:',
    ...limits,
    `Time runs ${TIME_DIVISOR} times faster here: a minute is ${MINUTE_MS / 1000} s, the cooldown after an`,
    `agent's startup ${STARTUP_MS.flash / 1000} s (Flash) or ${STARTUP_MS.pro / 1000} s (Pro), a retry's delay a tenth.`,
    'Nothing leaves this machine.',
    '',
  ];
}

const NEXT_STEPS = [
  'Next, in front of a simulated Gemini, without a key:',
  '  npm start -- --simulate',
  '  curl http://127.0.0.1:4290/v1beta/models/gemini-2.5-flash:generateContent \\',
  "   -H 'x-goog-api-key: headgate' -H 'content-type: application/json' \\",
  `   -d '{"contents":[{"role":"user","parts":[{"text":"Why is the sky blue?"}]}]}'`,
  'Or for real: export GEMINI_API_KEY=..., npm start, and where your clients run',
  '  export GOOGLE_GEMINI_BASE_URL=http://127.0.0.1:4290',
];

async function runWithHeadgate(
  { clock }: CliContext,
  options: ProgressOptions,
): Promise<FleetResult> {
  const directory = mkdtempSync(join(tmpdir(), 'headgate-demo-'));
  try {
    const daemon = await startDemoDaemon(directory, options);
    try {
      if (daemon.simulator === null) throw new Error('the daemon runs without its simulator');
      return await runOne(clock, daemon.url, daemon.simulator, options);
    } finally {
      await daemon.stop();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** A configuration file and an empty environment, so that nothing of the user's has a say. */
async function startDemoDaemon(
  directory: string,
  { clock, stdout }: ProgressOptions,
): Promise<Daemon> {
  const file = join(directory, 'demo.yaml');
  writeFileSync(file, demoConfig());
  const { startDaemon } = await import('../daemon.ts');
  const env = { HOME: directory };
  return startDaemon({
    clock,
    random: seededRandom(SEED),
    load: () => loadConfig({ file, env, cwd: directory, flags: { simulate: true } }),
    logger: createLogger({
      level: 'error',
      format: 'pretty',
      destination: stdout,
      secrets: () => [],
      clock,
    }),
    simulate: true,
    scenario: demoScenario(),
  });
}

async function runWithout({ clock }: CliContext, options: ProgressOptions): Promise<FleetResult> {
  const random = seededRandom(SEED);
  const simulator = await startSimulator({ clock, random, scenario: demoScenario() });
  try {
    return await runOne(clock, simulator.url, simulator, options);
  } finally {
    await simulator.close();
  }
}

async function runOne(
  clock: ProgressOptions['clock'],
  url: string,
  simulator: Simulator,
  options: ProgressOptions,
): Promise<FleetResult> {
  const agents = planFleet();
  const startMs = clock.monotonicMs();
  const fleet = runFleet(clock, url, agents);
  await showProgress(fleet, simulator, agents, options);
  return resultOf(fleet, simulator.score(), clock.monotonicMs() - startMs);
}
