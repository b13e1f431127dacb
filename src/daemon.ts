import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import type { Clock } from './clock.ts';
import { systemClock } from './clock.ts';
import type { LoadedConfig } from './config/loaded.ts';
import { ProxyError } from './errors.ts';
import type { ExchangeMarks, ExchangeRecord } from './exchange/call.ts';
import { Exchange } from './exchange/exchange.ts';
import type { EdgeRefusal } from './http/gemini-routes.ts';
import type { HttpServer } from './http/server.ts';
import { createServer } from './http/server.ts';
import type { ReloadView } from './http/views.ts';
import type { Logger } from './log.ts';
import type { Metrics, PartitionSnapshot } from './metrics/metrics.ts';
import { createMetrics } from './metrics/metrics.ts';
import { type Budgets, watchBudgets } from './operation/budgets.ts';
import { startChores } from './operation/chores.ts';
import { Configuration } from './operation/configuration.ts';
import { createConversationsThread } from './operation/conversations-thread.ts';
import { createJournal, usageRowOf } from './operation/journal.ts';
import { ModelNames } from './operation/model-names.ts';
import { createOperator, type Operator } from './operation/operator.ts';
import { createPageFeed, type PageFeed } from './operation/page-feed.ts';
import { createSessionDesk } from './operation/session-desk.ts';
import { noteStart } from './operation/truth.ts';
import { Calibration } from './quota/calibration.ts';
import type { Partition } from './quota/policy.ts';
import { Scheduler } from './queue/scheduler.ts';
import type { Scenario } from './simulator/scenario.ts';
import { makeScenario } from './simulator/scenario.ts';
import type { Simulator } from './simulator/simulator.ts';
import { startSimulator } from './simulator/simulator.ts';
import { openStore } from './store/store.ts';
import type { Tracing } from './tracing/tracing.ts';
import { createTracing } from './tracing/tracing.ts';
import { createLiveUpstream } from './upstream/live-upstream.ts';
import { createUpstream } from './upstream/undici-upstream.ts';
import { VERSION } from './version.ts';

/** How often a stopping daemon looks whether the last call has ended. */
const DRAIN_LOOK_MS = 20;
const DRAINING_RETRY_MS = 5_000;
/** Where there are sessions, the thread that reads them starts after the daemon itself has. */
const WARM_MS = 500;
/** The upstream's clock is read from an answer's Date header at most this often. */
const DATE_READ_MS = 5_000;

export interface DaemonOptions {
  /** Reads the configuration, at start and at every reload. Throws ConfigError. */
  readonly load: () => LoadedConfig;
  readonly clock?: Clock;
  /** In [0, 1). */
  readonly random?: () => number;
  readonly logger: Logger;
  /** Puts the simulated Gemini, on loopback, in the place of the upstream. */
  readonly simulate?: boolean;
  readonly scenario?: Scenario;
}

/** A running daemon. */
export interface Daemon {
  /** As a client would call it. */
  readonly url: string;
  config(): LoadedConfig;
  readonly simulator: Simulator | null;
  /** Reads the configuration again. Throws ConfigError; the former one stays in force then. */
  reload(): ReloadView;
  /** Refuses waiting calls with 503, lets running ones end within `queue.drain`, then closes. */
  stop(): Promise<void>;
}

/**
 * Starts the daemon: the parts are built by `buildParts`, in the order of the stops that a call
 * makes, and then the address is opened. Throws when database or address cannot be had.
 */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { clock = systemClock, random = Math.random } = options;
  const parts = buildParts({ ...options, clock });
  const { configuration, store, exchange, scheduler, chores, upstream, live, names, state } = parts;
  const { desk, conversations, page, note, tracing, budgets } = parts;
  const { simulate = configuration.current.simulate, scenario = makeScenario() } = options;
  let simulator: Simulator | null = null;
  let server: HttpServer;
  try {
    if (simulate) {
      simulator = await startSimulator({ clock, random, scenario });
      configuration.override({ upstreamBaseUrl: simulator.url, upstreamApiKey: 'simulated' });
      state.isSimulated = true;
    }
    server = await openServer({ ...options, clock }, parts);
  } catch (error) {
    chores.close();
    page.close();
    budgets.close();
    exchange.close();
    store.close();
    await simulator?.close();
    throw error;
  }
  state.url = server.url;
  note(() => noteStart(store.samples, clock.wallMs()));
  if (configuration.current.sessions.roots.some((root) => existsSync(root))) {
    clock.after(WARM_MS, () => conversations.warm());
  }
  const applied = () => {
    parts.metrics.showConfig(configuration.current);
    names.mergeConfigured(configuration.current.rateLimits.aliases.keys());
    scheduler.rematch();
    tracing.apply();
  };
  applied();
  configuration.watch(applied);

  async function stop(): Promise<void> {
    if (state.isDraining) return;
    state.isDraining = true;
    configuration.close();
    const message = 'headgate is stopping. Please retry in 5s.';
    scheduler.stop(new ProxyError('DRAINING', message, { retryAfterMs: DRAINING_RETRY_MS }));
    const deadlineMs = clock.monotonicMs() + configuration.current.queue.drainMs;
    while (exchange.running + desk.running > 0 && clock.monotonicMs() < deadlineMs) {
      await new Promise<void>((resolve) => {
        clock.after(DRAIN_LOOK_MS, resolve);
      });
    }
    exchange.cutAll();
    await server.close();
    // What an upstream still said of a session that was cut could not be written down any more.
    live.close();
    await conversations.close();
    exchange.close();
    chores.close();
    chores.writeLearned();
    page.close();
    budgets.close();
    page.writeSamples();
    scheduler.flush();
    store.close();
    await tracing.close();
    await upstream.close();
    await simulator?.close();
  }

  return {
    url: server.url,
    config: () => configuration.current,
    simulator,
    reload: () => configuration.reload(),
    stop,
  };
}

