import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { Archive } from '../sessions/archive/archive.ts';
import {
  LocalConversations,
  type LocalConversationsOptions,
} from '../sessions/local-conversations.ts';
import { openDatabase } from '../store/database.ts';
import { createSessionClaimStore } from '../store/session-claim-store.ts';
import { createSessionIndexStore } from '../store/session-index-store.ts';
import { createSessionIntentStore } from '../store/session-intent-store.ts';

/** Where sessions are looked for and written, as configured. */
export interface SessionSettings {
  readonly roots: readonly string[];
  readonly write: 'in_place' | 'beside';
  readonly recordDir: string;
}

export interface OpenConversationsOptions {
  /** The quota's own database: who continues a session is known to all processes on it. */
  readonly databasePath: string;
  readonly clock: Clock;
  /** Where MassGen's registry is; null where there is no home directory. */
  readonly home: string | null;
  /** Asked at every call. */
  readonly settings: () => SessionSettings;
  readonly reach: LocalConversationsOptions['reach'];
}

/** Opens past conversations in the calling thread. Throws DATABASE_UNAVAILABLE. */
export function openConversations(options: OpenConversationsOptions): LocalConversations {
  const { databasePath, clock, home, settings, reach } = options;
  const connection = openDatabase(databasePath);
  const archive = new Archive({
    roots: () => settings().roots,
    recordDirectory: () => settings().recordDir,
    index: createSessionIndexStore(connection),
    home,
  });
  return new LocalConversations({
    archive,
    claims: createSessionClaimStore(connection, clock),
    intents: createSessionIntentStore(connection, clock),
    clock,
    newId: () => randomBytes(8).toString('hex'),
    settings,
    reach,
    onClose: () => connection.close(),
  });
}
