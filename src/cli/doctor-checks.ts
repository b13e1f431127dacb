import { once } from 'node:events';
import { createServer } from 'node:net';
import { formatProblem } from '../config/problems.ts';
import { ProxyError } from '../errors.ts';
import { checkDatabase } from '../store/database-check.ts';
import { EXIT_CODES } from './context.ts';
import { fail, type Finding, ok, type Patient, warn } from './doctor-finding.ts';
import { thousands } from './words.ts';

/** `engines` of package.json. */
const NODE_MIN = { major: 20, minor: 19 };
const ZONE = 'America/Los_Angeles';
const MEGABYTE = 1_048_576;
/** A busy day writes some megabytes; SQLite's log grows by as much before it is taken in. */
const ROOM_BYTES_MIN = 64 * MEGABYTE;
const FULL_BYTES = MEGABYTE;

export function checkNode(): Finding {
  const version = process.versions.node;
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isEnough = major > NODE_MIN.major || (major === NODE_MIN.major && minor >= NODE_MIN.minor);
  if (isEnough) return ok('node', `Node.js ${version}`);
  const needed = `${NODE_MIN.major}.${NODE_MIN.minor}`;
  return fail('node', `Node.js ${version} is too old`, `Install Node.js ${needed} or newer.`);
}

/** Google's day ends at midnight there, and Node may be built without the data that says when. */
export function checkZone(): Finding {
  const [winter, summer] = [Date.UTC(2026, 0, 15), Date.UTC(2026, 6, 15)].map(offsetHours);
  const known = process.versions['tz'];
  const version = known === undefined ? '' : `, time zone data ${known}`;
  if (winter === -8 && summer === -7) {
    return ok('time zone', `${ZONE} is UTC-8 in winter and UTC-7 in summer${version}`);
  }
  return fail(
    'time zone',
    `${ZONE} is not known with its summer time${version}, so that days would end at the wrong hour`,
    'Run a Node.js with full ICU data, without NODE_ICU_DATA.',
  );
}

function offsetHours(atMs: number): number {
  try {
    const words = new Intl.DateTimeFormat('en-US', {
      timeZone: ZONE,
      timeZoneName: 'longOffset',
    }).format(atMs);
    return Number(/GMT([+-]\d\d):/.exec(words)?.[1] ?? Number.NaN);
  } catch {
    return Number.NaN;
  }
}

export function checkConfig({ config, problems, status }: Patient): Finding[] {
  if (config === null) {
    return problems.map((problem) => fail('config', formatProblem(problem), null));
  }
  const file = config.file ?? 'no file; the built-in defaults are in force';
  const findings = config.warnings.map((warning) => warn('config', warning, null));
  if (status !== null && status.config.reload_error !== null) {
    findings.push(
      warn(
        'config',
        `the daemon did not take its last reload: ${status.config.reload_error}`,
        'Correct it and run headgate reload.',
      ),
    );
  }
  if (status !== null && status.config.file !== config.file) {
    const theirs = status.config.file ?? 'the built-in defaults';
    const message = `${file}; the daemon runs with another one, ${theirs}`;
    findings.push(warn('config', message, 'Restart it with the one that you mean.'));
  }
  if (findings.length > 0) return findings;
  return [ok('config', `${file}, mode ${config.mode}, profile ${config.profile}`)];
}

/** Whether headgate is there, or could be. */
export async function checkPort(patient: Patient): Promise<Finding> {
  const { address, status, trouble, config } = patient;
  if (status !== null) {
    return ok('port', `headgate ${status.version} runs at ${address.url}, process ${status.pid}`);
  }
  if (trouble !== null && trouble.exitCode !== EXIT_CODES.unreachable) {
    return warn('port', `a headgate runs at ${address.url}, but: ${trouble.message}`, null);
  }
  if (address.isNamed) {
    return fail('port', trouble?.message.split('\n')[0] ?? 'nothing answers', START_ONE);
  }
  if (config === null) return warn('port', `no headgate answers at ${address.url}`, null);
  const { host, port } = config.listen;
  const place = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const server = createServer();
  try {
    server.listen({ host, port, exclusive: true });
    await once(server, 'listening');
    server.close();
    await once(server, 'close');
    return ok('port', `${place} is free for headgate serve`);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    return fail('port', `${place} cannot be listened on: ${PORT_WORDS.get(code) ?? code}`, OTHER);
  }
}

const START_ONE = 'Start one with headgate serve, or name its address with --url.';
const OTHER = 'Stop what is there, or name another address in listen.';
const PORT_WORDS: ReadonlyMap<string, string> = new Map([
  ['EADDRINUSE', 'another program, which is not headgate, has it'],
  ['EACCES', 'this user may not'],
  ['EADDRNOTAVAIL', 'this machine has no such address'],
]);

/** A disk that is full, or soon will be; null where there is room. */
export function checkRoom(path: string, freeBytes: number): Finding | null {
  if (freeBytes >= ROOM_BYTES_MIN) return null;
  const message = `the disk of ${path} has ${Math.floor(freeBytes / MEGABYTE)} MB left`;
  const hint = 'Make room on it: calls are refused while the database cannot grow.';
  return freeBytes < FULL_BYTES ? fail('database', message, hint) : warn('database', message, hint);
}

export function checkStorage({ config, status }: Patient): Finding {
  const path = status?.database.path ?? config?.storage.path;
  if (path === undefined) {
    return warn('database', 'not looked at: the configuration does not say where it is', null);
  }
  try {
    const { exists, bytes, schema, schemaKnown, damage, freeBytes } = checkDatabase(path);
    if (!exists && status !== null) return warn('database', `${path} is not on this machine`, null);
    const room = checkRoom(path, freeBytes);
    if (room !== null) return room;
    if (!exists) return ok('database', `${path} will be made at the start`);
    const size = `${thousands(Math.round((bytes / MEGABYTE) * 10) / 10)} MB`;
    if (damage !== null && damage.length > 0) {
      const message = `${path} is damaged: ${damage.join('; ')}`;
      return fail('database', message, 'Move it away to start with empty counters.');
    }
    const version =
      schema === schemaKnown
        ? `schema ${schema}`
        : `schema ${schema}, which becomes ${schemaKnown} at the next start`;
    const integrity = damage === null ? 'too large to look for damage' : 'no damage found';
    return ok('database', `${path}, ${size}, ${version}, ${integrity}`);
  } catch (error) {
    if (!(error instanceof ProxyError)) throw error;
    return fail('database', error.message, null);
  }
}
