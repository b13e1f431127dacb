import { fileURLToPath } from 'node:url';

/** As MassGen names the log directory of a run. */
const NAME = 'log_20260105_101500_000001';

/**
 * Absolute path of the session log that ships with the package: two turns of two Gemini agents, in
 * the layout of MassGen 0.1.8. Copy it before continuing it: the package is not a place to write to.
 */
export function sampleSession(): string {
  return fileURLToPath(new URL(`../../config/samples/${NAME}`, import.meta.url));
}
