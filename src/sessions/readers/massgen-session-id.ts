import { type LogFiles, within } from './massgen-files.ts';

/** The line stands among the first ones, before any text of a user or a model. */
const HEAD_BYTES = 64 * 1024;
const LINE =
  /^\d\d:\d\d:\d\d \| INFO +\| (?:\S+ )?(?:Created session for [a-z-]+ mode|Registered new session in registry|Using session from CLI): ([\w.-]{1,128})$/m;
/** Ids of runs without a session; they are never stored. */
const TEMPORARY = /^temp_/;

/**
 * The session id that the start-up lines of massgen.log tell. For a first single question of 0.1.9 and
 * later they are the only place in the log that has it.
 */
export function sessionIdInLogFile(files: LogFiles, turns: readonly string[]): string | null {
  for (const path of new Set(['.', ...turns])) {
    for (const directory of [path, within(path, 'attempt_1')]) {
      const id = LINE.exec(files.text(directory, 'massgen.log', HEAD_BYTES)?.text ?? '')?.[1];
      if (id !== undefined && !TEMPORARY.test(id)) return id;
    }
  }
  return null;
}