type BuildOptions = DaemonOptions & { readonly clock: Clock };
type Parts = ReturnType<typeof buildParts>;
type Engine = ReturnType<typeof buildEngine>;

/** Builds every part once and connects them; nothing listens yet. */
function buildParts(options: BuildOptions) {
  const { clock, logger } = options;
  const engine = buildEngine(options);
  const { state, configuration, store, calibration, names, scheduler, metrics } = engine;
  const { journal, rulesOf, note, tracing } = engine;
  const { ledger, learning, timeline } = store;
  const upstream = createUpstream();
  const live = createLiveUpstream();
  const record = (ended: ExchangeRecord, marks: ExchangeMarks) => {
    metrics.recordExchange(ended);
    operator.note(ended);
    page.add(ended);
    journal.record(ended, marks);
    tracing.note(ended, marks);
    budgets.note(ended);
    const row = usageRowOf(ended, timeline.nowMs() + timeline.upstreamOffsetMs);
    if (row !== null) note(() => learning.addUsage(row));
  };
  const rejected = (partition: Partition, quota: string) => {
    metrics.recordRejection(partition, quota);
    operator.noteRejection();
    page.addRejection(partition);
  };
  const budgets = buildBudgets(options, engine);
  const conversations = createConversationsThread({
    databasePath: store.path,
    home: homedir(),
    settings: () => configuration.current.sessions,
    onError: (error) => logger.error('reading session logs failed', { err: error }),
  });
  const exchange = new Exchange({
    clock,
    timeline,
    ledger,
    scheduler,
    upstream,
    live,
    settings: () => configuration.settings,
    calibration,
    resolveModel: (requestedModel) => names.resolve(requestedModel),
    rulesOf,
    learnAlias: (alias, model) => names.learn(alias, model),
    observeDate: throttled(DATE_READ_MS, (observed) => note(() => store.observeDate(observed))),
    events: { ...journal, record, rejected },
    recording: {
      wants: ({ requestId, sessionName }) => {
        const wanted = configuration.current.sessions.record;
        if (wanted === 'off' || desk.isContinuing(requestId)) return false;
        return wanted === 'all' || sessionName !== null;
      },
      keep: (kept) => conversations.record(kept),
    },
  });
  const desk = createSessionDesk({
    conversations,
    clock,
    exchange,
    logger,
    version: VERSION,
    recordContinuation: (format, outcome) => metrics.recordContinuation(format, outcome),
  });
  const operator = createOperator({
    clock,
    store,
    scheduler,
    configuration,
    rulesOf,
    exchange,
    version: VERSION,
    tell: (change) => logger.info(change),
    state,
  });
  state.snapshot = () => operator.snapshot();
  const page = buildPage(options, engine, operator);
  const rollupsMs = () => configuration.current.retention.rollupsMs;
  const chores = startChores({ clock, calibration, learning, note, rollupsMs });
  const around = { upstream, live, page, chores, conversations, desk, budgets };
  return { ...engine, ...around, exchange, operator };
}

/** What the page is told as it happens, and shows of the past. */
function buildPage({ clock }: BuildOptions, engine: Engine, operator: Operator): PageFeed {
  const { store, note, scheduler } = engine;
  return createPageFeed({
    clock,
    samples: store.samples,
    note,
    flush: () => scheduler.flush(),
    status: () => operator.status(),
    mark: () => operator.mark(),
  });
}

