import type { Path } from './document.ts';
import { parseDuration, parseSize } from './durations.ts';
import { parseListen } from './listen.ts';
import type { ListenAddress } from './loaded.ts';
import type { Reading } from './sources.ts';

/** Milliseconds of a duration whose form the schema has checked already. */
export function toDuration({ document, problems }: Reading, path: Path, text: string): number {
  const ms = parseDuration(text);
  if (ms === null) problems.push(document.problem(path, `longer than ten years: ${text}`));
  return ms ?? 0;
}

/** Bytes of a size whose form the schema has checked already. */
export function toBytes({ document, problems }: Reading, path: Path, text: string): number {
  const bytes = parseSize(text);
  if (bytes === null) problems.push(document.problem(path, `too large: ${text}`));
  return bytes ?? 0;
}

/** Where to listen: the flag, else the file. Beyond loopback only with a token. */
export function toListen(
  { document, problems }: Reading,
  options: {
    readonly written: string;
    readonly flag: string | undefined;
    readonly token: string | null;
  },
): ListenAddress {
  const { written, flag, token } = options;
  const problem = (message: string, hint: string) =>
    flag === undefined
      ? document.problem(['listen'], message, hint)
      : { file: '--listen', line: 0, column: 0, field: '', message, hint };
  const address = parseListen(flag ?? written);
  if (address === null) {
    const got = flag ?? document.written(['listen']) ?? written;
    problems.push(problem(`expected HOST:PORT, got ${got}`, 'For example 127.0.0.1:4290'));
    return { host: '127.0.0.1', port: 0, isLoopback: true };
  }
  if (!address.isLoopback && token === null) {
    const hint = 'Set admin.token, or listen on 127.0.0.1';
    problems.push(problem(`${address.host} can be reached from other machines`, hint));
  }
  return address;
}

/** A URL below which paths are put, without a trailing slash. `keyPlace` is where its key belongs. */
export function toBaseUrl(
  { document, problems }: Reading,
  path: Path,
  { text, keyPlace }: { readonly text: string; readonly keyPlace: string },
): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    const got = document.written(path) ?? text;
    problems.push(document.problem(path, `expected an http or https URL, got ${got}`));
  } else if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    const hint = `Keys belong into ${keyPlace}`;
    problems.push(
      document.problem(path, 'a base URL has no user, password, query or fragment', hint),
    );
  }
  return text.replace(/\/+$/, '');
}
