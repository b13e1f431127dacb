import type { ConfinedDirectory, SessionReader } from '../session.ts';
import { coordinationFiles, coordinationReader } from './coordination.ts';
import { geminiCliChatFiles, geminiCliReader } from './gemini-cli.ts';
import { headgateReader } from './headgate.ts';
import { massgenReader } from './massgen.ts';
import { sessionStoreReader } from './session-store.ts';

/** Every format, in the order they are asked. What one claims no other does, save for damaged logs. */
const READERS: readonly SessionReader[] = [
  massgenReader,
  sessionStoreReader,
  geminiCliReader,
  coordinationReader,
  headgateReader,
];

/** Reader of a log by its content; null when it is no session log that is known here. */
export function readerFor(directory: ConfinedDirectory, file?: string): SessionReader | null {
  return READERS.find((reader) => reader.claims(directory, file)) ?? null;
}

/** Reader of a format by its name, for a log that was recognised before it was damaged. */
export function readerOfFormat(format: string): SessionReader | null {
  return READERS.find((reader) => reader.format === format) ?? null;
}

/** Files of a directory that are each a log in themselves, as paths relative to it. */
export function logFilesIn(directory: ConfinedDirectory): readonly string[] {
  return [...geminiCliChatFiles(directory), ...coordinationFiles(directory)];
}