/** Tells of budgets that are nearly used up. */
function buildBudgets({ clock, logger }: BuildOptions, engine: Engine): Budgets {
  const { store, rulesOf, scheduler } = engine;
  return watchBudgets({
    clock,
    ledger: store.ledger,
    rulesOf,
    nowMs: () => store.timeline.nowMs(),
    flush: () => scheduler.flush(),
    tell: (sentence) => logger.warn(sentence),
  });
}

/** The parts that decide which call goes when, and what they need. */
function buildEngine({ load, clock, logger }: BuildOptions) {
  const state = {
    url: '',
    isDraining: false,
    isSimulated: false,
    snapshot: (): readonly PartitionSnapshot[] => [],
  };
  const metrics = createMetrics({ version: VERSION, snapshot: () => state.snapshot() });
  const onReload = metrics.recordReload.bind(metrics);
  const configuration = new Configuration({ load, clock, logger, onReload });
  const onError = (error: unknown) => logger.error('the database failed', { err: error });
  const store = openStore({
    path: configuration.current.storage.path,
    clock,
    eventsMs: () => configuration.eventsMs,
    onError,
  });
  const { ledger, learning, timeline } = store;
  const journal = createJournal({ logger, timeline });
  const tracing = buildTracing({ clock, logger }, configuration, metrics);
  const note = (write: () => void) => scheduler.note(write);
  const names = new ModelNames({
    settings: () => configuration.settings,
    ledger,
    learned: learning.readAliases(),
    note,
    writeAlias: (alias, model) => learning.writeAlias(alias, model, timeline.nowMs()),
    onLearned: (alias, model) => {
      journal.aliased(alias, model);
      scheduler.rematch();
    },
  });
  const rulesOf = (project: string, requestedModel: string) =>
    configuration.settings.rules(project, names.resolve(requestedModel));
  const scheduler = new Scheduler({
    ledger,
    clock,
    nowMs: () => timeline.nowMs(),
    rulesOf,
    bounds: () => configuration.settings.queue,
    othersLive: () => store.othersLive(),
    foreignChange: () => store.foreignChange(),
    onLongWait: (waiting) => journal.longWait(waiting),
    onError,
  });
  for (const { project, model } of learning.answeredModels()) metrics.learnModel(project, model);
  const calibration = new Calibration(learning.readCalibration());
  return {
    state,
    metrics,
    configuration,
    store,
    journal,
    note,
    names,
    rulesOf,
    scheduler,
    calibration,
    tracing,
  };
}

/** Traces of ended calls, while the configuration asks for them. */
function buildTracing(
  { clock, logger }: Pick<BuildOptions, 'clock' | 'logger'>,
  configuration: Configuration,
  metrics: Metrics,
): Tracing {
  return createTracing({
    clock,
    version: VERSION,
    settings: () => configuration.current.tracing,
    upstreamUrl: () => configuration.settings.upstreamBaseUrl,
    secrets: () => configuration.current.secrets,
    count: (result, calls) => metrics.recordTraces(result, calls),
    warn: (message) => logger.warn(message),
  });
}

/** Opens the address, to everything that the parts can answer. */
function openServer(
  { clock, logger }: BuildOptions,
  { configuration, metrics, exchange, operator, page, desk }: Parts,
): Promise<HttpServer> {
  const prefix = randomBytes(5).toString('hex');
  let requests = 0;
  return createServer({
    listen: configuration.current.listen,
    tls: configuration.current.tls,
    clock,
    control: operator,
    sessions: desk,
    page,
    metrics,
    version: VERSION,
    exchange,
    live: exchange,
    guard: () => ({
      listenHost: configuration.current.listen.host,
      ...configuration.current.admin,
    }),
    newRequestId: () => {
      requests += 1;
      return `${prefix}-${requests.toString(36).padStart(6, '0')}`;
    },
    heldBytesMax: () => configuration.settings.queue.bytesMax,
    onRefusal: (refusal) => tellRefusal(refusal, metrics, logger),
    onFault: (error) => logger.error(error.message, { err: error }),
  });
}

/** A call that was refused before it became an exchange. */
function tellRefusal(refusal: EdgeRefusal, metrics: Metrics, logger: Logger): void {
  const { requestId, method, path, error } = refusal;
  metrics.recordRefusal(error.reason);
  const line = `refused ${method} ${path} ${error.reason}: ${error.message}`;
  if (error.reason === 'INTERNAL') logger.error(line, { requestId, err: error });
  else logger.info(line, { requestId });
}

/** Passes on one observation per interval. */
function throttled<T extends { receivedAtMs: number }>(
  intervalMs: number,
  pass: (observed: T) => void,
): (observed: T) => void {
  let passedAtMs = -Infinity;
  return (observed) => {
    if (observed.receivedAtMs - passedAtMs < intervalMs) return;
    passedAtMs = observed.receivedAtMs;
    pass(observed);
  };
}
