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
  /** Sums by one column, the largest first; at most 1,000 rows. */
  readUsage(by: UsageColumn): readonly UsageSum[];
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
    connection.prepare<[], UsageSum>(
      `SELECT ${column} AS key, sum(exchanges) AS exchanges, sum(input_tokens) AS input_tokens,
         sum(output_tokens) AS output_tokens, sum(usd_micros) AS usd_micros
       FROM usage_rollup GROUP BY ${column} ORDER BY exchanges DESC LIMIT 1000`,
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
    readUsage: (by) => usage[by].all(),
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
