import type { Clock } from '../clock.ts';
import type { Simulator } from '../simulator/simulator.ts';
import { bar } from './bar.ts';
import { CommandFailure, pause } from './context.ts';
import type { FleetRun } from './demo-fleet.ts';
import { DEMO_MODELS, type PlannedAgent } from './demo-plan.ts';
import { clipStyled, columnsOf, type Style } from './style.ts';
import { duration } from './words.ts';

export interface ProgressOptions {
  readonly stdout: NodeJS.WriteStream;
  readonly style: Style;
  readonly clock: Clock;
  /** Lines instead of bars that move. */
  readonly isPlain: boolean;
}

/** Where the calls for one model are. */
interface ModelProgress {
  readonly model: string;
  readonly planned: number;
  readonly answered: number;
  /** At the Gemini, unanswered. */
  readonly sent: number;
  /** Begun, and not (or no longer) at the Gemini. */
  readonly waiting: number;
  readonly givenUp: number;
  /** 429s of the Gemini, tries included. */
  readonly rejected: number;
}

const REDRAW_MS = 120;
const PLAIN_EVERY_MS = 3_000;
/** The slowest fleet ends in a third of it; one that does not has met a fault. */
const FLEET_MS_MAX = 90_000;
const NAME_WIDTH = 17;
const NUMBERS_WIDTH = 46;

/** Shows how a fleet is getting on until it has ended. Throws when it does not end. */
export async function showProgress(
  fleet: FleetRun,
  simulator: Simulator,
  agents: readonly PlannedAgent[],
  options: ProgressOptions,
): Promise<void> {
  const { stdout, clock, isPlain } = options;
  const startMs = clock.monotonicMs();
  const end = new AbortController();
  const ended = fleet.ended.finally(() => end.abort());
  const state = () => DEMO_MODELS.map((model) => progressOf(model, fleet, simulator, agents));
  const elapsed = () => duration(clock.monotonicMs() - startMs);
  let linesDrawn = 0;
  const draw = (): void => {
    if (isPlain) {
      stdout.write(`${plainLine(state(), elapsed())}\n`);
      return;
    }
    const width = columnsOf(stdout) - 1;
    const lines = state().map((model) => barLine(model, width, options.style));
    const up = linesDrawn > 0 ? `\u001b[${linesDrawn}A` : '';
    stdout.write(up + lines.map((line) => `\r${line}\u001b[K\n`).join(''));
    linesDrawn = lines.length;
  };
  while (!end.signal.aborted) {
    draw();
    if (clock.monotonicMs() - startMs > FLEET_MS_MAX) {
      throw new CommandFailure('failed', `the agents are not done after ${elapsed()}`);
    }
    await pause(clock, isPlain ? PLAIN_EVERY_MS : REDRAW_MS, end.signal);
  }
  draw();
  await ended;
}

function progressOf(
  model: string,
  fleet: FleetRun,
  simulator: Simulator,
  agents: readonly PlannedAgent[],
): ModelProgress {
  const { begun, answered, givenUp } = fleet.tallies(model);
  const score = simulator.score().models.find((row) => row.model === model);
  const sent = score?.open ?? 0;
  return {
    model,
    planned: agents.flatMap(({ calls }) => calls).filter((call) => call.model === model).length,
    answered,
    sent,
    waiting: Math.max(0, begun - answered - givenUp - sent),
    givenUp,
    rejected: score?.refusedByQuota ?? 0,
  };
}

function barLine(progress: ModelProgress, width: number, style: Style): string {
  const { model, planned, answered, sent, waiting, givenUp, rejected } = progress;
  const barWidth = Math.max(10, Math.min(48, width - NAME_WIDTH - NUMBERS_WIDTH - 4));
  const drawn = bar(
    barWidth,
    planned,
    [
      { amount: answered, sign: '█', paint: style.green },
      { amount: sent, sign: '▓', paint: style.cyan },
      { amount: waiting, sign: '▒', paint: style.yellow },
      { amount: givenUp, sign: '×', paint: style.red },
    ],
    { sign: '░', paint: style.dim },
  );
  const refused = `${rejected} ${rejected === 1 ? '429' : '429s'}`;
  const numbers = [
    style.green(`${String(answered).padStart(2)} answered`),
    style.cyan(`${String(sent).padStart(2)} sent`),
    style.yellow(`${String(waiting).padStart(2)} waiting`),
    rejected > 0 ? style.red(refused.padStart(8)) : refused.padStart(8),
  ].join('  ');
  return clipStyled(`${model.padEnd(NAME_WIDTH)} ${drawn}  ${numbers}`, width);
}

function plainLine(state: readonly ModelProgress[], elapsed: string): string {
  const models = state.map(({ model, planned, answered, sent, waiting, givenUp, rejected }) => {
    const facts = [
      `${answered} of ${planned} answered`,
      ...(sent > 0 ? [`${sent} sent`] : []),
      ...(waiting > 0 ? [`${waiting} waiting`] : []),
      ...(givenUp > 0 ? [`${givenUp} given up`] : []),
      ...(rejected > 0 ? [`${rejected} 429s`] : []),
    ];
    return `${model} ${facts.join(', ')}`;
  });
  return `${elapsed.padStart(7)}  ${models.join('; ')}`;
}
