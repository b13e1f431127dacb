import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Log directories that real programs wrote, read where they lie: beside this checkout. */
export const LOGS = join(import.meta.dirname, '../../../shared/massgen-logs');

/** For a test's `skip`: why it cannot run here, or false. */
export const NO_LOGS = existsSync(join(LOGS, 'expected.json'))
  ? false
  : 'the recorded logs are not beside this checkout';

/** What a right reader finds in one log; `_about` in expected.json explains the fields. */
export interface ExpectedLog {
  readonly entry: string;
  readonly turns: readonly {
    readonly number: number;
    readonly question: string | null;
    readonly answer: string | null;
    readonly answered: boolean;
    readonly winner: string | null;
    readonly answer_source: string | null;
    readonly encoding: string | null;
    readonly directory: string;
  }[];
  readonly agents:
    | readonly { id: string; backend_type: string; model: string; system_message: string | null }[]
    | null;
  readonly agent_ids: readonly string[];
  readonly massgen_version: string | null;
  readonly session_id: string | null;
  readonly session_id_source: string | null;
  readonly session_dir: string | null;
  readonly next_turn_number_acceptable: readonly number[];
  readonly resumable: boolean;
}

/** By the path of the log's directory below `LOGS`. */
export function expectedLogs(): [string, ExpectedLog][] {
  const parsed: { logs: Record<string, ExpectedLog> } = JSON.parse(
    readFileSync(join(LOGS, 'expected.json'), 'utf8'),
  );
  return Object.entries(parsed.logs);
}
