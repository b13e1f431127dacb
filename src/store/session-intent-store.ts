import type { Clock } from '../clock.ts';
import type { TurnIntent, TurnIntents, TurnMove } from '../sessions/writing/intents.ts';
import type { Connection } from './database.ts';
import { writePatiently } from './patient-write.ts';

interface StoredIntent {
  readonly id: string;
  readonly log: string;
  readonly state: TurnIntent['state'];
  readonly moves: string;
}

export function createSessionIntentStore(connection: Connection, clock: Clock): TurnIntents {
  const ofLog = connection.prepare<[string], StoredIntent>(
    'SELECT id, log, state, moves FROM session_intent WHERE log = ? ORDER BY created_at_ms, id',
  );
  const insert = connection.prepare<[string, string, string, number]>(
    `INSERT INTO session_intent (id, log, state, moves, created_at_ms)
     VALUES (?, ?, 'prepared', ?, ?)`,
  );
  const decide = connection.prepare<[string]>(
    "UPDATE session_intent SET state = 'decided' WHERE id = ? AND state = 'prepared'",
  );
  const undo = connection.prepare<[string]>(
    "UPDATE session_intent SET state = 'undone' WHERE id = ?",
  );
  const remove = connection.prepare<[string]>('DELETE FROM session_intent WHERE id = ?');
  return {
    has: (log) => ofLog.get(log) !== undefined,
    of: (log) => ofLog.all(log).map((row) => ({ ...row, moves: movesOf(row.moves) })),
    prepare({ id, log, moves }) {
      const at = Math.round(clock.wallMs());
      const durable = true;
      writePatiently(connection, () => insert.run(id, log, JSON.stringify(moves), at), { durable });
    },
    decide: (id) => writePatiently(connection, () => decide.run(id), { durable: true }).changes > 0,
    undo(id) {
      writePatiently(connection, () => undo.run(id));
    },
    remove(id) {
      writePatiently(connection, () => remove.run(id));
    },
  };
}

/** What is no list of moves in a damaged database moves nothing. */
function movesOf(json: string): readonly TurnMove[] {
  try {
    const value: unknown = JSON.parse(json);
    return Array.isArray(value) ? value.filter(isMove) : [];
  } catch {
    return [];
  }
}

function isMove(value: unknown): value is TurnMove {
  return (
    typeof value === 'object' &&
    value !== null &&
    'from' in value &&
    typeof value.from === 'string' &&
    'to' in value &&
    typeof value.to === 'string'
  );
}
