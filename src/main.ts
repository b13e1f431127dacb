#!/usr/bin/env node
import { MessageChannel } from 'node:worker_threads';
import { run } from './cli/program.ts';
import { systemClock } from './clock.ts';

// The clock's timers never keep the process alive, and some commands do nothing but wait.
new MessageChannel().port1.on('message', () => undefined);

// The reader of a pipe may leave early, as `head` does; there is nobody left to tell.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : 1);
  });
}

process.exit(
  await run(process.argv.slice(2), {
    env: process.env,
    cwd: process.cwd(),
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    clock: systemClock,
  }),
);
