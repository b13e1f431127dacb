import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Test } from 'tap';
import { run } from '../../src/cli/program.ts';
import { systemClock } from '../../src/clock.ts';
import { bodyOf } from './loopback.ts';
import { ROOT } from './doc-pages.ts';

/**
 * Puts a `headgate` for shells into `directory`. What ends by itself is run inside this process,
 * which takes a tenth of the time; the daemon is one of its own. Gone with the test.
 */
export async function installCli(t: Test, directory: string): Promise<void> {
  const server = createServer((request, response) => {
    void bodyOf(request)
      .then((body) => runFor(body.toString()))
      .then(() => response.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  mkdirSync(directory, { recursive: true });
  const file = join(directory, 'headgate');
  writeFileSync(file, scriptFor(address.port));
  chmodSync(file, 0o755);
}

/** What the shell's command sends: where its output goes, where it is, what it was given. */
async function runFor(sent: string): Promise<void> {
  const [output = '', cwd = '', count = '0', ...rest] = sent.split('\0');
  const argv = rest.slice(0, Number(count));
  const variables = rest.slice(Number(count)).filter((pair) => pair.includes('='));
  const env = Object.fromEntries(
    variables.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
  const printed = { stdout: '', stderr: '' };
  const stream = (name: 'stdout' | 'stderr') =>
    Object.assign(Object.create(process[name]), {
      isTTY: false,
      write(text: string) {
        printed[name] += text;
        return true;
      },
    });
  const code = await run(argv, {
    env,
    cwd,
    // What commands use of a terminal, every readable stream has.
    stdin: Readable.from([]) as unknown as NodeJS.ReadStream,
    stdout: stream('stdout'),
    stderr: stream('stderr'),
    clock: systemClock,
  });
  for (const name of ['stdout', 'stderr'] as const) {
    writeFileSync(join(output, name), printed[name]);
  }
  writeFileSync(join(output, 'code'), String(code));
}

function scriptFor(port: number): string {
  return `#!/usr/bin/env bash
case "\${1:-}" in
  '' | serve | --simulate | --listen) exec '${process.execPath}' '${ROOT}dist/main.js' "$@" ;;
esac
output=$(mktemp -d)
{ printf '%s\\0' "$output" "$PWD" "$#" "$@"; env -0; } |
  command curl --silent --show-error --noproxy '*' --data-binary @- http://127.0.0.1:${port}/
cat "$output/stderr" >&2
cat "$output/stdout"
code=$(cat "$output/code")
rm -r "$output"
exit "$code"
`;
}
