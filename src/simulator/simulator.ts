import { createServer, type RequestListener } from 'node:http';
import type { Clock } from '../clock.ts';
import { type Arrival, ArrivalLog } from './arrival.ts';
import { serveLive } from './live.ts';
import { type Host, receive } from './receive.ts';
import type { Scenario } from './scenario.ts';
import { type Score, scoreOf } from './score.ts';
import { World } from './world.ts';

export interface SimulatorOptions {
  /** Default 0: any free port. */
  readonly port?: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
  readonly clock: Clock;
  /** In [0, 1); draws latencies and the faults that have a rate. */
  readonly random: () => number;
  readonly scenario: Scenario;
}

/** A Gemini on loopback that keeps a strict quota and can be told to fail. */
export interface Simulator {
  /** Without a trailing slash. */
  readonly url: string;
  /** The latest 200,000 requests or so, in order; a live view. */
  readonly arrivals: readonly Arrival[];
  score(): Score;
  /** New rules from now on; what was used stays used, unless the windows are others. */
  setScenario(scenario: Scenario): void;
  /** Forgets arrivals and use. */
  reset(): void;
  /** Breaks off every connection. */
  close(): Promise<void>;
}

const ARRIVALS_MAX = 200_000;
/** Thousands of agents may connect in one moment; the default of 511 would drop some. */
const BACKLOG = 8192;

/** @throws what `listen` fails with, as when the port is taken. */
export async function startSimulator(options: SimulatorOptions): Promise<Simulator> {
  const { clock, random, scenario, host: address = '127.0.0.1', port = 0 } = options;
  const world = new World(scenario, clock, random);
  const log = new ArrivalLog(ARRIVALS_MAX);
  const host: Host = {
    url: '',
    world,
    log,
    score: () =>
      scoreOf(log.entries, world.books, {
        scenario: world.scenario.name,
        elapsedMs: clock.monotonicMs() - world.startedAtMs,
      }),
    reset() {
      log.clear();
      world.reset();
    },
  };
  const listener: RequestListener = (request, response) => {
    receive(host, request, response).catch((error: unknown) => {
      response.destroy(error instanceof Error ? error : new Error(String(error)));
    });
  };
  // Agents keep their connections between calls, and a body may take its time.
  const settings = { keepAliveTimeout: 120_000, requestTimeout: 0, headersTimeout: 0 };
  const server = createServer(settings, listener);
  const live = serveLive(server, createServer(settings, listener), { world, log });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: address, port, backlog: BACKLOG }, resolve);
  });
  const bound = server.address();
  const boundPort = typeof bound === 'object' && bound !== null ? bound.port : port;
  host.url = `http://${address.includes(':') ? `[${address}]` : address}:${boundPort}`;
  return {
    url: host.url,
    arrivals: log.entries,
    score: host.score,
    setScenario: (next) => world.change(next),
    reset: host.reset,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        live.close();
        server.closeAllConnections();
      }),
  };
}
