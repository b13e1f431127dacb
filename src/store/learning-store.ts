import type { CalibrationRow } from '../quota/calibration.ts';
import type { Partition } from '../quota/policy.ts';
import type { Connection } from './database.ts';

/** What outlives a restart besides the ledger: calibration, learned aliases, usage per day. */
export interface LearningStore {
  readCalibration(): readonly CalibrationRow[];
  writeCalibration(rows: readonly CalibrationRow[]): void;
  readAliases(): ReadonlyMap<string, string>;
  writeAlias(alias: string, model: string, atMs: number): void;
  addUsage(row: UsageRow): void;
  /**
   * Sums by one column: the largest first, and days the newest first; at most 1,000 rows. `total` is
   * of all rows, also of those beyond. Reads the rollups of the days told, so a few ms for a year.
   */
  readUsage(by: UsageColumn, days?: UsageDays): UsageSums;
  /** Models that the upstream is known to have, by past answers. */
  answeredModels(): readonly Partition[];
  /** Drops rollups of days before `day` (YYYY-MM-DD). */
  pruneUsage(beforeDay: string): void;
}

/** One settled exchange, for the sum of its day. */
export interface UsageRow extends Partition {
  /** Pacific date, YYYY-MM-DD. */
  readonly day: string;
  readonly agent: string;
  readonly outcome: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly usdMicros: number;
}

export type UsageColumn = 'day' | 'project' | 'model' | 'agent';

/** Pacific dates, YYYY-MM-DD, both included; null is no bound. */
export interface UsageDays {
  readonly since: string | null;
  readonly until: string | null;
}

export interface UsageSums {
  readonly rows: readonly UsageSum[];
  /** Its key is empty. */
  readonly total: UsageSum;
}

export interface UsageSum {
  readonly key: string;
  readonly exchanges: number;
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly usd_micros: number;
}

interface StoredCalibration {
  readonly model: string;
  readonly client: string;
  readonly ratio_average: number;
  readonly sample_count: number;
  readonly histogram: string;
}

interface DayBounds {
  readonly since: string;
  readonly until: string;
}

/** Dates as text are ordered as dates are. */
const FIRST_DAY = '0000-01-01';
const LAST_DAY = '9999-12-31';

/** coalesce: the sum of no rows at all is null. */
const USAGE_SUMS = `coalesce(sum(exchanges), 0) AS exchanges,
         coalesce(sum(input_tokens), 0) AS input_tokens,
         coalesce(sum(output_tokens), 0) AS output_tokens,
         coalesce(sum(usd_micros), 0) AS usd_micros`;

const NO_USAGE: UsageSum = {
  key: '',
  exchanges: 0,
  input_tokens: 0,
  output_tokens: 0,
  usd_micros: 0,
};

export function createLearningStore(connection: Connection): LearningStore {
  const calibration = connection.prepare<[], StoredCalibration>('SELECT * FROM calibration');
  const setCalibration = connection.prepare<[StoredCalibration]>(
    `INSERT OR REPLACE INTO calibration (model, client, ratio_average, sample_count, histogram)
     VALUES (@model, @client, @ratio_average, @sample_count, @histogram)`,
  );
  const aliases = connection.prepare<[], { alias: string; model: string }>(
    'SELECT alias, model FROM model_alias',
  );
  const setAlias = connection.prepare<[string, string, number]>(
    'INSERT OR REPLACE INTO model_alias (alias, model, learned_at_ms) VALUES (?, ?, ?)',
  );
  const addUsage = connection.prepare<[UsageRow]>(
    `INSERT INTO usage_rollup (day, project, model, agent, outcome, exchanges, input_tokens,
       output_tokens, usd_micros)
     VALUES (@day, @project, @model, @agent, @outcome, 1, @inputTokens, @outputTokens, @usdMicros)
     ON CONFLICT DO UPDATE SET exchanges = exchanges + 1,
       input_tokens = input_tokens + excluded.input_tokens,
       output_tokens = output_tokens + excluded.output_tokens,
       usd_micros = usd_micros + excluded.usd_micros`,
  );
  const usageBy = (column: UsageColumn) =>
    connection.prepare<[DayBounds], UsageSum>(
      `SELECT ${column} AS key, ${USAGE_SUMS}
       FROM usage_rollup WHERE day BETWEEN @since AND @until GROUP BY ${column}
       ORDER BY ${column === 'day' ? 'day DESC' : `exchanges DESC, ${column}`} LIMIT 1000`,
    );
  const usageTotal = connection.prepare<[DayBounds], UsageSum>(
    `SELECT '' AS key, ${USAGE_SUMS} FROM usage_rollup WHERE day BETWEEN @since AND @until`,
  );
  const usage = {
    day: usageBy('day'),
    project: usageBy('project'),
    model: usageBy('model'),
    agent: usageBy('agent'),
  };
  const answered = connection.prepare<[], Partition>(
    "SELECT DISTINCT project, model FROM usage_rollup WHERE outcome = 'ok'",
  );
  const prune = connection.prepare<[string]>('DELETE FROM usage_rollup WHERE day < ?');

  return {
    readCalibration: () => calibration.all().map(toCalibration),
    writeCalibration(rows) {
      for (const row of rows) {
        setCalibration.run({
          model: row.model,
          client: row.client,
          ratio_average: row.ratioAverage,
          sample_count: row.sampleCount,
          histogram: JSON.stringify([...row.histogram]),
        });
      }
    },
    readAliases: () => new Map(aliases.all().map(({ alias, model }) => [alias, model])),
    writeAlias(alias, model, atMs) {
      setAlias.run(alias, model, atMs);
    },
    addUsage(row) {
      addUsage.run(row);
    },
    readUsage(by, days = { since: null, until: null }) {
      const bounds = { since: days.since ?? FIRST_DAY, until: days.until ?? LAST_DAY };
      return {
        rows: usage[by].all(bounds),
        total: usageTotal.get(bounds) ?? NO_USAGE,
      };
    },
    answeredModels: () => answered.all(),
    pruneUsage(beforeDay) {
      prune.run(beforeDay);
    },
  };
}

function toCalibration(row: StoredCalibration): CalibrationRow {
  const histogram = new Map<number, number>();
  const stored: unknown = JSON.parse(row.histogram);
  if (Array.isArray(stored)) {
    for (const pair of stored) {
      if (!Array.isArray(pair)) continue;
      const ratioClass: unknown = pair[0];
      const samples: unknown = pair[1];
      if (typeof ratioClass === 'number' && typeof samples === 'number') {
        histogram.set(ratioClass, samples);
      }
    }
  }
  return {
    model: row.model,
    client: row.client,
    ratioAverage: row.ratio_average,
    sampleCount: row.sample_count,
    histogram,
  };
}
