import type { AdjustedLimit, LearnedLimit } from '../quota/ledger.ts';
import type { LimitAdjustment, Partition, QuotaPolicy } from '../quota/policy.ts';
import { NO_ADJUSTMENT } from '../quota/admission.ts';
import type { Connection } from './database.ts';

/** Limits that differ from the configuration: learned from 429s, or set live by a person. */
export interface LimitStore {
  /** Gives the adjustment of each policy of a partition; reads nothing when it is not adjusted. */
  read(partitionId: number, adjusted: boolean): (policy: QuotaPolicy) => LimitAdjustment;
  learn(partition: Partition, policy: string, limit: LearnedLimit): boolean;
  override(partition: Partition, policy: string, limit: number | null, atMs: number): void;
  reset(partition: Partition): void;
  all(): readonly AdjustedLimit[];
}

interface AdjustmentRow {
  readonly policy: string;
  readonly learned_limit: number | null;
  readonly learned_under: number | null;
  readonly learned_at_ms: number | null;
  readonly override_limit: number | null;
  readonly override_at_ms: number | null;
}

export function createLimitStore(
  connection: Connection,
  partitionId: (partition: Partition) => number,
): LimitStore {
  const of = connection.prepare<[number], AdjustmentRow>(
    'SELECT * FROM limit_adjustment WHERE partition_id = ?',
  );
  const all = connection.prepare<[], AdjustmentRow & Partition>(
    `SELECT project, model, limit_adjustment.* FROM limit_adjustment
     JOIN quota_partition USING (partition_id) ORDER BY project, model, policy`,
  );
  const learn = connection.prepare(
    `INSERT INTO limit_adjustment
       (partition_id, policy, learned_limit, learned_under, learned_at_ms)
     VALUES (@partition_id, @policy, @limit, @configured, @at_ms)
     ON CONFLICT DO UPDATE SET learned_limit = @limit, learned_under = @configured,
       learned_at_ms = @at_ms
     WHERE learned_limit IS NOT @limit OR learned_under IS NOT @configured`,
  );
  const override = connection.prepare(
    `INSERT INTO limit_adjustment (partition_id, policy, override_limit, override_at_ms)
     VALUES (@partition_id, @policy, @limit, @at_ms)
     ON CONFLICT DO UPDATE SET override_limit = @limit, override_at_ms = @at_ms`,
  );
  const deleteEmpty = connection.prepare<[number]>(
    `DELETE FROM limit_adjustment
     WHERE partition_id = ? AND learned_limit IS NULL AND override_limit IS NULL`,
  );
  const deleteAll = connection.prepare<[number]>(
    'DELETE FROM limit_adjustment WHERE partition_id = ?',
  );
  const flag = connection.prepare<[number, number]>(
    `UPDATE quota_partition SET adjusted =
       EXISTS (SELECT 1 FROM limit_adjustment WHERE partition_id = ?) WHERE partition_id = ?`,
  );

  return {
    read(id, adjusted) {
      if (!adjusted) return () => NO_ADJUSTMENT;
      const rows = of.all(id);
      return (policy) => {
        const row = rows.find((candidate) => candidate.policy === policy.name);
        if (row === undefined) return NO_ADJUSTMENT;
        return {
          learned: row.learned_limit,
          learnedUnder: row.learned_under,
          override: row.override_limit,
        };
      };
    },
    learn(partition, policy, { limit, configured, atMs }) {
      if (limit <= 0 || (configured !== null && limit >= configured)) return false;
      const id = partitionId(partition);
      const values = { partition_id: id, policy, limit, configured, at_ms: atMs };
      const news = learn.run(values).changes > 0;
      flag.run(id, id);
      return news;
    },
    override(partition, policy, limit, atMs) {
      const id = partitionId(partition);
      override.run({ partition_id: id, policy, limit, at_ms: atMs });
      deleteEmpty.run(id);
      flag.run(id, id);
    },
    reset(partition) {
      const id = partitionId(partition);
      deleteAll.run(id);
      flag.run(id, id);
    },
    all: () =>
      all.all().map((row) => ({
        partition: { project: row.project, model: row.model },
        policy: row.policy,
        learned: row.learned_limit,
        learnedUnder: row.learned_under,
        learnedAtMs: row.learned_at_ms,
        override: row.override_limit,
        overrideAtMs: row.override_at_ms,
      })),
  };
}
