import type { Test } from 'tap';

import { systemClock } from '../../src/clock.ts';
import type { InboundCall, ReplySink } from '../../src/exchange/call.ts';
import type { BodyFacts } from '../../src/gemini/body-scan.ts';
import type { Endpoint } from '../../src/gemini/route.ts';
import type { Control } from '../../src/http/control.ts';
import type { EdgeRefusal, ExchangeEntry, PassedCall } from '../../src/http/gemini-routes.ts';
import type { GuardSettings } from '../../src/http/guard.ts';
import { createServer, type HttpServerOptions } from '../../src/http/server.ts';

/** A call as it arrived at the exchange. */
export interface Taken {
  readonly call: InboundCall;
  readonly facts: BodyFacts;
  readonly endpoint: Endpoint;
  readonly sink: ReplySink;
}

export interface Passed {
  readonly call: PassedCall;
  readonly stream: NodeJS.ReadableStream | null;
  readonly sink: ReplySink;
}

export const OPEN_GUARD: GuardSettings = {
  listenHost: '127.0.0.1',
  allowedHosts: [],
  allowedOrigins: [],
  token: null,
};

/** Answers every call at once with what it was. */
export function answerAtOnce(sink: ReplySink, body: unknown): void {
  sink.head(200, ['Content-Type', 'application/json']);
  sink.write(Buffer.from(JSON.stringify(body)));
  sink.end();
}

/**
 * The HTTP edge on a free port in front of an exchange that the test writes. `seen` keeps what
 * arrived there and what was refused before.
 */
export async function startOwnServer(
  t: Test,
  options: Partial<Omit<HttpServerOptions, 'guard' | 'exchange' | 'control'>> & {
    readonly guard?: Partial<GuardSettings>;
    readonly control?: Partial<Control>;
    readonly onTake?: (taken: Taken) => void;
    readonly onPass?: (passed: Passed) => void;
  } = {},
) {
  const seen = {
    taken: [] as Taken[],
    passed: [] as Passed[],
    refusals: [] as EdgeRefusal[],
    faults: [] as Error[],
  };
  const exchange: ExchangeEntry = {
    take(call, facts, endpoint, sink) {
      const taken = { call, facts, endpoint, sink };
      seen.taken.push(taken);
      if (options.onTake === undefined) answerAtOnce(sink, { took: call.path });
      else options.onTake(taken);
    },
    pass(call, stream, sink) {
      const passed = { call, stream, sink };
      seen.passed.push(passed);
      if (options.onPass !== undefined) return options.onPass(passed);
      stream?.resume();
      answerAtOnce(sink, { passed: call.path });
    },
  };
  let requests = 0;
  const server = await createServer({
    listen: { host: '127.0.0.1', port: 0 },
    clock: systemClock,
    version: '1.2.3',
    metrics: { render: async () => 'up 1\n', contentType: 'text/plain; version=0.0.4' },
    newRequestId: () => `request-${++requests}`,
    onRefusal: (refusal) => seen.refusals.push(refusal),
    onFault: (error) => seen.faults.push(error),
    ...options,
    guard: () => ({ ...OPEN_GUARD, ...options.guard }),
    exchange,
    // A test gives the part that its requests reach.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    control: { unreadyReason: () => null, ...options.control } as Control,
  });
  t.teardown(() => server.close());
  return { ...seen, url: server.url, port: server.port, server };
}
