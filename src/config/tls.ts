import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { LoadedConfig } from './loaded.ts';
import type { ConfigFile } from './schema.ts';
import { readFault, type Reading, resolvePath } from './sources.ts';

/** Reads the pair that `tls` names. Whatever is wrong with it is told at its place in the file. */
export function readTls(reading: Reading, written: ConfigFile['tls']): LoadedConfig['tls'] {
  if (written === null) return null;
  const cert = readPem(reading, 'cert', written.cert);
  const key = readPem(reading, 'key', written.key);
  if (cert === null || key === null) return null;
  const certificate = parsed(reading, 'cert', 'a certificate', () => new X509Certificate(cert));
  const privateKey = parsed<KeyObject>(reading, 'key', 'a private key without a passphrase', () =>
    createPrivateKey(key),
  );
  if (certificate === null || privateKey === null) return null;
  if (!certificate.checkPrivateKey(privateKey)) {
    const { document, problems } = reading;
    problems.push(
      document.problem(['tls', 'key'], 'is not the key of the certificate in tls.cert'),
    );
    return null;
  }
  return { cert, key };
}

function readPem(reading: Reading, name: 'cert' | 'key', path: string): string | null {
  const file = resolvePath(reading, path);
  reading.watchedFiles.push(file);
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const message = `${file} cannot be read: ${readFault(error)}`;
    reading.problems.push(reading.document.problem(['tls', name], message));
    return null;
  }
}

function parsed<T>(
  { document, problems }: Reading,
  name: 'cert' | 'key',
  what: string,
  parse: () => T,
): T | null {
  try {
    return parse();
  } catch {
    problems.push(document.problem(['tls', name], `holds no PEM of ${what}`));
    return null;
  }
}
