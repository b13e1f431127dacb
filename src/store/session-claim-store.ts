import type { Clock } from '../clock.ts';
import { CLAIM_MS, type TurnClaims } from '../sessions/writing/claims.ts';
import type { Connection } from './database.ts';
import { writePatiently } from './patient-write.ts';

/**
 * Claims by wall time, which all processes of a machine share. After the clock was set back, a claim
 * from the future counts as dead: its holder renews it within seconds, or is no more.
 */
export function createSessionClaimStore(connection: Connection, clock: Clock): TurnClaims {
  const take = connection.prepare<{ log: string; holder: string; atMs: number; claimMs: number }>(
    `INSERT INTO session_claim (log, holder, renewed_at_ms) VALUES (@log, @holder, @atMs)
     ON CONFLICT (log) DO UPDATE SET holder = @holder, renewed_at_ms = @atMs
     WHERE holder = @holder OR abs(@atMs - renewed_at_ms) >= @claimMs`,
  );
  const renew = connection.prepare<[number, string, string]>(
    'UPDATE session_claim SET renewed_at_ms = ? WHERE log = ? AND holder = ?',
  );
  const release = connection.prepare<[string, string]>(
    'DELETE FROM session_claim WHERE log = ? AND holder = ?',
  );
  const changes = (run: () => { changes: number }): boolean =>
    writePatiently(connection, run).changes > 0;
  const wallMs = (): number => Math.round(clock.wallMs());
  return {
    acquire: (log, holder) =>
      changes(() => take.run({ log, holder, atMs: wallMs(), claimMs: CLAIM_MS })),
    renew: (log, holder) => changes(() => renew.run(wallMs(), log, holder)),
    release(log, holder) {
      changes(() => release.run(log, holder));
    },
  };
}
