/**
 * Loaded into a server with --import. At each SIGUSR2 it writes to the file in LOOP_DELAY_FILE how
 * many milliseconds the event loop was held up at most since the one before.
 */
import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

/** What a tick takes when nothing is in its way. */
const RESOLUTION_MS = 1;

const file = process.env['LOOP_DELAY_FILE'] ?? '';
const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
delays.enable();
process.on('SIGUSR2', () => {
  writeFileSync(file, String(Math.max(0, delays.max / 1e6 - RESOLUTION_MS)));
  delays.reset();
});
