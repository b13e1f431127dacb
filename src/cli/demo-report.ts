import type { Score } from '../simulator/score.ts';
import type { FleetRun } from './demo-fleet.ts';
import { DEMO_MODELS } from './demo-plan.ts';
import type { Style } from './style.ts';
import { tableLines } from './table.ts';
import { duration } from './words.ts';

/** How one fleet fared. */
export interface FleetResult {
  readonly calls: number;
  readonly answered: number;
  readonly givenUp: number;
  /** 429s that the Gemini answered with. */
  readonly rejections: number;
  readonly elapsedMs: number;
  /** Fullest minute of each model: requests in it and the limit. */
  readonly peaks: readonly {
    readonly model: string;
    readonly peak: number;
    readonly limit: number;
  }[];
}

export function resultOf(fleet: FleetRun, score: Score, elapsedMs: number): FleetResult {
  const tallies = DEMO_MODELS.map((model) => fleet.tallies(model));
  const sum = (pick: (tally: (typeof tallies)[number]) => number): number =>
    tallies.reduce((total, tally) => total + pick(tally), 0);
  return {
    calls: sum(({ begun }) => begun),
    answered: sum(({ answered }) => answered),
    givenUp: sum(({ givenUp }) => givenUp),
    rejections: score.refusedByQuota + score.refusedByFault,
    elapsedMs,
    peaks: score.models.map(({ model, peaks }) => ({
      model,
      peak: peaks.rpm.peak,
      limit: peaks.rpm.limit ?? 0,
    })),
  };
}

/** Both results beside each other. */
export function reportLines(
  withHeadgate: FleetResult,
  without: FleetResult,
  style: Style,
): string[] {
  const good = (isGood: boolean, text: string): string =>
    isGood ? style.green(text) : style.red(text);
  const row = (
    title: string,
    cell: (result: FleetResult) => string,
    isGood?: (result: FleetResult) => boolean,
  ): string[] => [
    title,
    ...[withHeadgate, without].map((result) =>
      isGood === undefined ? cell(result) : good(isGood(result), cell(result)),
    ),
  ];
  const shares = DEMO_MODELS.map((model) =>
    row(`quota of ${model} used, fullest minute`, (result) => shareOf(result, model)),
  );
  const rows = [
    row(
      'calls answered',
      ({ answered, calls }) => `${answered} of ${calls}`,
      ({ answered, calls }) => answered === calls,
    ),
    row(
      'calls given up',
      ({ givenUp }) => String(givenUp),
      ({ givenUp }) => givenUp === 0,
    ),
    row(
      'upstream 429s',
      ({ rejections }) => String(rejections),
      ({ rejections }) => rejections === 0,
    ),
    ...shares,
    row('time taken', ({ elapsedMs }) => duration(elapsedMs)),
  ];
  return tableLines(
    [
      { title: '' },
      { title: 'WITH HEADGATE', align: 'right' },
      { title: 'WITHOUT', align: 'right' },
    ],
    rows,
    { title: style.bold },
  );
}

function shareOf({ peaks }: FleetResult, model: string): string {
  const peak = peaks.find((row) => row.model === model);
  if (peak === undefined || peak.limit === 0) return 'none';
  return `${peak.peak} of ${peak.limit} (${Math.round((peak.peak / peak.limit) * 100)} %)`;
}
