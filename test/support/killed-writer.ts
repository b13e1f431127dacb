import { readSession } from '../../src/sessions/read-session.ts';
import type { SessionLog } from '../../src/sessions/session.ts';
import { writeTurn } from '../../src/sessions/writing/turn-writer.ts';
import { ids, intentsAt, newTurn, stopping } from './written-turns.ts';

/** A process that writes a turn and is killed before an operation; told what to do as JSON. */
const job: { log: SessionLog; database: string; at: number } = JSON.parse(process.argv[2] ?? '');

function kill(): never {
  process.kill(process.pid, 'SIGKILL');
  for (;;) {
    // The signal is on its way, and nothing may happen before it comes.
  }
}

const stopped = stopping(intentsAt(job.database), { at: job.at, die: kill });
const options = { write: 'in_place', newId: ids('killed'), ...stopped } as const;
writeTurn(job.log, readSession(job.log), newTurn(), options);
