import { resolve } from 'node:path';
import type { Command } from 'commander';
import { loadScenario, makeScenario, type Scenario } from '../simulator/scenario.ts';
import { type Simulator, startSimulator } from '../simulator/simulator.ts';
import { CommandFailure, type CliContext, printLine } from './context.ts';
import { seededRandom } from './random.ts';
import { listenForStop } from './signals.ts';

interface SimulateFlags {
  readonly port: string;
  readonly scenario?: string;
}

/** Latencies and chance faults fall alike at every run. */
const SEED = 1;

export function addSimulate(program: Command, context: CliContext): void {
  program
    .command('simulate')
    .description('run the simulated Gemini alone, on loopback')
    .option('--port <port>', 'where to listen; 0 takes a free port', '0')
    .option('--scenario <file>', 'its quota, latency and faults, as in config/scenarios')
    .addHelpText(
      'after',
      `
Examples:
  headgate simulate
  headgate simulate --port 8080 --scenario config/scenarios/flaky.yaml

Prints its address on stdout and runs until a signal stops it. ADDRESS/__sim shows the score.`,
    )
    .action((flags: SimulateFlags) => simulate(context, flags));
}

async function simulate(context: CliContext, flags: SimulateFlags): Promise<void> {
  const { clock, stdout, stderr } = context;
  const port = portOf(flags.port);
  const scenario = scenarioOf(context, flags.scenario);
  const stop = listenForStop(clock);
  const simulator = await startSimulator({
    port,
    clock,
    random: seededRandom(SEED),
    scenario,
  }).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandFailure('failed', `cannot listen on port ${port}: ${reason}`, error);
  });
  printLine(stdout, simulator.url);
  printLine(stderr, `simulated Gemini, scenario ${scenario.name}; any key will do`);
  printLine(stderr, `score:  ${simulator.url}/__sim`);
  printLine(stderr, `client: export GOOGLE_GEMINI_BASE_URL=${simulator.url}`);
  await Promise.race([stop.first, stop.second]);
  printLine(stderr, scoreLine(simulator));
  await simulator.close();
}

function portOf(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= 65_535) return port;
  throw new CommandFailure('usage', `--port is '${text}'; say a number from 0 to 65535`);
}

function scenarioOf({ cwd }: CliContext, file: string | undefined): Scenario {
  if (file === undefined) return makeScenario();
  try {
    return loadScenario(resolve(cwd, file));
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error)) throw error;
    throw new CommandFailure('badConfig', `the scenario cannot be read: ${error.message}`, error);
  }
}

function scoreLine(simulator: Simulator): string {
  const { calls, answered, refusedByQuota } = simulator.score();
  return `${calls} calls, ${answered} answered, ${refusedByQuota} refused by quota`;
}
