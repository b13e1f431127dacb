import Database from 'better-sqlite3';
import { type LimitSource, limitInForce, type Partition } from '../quota/policy.ts';
import { unusable } from './database.ts';
import { createLimitStore } from './limit-store.ts';

/** A limit that was learned or set live, as stored. Micro-dollars for usd. */
export interface StoredAdjustment extends Partition {
  readonly policy: string;
  readonly learned: number | null;
  readonly override: number | null;
  /** The limit in force, given the configured one. */
  inForce(configured: number | null): { limit: number | null; source: LimitSource };
}

/**
 * Reads what differs from the configuration without opening the store: takes no lease, migrates
 * nothing, writes nothing. Throws DATABASE_UNAVAILABLE when the file cannot be read.
 */
export function readAdjustedLimits(path: string): readonly StoredAdjustment[] {
  let connection: Database.Database | undefined;
  try {
    connection = new Database(path, { readonly: true, fileMustExist: true });
    const rows = createLimitStore(connection, () => {
      throw new Error('nothing is written here');
    }).all();
    return rows.map(({ partition, policy, learned, learnedUnder, override }) => ({
      ...partition,
      policy,
      learned,
      override,
      inForce: (configured) => limitInForce(configured, { learned, learnedUnder, override }),
    }));
  } catch (error) {
    throw unusable(path, error);
  } finally {
    connection?.close();
  }
}
