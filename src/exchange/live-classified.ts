import { ProxyError } from '../errors.ts';
import type { Units } from '../quota/units.ts';
import { NO_UNITS } from '../quota/units.ts';
import type { InboundCall } from './call.ts';
import { readControlHeaders } from './control-headers.ts';
import type { ExchangeContext } from './exchange.ts';
import { readSetup } from './live-setup.ts';
import type { LiveUpstream } from './live-wire.ts';
import type { Outbound } from './outbound.ts';
import { outboundHeaders, withCredentials } from './outbound.ts';
import type { Settings } from './settings.ts';

/** What is known of a Live session before it waits. */
export interface ClassifiedSession {
  /** In force when the setup arrived. */
  readonly settings: Settings;
  readonly upstream: LiveUpstream;
  readonly outbound: Outbound;
  readonly project: string;
  readonly requestedModel: string;
  readonly agent: string;
  readonly interactive: boolean;
  /** Timeline ms. */
  readonly deadlineMs: number;
  /** The session itself; its turns are charged as they come. */
  readonly units: Units;
}

/**
 * What the setup asks for, whose it is and how long it may wait. Clients of Live show no limit of
 * their own: their sockets are kept alive by pings. Throws what is wrong; nothing has been counted.
 */
export function classifySession(
  context: ExchangeContext,
  parts: {
    readonly call: Omit<InboundCall, 'body' | 'bodyBytes'>;
    readonly setup: Buffer;
    /** Timeline ms. */
    readonly receivedAtMs: number;
  },
): ClassifiedSession {
  const { call, receivedAtMs } = parts;
  const { live, resolveModel, names } = context;
  if (live === undefined) {
    throw new ProxyError('NOT_SUPPORTED', 'Live sessions are not forwarded here.');
  }
  const { model: requestedModel, inputTokens } = readSetup(parts.setup);
  const { interactive, waitMsMax } = readControlHeaders(call.headers);
  const settings = context.settings();
  const outbound = withCredentials(call, settings);
  const holdMs = Math.min(settings.queue.waitMsMax, waitMsMax ?? Infinity);
  const tokens = { input: inputTokens, output: 0, cached: 0 };
  return {
    settings,
    upstream: live,
    outbound,
    project: settings.projectOf(outbound.ownKey),
    requestedModel,
    agent:
      call.agentName ??
      names.nameOf({ key: outbound.ownKey, headers: call.headers, massgen: false }),
    interactive,
    deadlineMs: receivedAtMs + Math.floor(holdMs),
    units: {
      ...NO_UNITS,
      requests: 1,
      inputTokens,
      usdMicros: settings.price(resolveModel(requestedModel), tokens),
    },
  };
}

/** The client's end-to-end headers without those of its own handshake, which ours replace. */
export function handshakeHeaders(headers: readonly string[], queuedMs: number): string[] {
  const kept = outboundHeaders(headers, queuedMs);
  const result: string[] = [];
  for (let at = 0; at + 1 < kept.length; at += 2) {
    const name = kept[at] ?? '';
    if (!/^sec-websocket-/i.test(name)) result.push(name, kept[at + 1] ?? '');
  }
  return result;
}
