import { readdirSync, readFileSync } from 'node:fs';
import { type Finding, ok, warn } from './doctor-finding.ts';

/** Some machines run thousands of processes; nobody waits for more. */
const PROCESSES_MAX = 4096;

/** Variables that send a client somewhere else than here, without a word. */
export function checkShell(env: NodeJS.ProcessEnv, url: string): Finding[] {
  const findings: Finding[] = [];
  for (const [variable, client] of ADDRESS_VARIABLES) {
    const value = env[variable];
    if (value !== undefined && value !== '' && !isSameOrigin(value, url)) {
      // Its path and user may hold what is nobody's business.
      const where = URL.canParse(value) ? new URL(value).host : 'something that is no URL';
      if (variable === 'OPENAI_BASE_URL' && where !== GEMINI_HOST) continue;
      const message = `${variable} points to ${where}, not to headgate at ${url}`;
      findings.push(warn('shell', message, hintFor(client)));
    }
  }
  const key = ['GEMINI_API_KEY', 'GOOGLE_API_KEY'].find((name) => (env[name] ?? '') !== '');
  if (key !== undefined && (env['GOOGLE_GEMINI_BASE_URL'] ?? '') === '') {
    const message = `${key} is set and GOOGLE_GEMINI_BASE_URL is not: clients started here go past headgate`;
    findings.push(warn('shell', message, hintFor('genai-python')));
  }
  for (const variable of ['GOOGLE_GENAI_USE_VERTEXAI', 'GOOGLE_GENAI_USE_GCA']) {
    if (!/^(1|true)$/i.test(env[variable] ?? '')) continue;
    const message = `${variable} is set: clients then go to another service, whatever their base URL says`;
    findings.push(warn('shell', message, `Unset ${variable}.`));
  }
  if (findings.length > 0) return findings;
  const points = (env['GOOGLE_GEMINI_BASE_URL'] ?? '') !== '';
  return [ok('shell', points ? `points Google's clients to ${url}` : 'holds no key for a client')];
}

const GEMINI_HOST = 'generativelanguage.googleapis.com';
const ADDRESS_VARIABLES = [
  ['GOOGLE_GEMINI_BASE_URL', 'genai-python'],
  ['OPENAI_BASE_URL', 'openai'],
] as const;

function hintFor(client: string): string {
  return `Run eval "$(headgate env ${client})" in it; headgate env lists other clients.`;
}

/** The names of one's own machine mean the same. */
function isSameOrigin(a: string, b: string): boolean {
  if (!URL.canParse(a) || !URL.canParse(b)) return false;
  const [one, other] = [new URL(a), new URL(b)];
  return (
    one.protocol === other.protocol && one.port === other.port && nameOf(one) === nameOf(other)
  );
}

function nameOf({ hostname }: URL): string {
  return LOOPBACK.has(hostname) ? 'localhost' : hostname;
}

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]']);

/** MassGen with a limit of its own waits for it, and then once more for headgate's. */
export function checkLimiters(): Finding {
  if (process.platform !== 'linux') {
    return ok('massgen', "leave MassGen's own --rate-limit off; not looked for on this system");
  }
  const found = commandLines().filter(
    (words) =>
      words.slice(0, 4).some((word) => MASSGEN.test(word)) && words.includes('--rate-limit'),
  ).length;
  if (found === 0) return ok('massgen', 'none runs here with a --rate-limit of its own');
  return warn(
    'massgen',
    `${found === 1 ? 'one runs' : `${found} run`} here with --rate-limit: calls wait twice`,
    'Leave it off: headgate keeps the limits, for all processes together.',
  );
}

/** `massgen`, `python -m massgen.cli`, `python massgen/cli.py`; a directory may have the name too. */
const MASSGEN = /^(.*\/)?massgen(\.cli|\/cli\.py)?$/;

/** Of this user's processes, as far as they can be read. */
function commandLines(): string[][] {
  let names: string[];
  try {
    names = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
  return names.slice(0, PROCESSES_MAX).flatMap((name) => {
    try {
      return [readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0')];
    } catch {
      return [];
    }
  });
}
