import { rootCertificates } from 'node:tls';
import type { Command } from 'commander';
import { Agent } from 'undici';
import { loadConfig } from '../config/load.ts';
import type { ListenAddress } from '../config/loaded.ts';
import { ConfigError } from '../config/problems.ts';
import { readWrittenAddress } from '../config/written-address.ts';
import { CommandFailure, type CliContext, printLine } from './context.ts';

/** How a command finds the daemon. */
export interface ClientFlags {
  readonly url?: string;
  readonly token?: string;
  readonly config?: string;
}

/** A running daemon's own routes. */
export interface DaemonClient {
  /** Without a trailing slash. */
  readonly url: string;
  /**
   * Throws a CommandFailure: `unreachable` when no headgate answers there, else the problem that it
   * answered with.
   */
  ask<View>(
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    path: string,
    body?: object,
  ): Promise<View>;
  close(): Promise<void>;
}

/** Where headgate listens unless told. */
export const DEFAULT_URL = 'http://127.0.0.1:4290';
const CONNECT_MS_MAX = 3_000;
/** Answers come from memory; a daemon that takes longer is stuck. */
const ANSWER_MS_MAX = 15_000;

/** The flags of every command that talks to a daemon. */
export function addClientOptions(command: Command): Command {
  return command
    .optionsGroup('Which daemon:')
    .option('--url <url>', 'its address; else $HEADGATE_URL, else `listen` of the configuration')
    .option('--token <token>', 'its admin.token; else $HEADGATE_TOKEN, else from the configuration')
    .option('--config <file>', 'the configuration that it runs with');
}

/** Runs `work` with a client and closes it. */
export async function withDaemon<T>(
  context: CliContext,
  flags: ClientFlags,
  work: (client: DaemonClient) => Promise<T>,
): Promise<T> {
  const client = connect(locateDaemon(context, flags));
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

/** Where a daemon is, or would be. */
export interface DaemonAddress {
  /** Without a trailing slash. */
  readonly url: string;
  readonly token: string | null;
  /** Whether the user named it, and not the configuration. */
  readonly isNamed: boolean;
  /** The certificate of its configuration, as PEM; absent where it is not known, and for plain HTTP. */
  readonly certificate?: string | undefined;
}

/**
 * How to connect to a daemon. Its own certificate is trusted beside the usual ones, whatever name
 * stands in it: it is reached by an address that few certificates hold.
 */
export function connectOptions(certificate: string | undefined, timeoutMs: number) {
  if (certificate === undefined) return { timeout: timeoutMs };
  return {
    timeout: timeoutMs,
    ca: [...rootCertificates, certificate],
    checkServerIdentity: () => undefined,
  };
}

/** The daemon that the flags, the environment or the configuration name. */
export function locateDaemon(context: CliContext, flags: ClientFlags): DaemonAddress {
  const named = nonEmpty(flags.url) ?? nonEmpty(context.env['HEADGATE_URL']);
  const token = nonEmpty(flags.token) ?? nonEmpty(context.env['HEADGATE_TOKEN']);
  if (named !== null) return { url: checkedUrl(named), token, isNamed: true };
  try {
    const { env, cwd } = context;
    const config = loadConfig({ file: flags.config ?? null, env, cwd, flags: {} });
    // Only the daemon of this configuration may see its token.
    const certificate = config.tls?.cert;
    return {
      url: urlOf(config.listen, certificate === undefined ? 'http' : 'https'),
      token: token ?? config.admin.token,
      isNamed: false,
      certificate,
    };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const { env, cwd } = context;
    const written = readWrittenAddress({ file: flags.config ?? null, env, cwd });
    const certificate = written?.certificate ?? undefined;
    const url =
      written === null
        ? DEFAULT_URL
        : urlOf(written.listen, certificate === undefined ? 'http' : 'https');
    printLine(
      context.stderr,
      `headgate: the configuration has mistakes (see headgate check); trying ${url}`,
    );
    return { url, token: token ?? written?.token ?? null, isNamed: false, certificate };
  }
}

function checkedUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new CommandFailure('usage', `'${text}' is no URL; say something like ${DEFAULT_URL}`);
  }
  return text.replace(/\/+$/, '');
}

/** An address that means all of the machine's is reached through its loopback. */
function urlOf({ host, port }: ListenAddress, scheme: 'http' | 'https'): string {
  const reached = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `${scheme}://${reached.includes(':') ? `[${reached}]` : reached}:${port}`;
}

/** A client of that daemon; nothing is sent yet. `answerMsMax` is at most 15 s, the default. */
export function connect(
  { url, token, certificate }: DaemonAddress,
  answerMsMax: number = ANSWER_MS_MAX,
): DaemonClient {
  const agent = new Agent({
    connect: connectOptions(certificate, Math.min(CONNECT_MS_MAX, answerMsMax)),
    headersTimeout: answerMsMax,
    bodyTimeout: answerMsMax,
  });
  const { origin, pathname } = new URL(url);
  const prefix = pathname.replace(/\/$/, '');

  async function ask<View>(
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    path: string,
    body?: object,
  ): Promise<View> {
    const answer = await agent
      .request({
        origin,
        path: prefix + path,
        method,
        headers: {
          accept: 'application/json',
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      .then(async ({ statusCode, body }) => ({ status: statusCode, text: await body.text() }))
      .catch((error: unknown) => {
        throw unreachable(url, error);
      });
    const view = parsed(answer.text);
    if (answer.status >= 400) throw refusalOf(url, answer.status, view);
    if (view === null) throw stranger(url);
    // What headgate answers is described in http/views.ts, and both are of one version.
    return view as View;
  }

  return { url, ask, close: () => agent.destroy() };
}

function refusalOf(url: string, status: number, problem: unknown): CommandFailure {
  if (typeof problem !== 'object' || problem === null || !('reason' in problem)) {
    return stranger(url);
  }
  const detail = 'detail' in problem ? String(problem.detail) : String(problem.reason);
  if (status === 401) {
    return new CommandFailure('failed', `${detail}\nUse --token or $HEADGATE_TOKEN.`);
  }
  if (status === 422) return new CommandFailure('badConfig', detail);
  return new CommandFailure(status === 400 ? 'usage' : 'failed', detail);
}

/** Says how to start a daemon. */
export function unreachable(url: string, error: unknown): CommandFailure {
  const reason = error instanceof Error ? error.message : String(error);
  return new CommandFailure(
    'unreachable',
    `no daemon answers at ${url} (${reason})\n` +
      'Start one with headgate serve, or name its address with --url or $HEADGATE_URL.',
    error,
  );
}

function stranger(url: string): CommandFailure {
  return new CommandFailure('unreachable', `what answers at ${url} is not headgate`);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function nonEmpty(text: string | undefined): string | null {
  return text === undefined || text === '' ? null : text;
}
