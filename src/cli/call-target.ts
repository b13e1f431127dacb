import type { LoadedConfig } from '../config/loaded.ts';
import { createLogger } from '../log.ts';
import { CommandFailure, type CliContext, EXIT_CODES, printLine } from './context.ts';
import {
  type ClientFlags,
  connect,
  type DaemonAddress,
  type DaemonClient,
  locateDaemon,
  unreachable,
} from './daemon-client.ts';
import { styleFor } from './style.ts';

/** A daemon that calls go through: the one that runs, or one of this process for as long as it lives. */
export interface CallTarget {
  /** Without a trailing slash. */
  readonly url: string;
  /** Its admin.token; null where it asks for none. */
  readonly token: string | null;
  /** As PEM; absent where it is not known, and for plain HTTP. */
  readonly certificate?: string | undefined;
  /** For its own routes. */
  readonly client: DaemonClient;
  close(): Promise<void>;
}

export interface CallTargetFlags extends ClientFlags {
  readonly simulate?: boolean;
}

/** A daemon that runs answers from memory; one that takes longer does not serve. */
const PROBE_MS_MAX = 2_000;

/**
 * Throws a CommandFailure: `unreachable` where the user has named a daemon that does not answer,
 * `failed` where its token is missing.
 */
export async function openTarget(
  context: CliContext,
  flags: CallTargetFlags,
  load: () => LoadedConfig,
): Promise<CallTarget> {
  // Whoever asks for the simulated Gemini must not reach the real one through another daemon.
  const isOwn = flags.simulate === true;
  const address = locateDaemon(context, flags);
  const absence = isOwn ? null : await probe(address);
  if (!isOwn && absence === null) {
    const client = connect(address);
    const { url, token, certificate } = address;
    return { url, token, certificate, client, close: () => client.close() };
  }
  if (address.isNamed && !isOwn) throw unreachable(address.url, absence);
  const why = isOwn
    ? 'a simulated Gemini answers; its counts stay apart'
    : `no daemon answers at ${address.url}: calling from here, on the same quota`;
  printLine(context.stderr, styleFor(context.stderr, context.env).dim(why));
  return startOwn(context, load);
}

/** Opens the target when it is first asked for, and closes it where it was. */
export function lazyTarget(open: () => Promise<CallTarget>): {
  readonly get: () => Promise<CallTarget>;
  close(): Promise<void>;
} {
  const opened: Promise<CallTarget>[] = [];
  return {
    async get() {
      const [known = open()] = opened;
      opened[0] = known;
      return known;
    },
    async close() {
      // One that could not be opened has been told about already.
      for (const result of await Promise.allSettled(opened)) {
        if (result.status === 'fulfilled') await result.value.close();
      }
    },
  };
}

/** Null where headgate answers; else what is there instead. Throws where a token is missing. */
async function probe(address: DaemonAddress): Promise<Error | null> {
  const client = connect(address, PROBE_MS_MAX);
  try {
    await client.ask('GET', '/livez');
    // Many programs have a /livez; only headgate has a queue, and asks for its token there.
    await client.ask('GET', '/queue');
    return null;
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    if (error.exitCode !== EXIT_CODES.unreachable) throw error;
    return error.cause instanceof Error ? error.cause : error;
  } finally {
    await client.close();
  }
}

async function startOwn(
  { clock, env, stderr }: CliContext,
  load: () => LoadedConfig,
): Promise<CallTarget> {
  const { secrets, admin, simulate, rateLimits, tls } = load();
  // Here and not above, for a daemon is seldom needed and takes time to load.
  const { startDaemon } = await import('../daemon.ts');
  const { makeScenario } = await import('../simulator/scenario.ts');
  const daemon = await startDaemon({
    clock,
    load,
    simulate,
    scenario: makeScenario({ minute_span_ms: rateLimits.minuteSpanMs }),
    logger: createLogger({
      level: 'warn',
      format: 'pretty',
      destination: stderr,
      secrets: () => secrets,
      clock,
      env,
    }),
  });
  const { token } = admin;
  const certificate = tls?.cert;
  const client = connect({ url: daemon.url, token, isNamed: false, certificate });
  return {
    url: daemon.url,
    token,
    certificate,
    client,
    async close() {
      await client.close();
      await daemon.stop();
    },
  };
}
