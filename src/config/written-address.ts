import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type ConfigDocument, type Path, readDocument } from './document.ts';
import { parseListen } from './listen.ts';
import type { ListenAddress } from './loaded.ts';
import { locateConfig } from './locate.ts';

/** How to find and talk to the daemon of a configuration. */
export interface WrittenAddress {
  readonly listen: ListenAddress;
  readonly token: string | null;
  /** PEM; null for plain HTTP. */
  readonly certificate: string | null;
}

/**
 * What a configuration with mistakes still says of where its daemon is: the daemon runs on with the
 * former one, and people want to ask it why. Null where the file does not say.
 */
export function readWrittenAddress(options: {
  readonly file: string | null;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
}): WrittenAddress | null {
  const { file } = locateConfig(options);
  if (file === null) return null;
  try {
    const document = readDocument(file, options.env);
    const listen = parseListen(textAt(document, ['listen']) ?? '');
    if (listen === null) return null;
    const certificate = textAt(document, ['tls', 'cert']);
    return {
      listen,
      token: textAt(document, ['admin', 'token']),
      certificate:
        certificate === null ? null : readFileSync(resolve(dirname(file), certificate), 'utf8'),
    };
  } catch {
    // Whoever asks has told of the mistakes already; this is one more of them.
    return null;
  }
}

/**
 * The string at a path, with variables put in. From a file that is no YAML it is taken as it stands
 * there, unless it names variables.
 */
function textAt(document: ConfigDocument, path: Path): string | null {
  let value: unknown = document.value;
  for (const key of path) {
    value = typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
  }
  const text = typeof value === 'string' ? value : (document.written(path) ?? '');
  return text.trim() === '' || text.includes('${') ? null : text.trim();
}
