import { randomBytes } from 'node:crypto';
import type { Clock, Timer } from './clock.ts';
import { systemClock } from './clock.ts';
import { isSameConfig } from './config/load.ts';
import type { LoadedConfig } from './config/loaded.ts';
import { settingsFrom } from './config/settings.ts';
import { watchFiles } from './config/watch.ts';
import { ProxyError } from './errors.ts';
import { reading } from './explain.ts';
import { Exchange } from './exchange/exchange.ts';
import type { ExchangeEvents } from './exchange/exchange.ts';
import type { Settings } from './exchange/settings.ts';
import { createServer } from './http/server.ts';
import type { ReloadView } from './http/views.ts';
import type { Logger } from './log.ts';
import { createJournal, usageRowOf } from './journal.ts';
import { createMetrics } from './metrics/metrics.ts';
import { createOperator } from './operator.ts';
import { Calibration } from './quota/calibration.ts';
import type { QuotaRules } from './quota/policy.ts';
import { dateIn, GOOGLE_QUOTA_ZONE, spanMs } from './quota/window.ts';
import { Scheduler } from './queue/scheduler.ts';
import type { Scenario } from './simulator/scenario.ts';
import { makeScenario } from './simulator/scenario.ts';
import type { Simulator } from './simulator/simulator.ts';
import { startSimulator } from './simulator/simulator.ts';
import { openStore } from './store/store.ts';
import { createUpstream } from './upstream/undici-upstream.ts';
import { VERSION } from './version.ts';

/** What has been learned is written down this often. */
const LEARNED_WRITE_MS = 1_000;
/** Old rollups are dropped this often. */
const ROLLUP_PRUNE_MS = 3_600_000;
/** Aliases remembered; a caller could make up any number. */
const ALIASES_MAX = 1_000;
/** How often a stopping daemon looks whether the last call has ended. */
const DRAIN_LOOK_MS = 20;
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

/** Builds every part once and connects them. Throws when database or address cannot be had. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { clock = systemClock, random = Math.random, logger } = options;
  let config = options.load();
  let loadedWallMs = clock.wallMs();
  let reloadError: string | null = null;
  let draining = false;

  const simulator =
    options.simulate === true || config.simulate
      ? await startSimulator({ clock, random, scenario: options.scenario ?? makeScenario() })
      : null;
  const onError = (error: unknown) => logger.error('the database failed', { err: error });
  const store = openStore({
    path: config.storage.path,
    clock,
    eventsMs: eventsKeptMs(config),
    onError,
  });
  const { ledger, learning, timeline } = store;
  const calibration = new Calibration(learning.readCalibration());
  const aliases = new Map(learning.readAliases());

  let settings = settingsOf(config);
  function settingsOf(loaded: LoadedConfig): Settings {
    const made = settingsFrom(loaded, () => clock.wallMs());
    if (simulator === null) return made;
    return { ...made, upstreamBaseUrl: simulator.url, upstreamApiKey: 'simulated' };
  }

  function resolveModel(requestedModel: string): string {
    const configured = settings.resolveAlias(requestedModel);
    return configured === requestedModel ? (aliases.get(requestedModel) ?? configured) : configured;
  }

  function rulesOf(project: string, requestedModel: string): QuotaRules {
    return settings.rules(project, resolveModel(requestedModel));
  }

  const upstream = createUpstream();
  const scheduler = new Scheduler({
    ledger,
    clock,
    nowMs: () => timeline.nowMs(),
    rulesOf,
    bounds: () => settings.queue,
    othersLive: () => store.othersLive(),
    foreignChange: () => store.foreignChange(),
    onLongWait: (state) => journal.longWait(state),
    onError,
  });

  const metrics = createMetrics({
    version: VERSION,
    snapshot: () =>
      reading(ledger, () =>
        operator.partitions().map(({ partition, rules, waiting }) => ({
          partition,
          state: ledger.windows(rules, timeline.nowMs()),
          waiting,
        })),
      ),
  });

  for (const { project, model } of learning.answeredModels()) metrics.learnModel(project, model);
  const journal = createJournal({ logger, timeline });
  const events: ExchangeEvents = {
    ...journal,
    record(record) {
      metrics.recordExchange(record);
      operator.note(record);
      journal.record(record);
      const row = usageRowOf(record, timeline.nowMs() + timeline.upstreamOffsetMs);
      if (row !== null) scheduler.note(() => learning.addUsage(row));
    },
  };

  /** Two names of one model: what was counted apart is counted together. */
  function merge(alias: string, model: string): void {
    for (const partition of ledger.partitions()) {
      if (partition.model === alias) ledger.mergePartitions(partition, { ...partition, model });
    }
  }

  function learnAlias(alias: string, model: string): void {
    if (aliases.get(alias) === model || aliases.size >= ALIASES_MAX) return;
    // Configured names are never renamed, and two names must not stand for each other.
    if (settings.resolveAlias(alias) !== alias || resolveModel(model) === alias) return;
    aliases.set(alias, model);
    scheduler.note(() => {
      learning.writeAlias(alias, model, timeline.nowMs());
      merge(alias, model);
    });
    events.aliased(alias, model);
    scheduler.rematch();
  }

  let dateReadMs = -Infinity;
  const exchange = new Exchange({
    clock,
    timeline,
    ledger,
    scheduler,
    upstream,
    settings: () => settings,
    calibration,
    resolveModel,
    rulesOf,
    learnAlias,
    observeDate(observed) {
      if (observed.receivedAtMs - dateReadMs < DATE_READ_MS) return;
      dateReadMs = observed.receivedAtMs;
      scheduler.note(() => store.observeDate(observed));
    },
    events,
  });

  const operator = createOperator({
    clock,
    store,
    scheduler,
    config: () => config,
    configView: () => ({
      file: config.file,
      profile: config.profile,
      hash: config.hash,
      loaded_at: new Date(loadedWallMs).toISOString(),
      reload_error: reloadError,
    }),
    rulesOf,
    running: () => exchange.running,
    reload,
    unreadyReason: () => (draining ? 'headgate is stopping' : null),
    version: VERSION,
    listenUrl: () => server.url,
    upstream: () => ({ base_url: settings.upstreamBaseUrl, simulated: simulator !== null }),
  });

  /** Takes over a changed configuration without dropping a waiting or running call. */
  function reload(): ReloadView {
    let next: LoadedConfig;
    try {
      next = options.load();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      reloadError = message;
      metrics.recordReload('failed');
      logger.error(`reload failed, the former configuration stays in force: ${message}`);
      throw error;
    }
    reloadError = null;
    const restartNeeded = restartKeys(config, next);
    if (isSameConfig(config, next)) {
      metrics.recordReload('unchanged');
      return { result: 'unchanged', file: config.file, hash: config.hash, restart_needed: [] };
    }
    config = next;
    loadedWallMs = clock.wallMs();
    settings = settingsOf(next);
    logger.setLevel(levelOf(next));
    mergeConfigured();
    scheduler.rematch();
    metrics.recordReload('applied');
    logger.info(`configuration ${next.hash} in force`, { file: next.file, restartNeeded });
    watcher.close();
    watcher = watch();
    return { result: 'applied', file: next.file, hash: next.hash, restart_needed: restartNeeded };
  }

  function mergeConfigured(): void {
    const { aliases: configured } = config.rateLimits;
    if (configured.size === 0) return;
    scheduler.note(() => {
      for (const alias of configured.keys()) merge(alias, settings.resolveAlias(alias));
    });
  }

  function watch() {
    return watchFiles(config.watchedFiles, clock, () => {
      try {
        reload();
      } catch {
        // Logged, counted and shown by status: the former configuration stays.
      }
    });
  }

  const id = randomBytes(5).toString('hex');
  let requests = 0;
  const server = await createServer({
    listen: config.listen,
    clock,
    control: operator,
    metrics,
    version: VERSION,
    exchange,
    guard: () => ({
      listenHost: config.listen.host,
      allowedHosts: config.admin.allowedHosts,
      allowedOrigins: config.admin.allowedOrigins,
      token: config.admin.token,
    }),
    newRequestId: () => {
      requests += 1;
      return `${id}-${requests.toString(36).padStart(6, '0')}`;
    },
    onRefusal: ({ requestId, method, path, error }) => {
      metrics.recordRefusal(error.reason);
      const line = `refused ${method} ${path} ${error.reason}: ${error.message}`;
      if (error.reason === 'INTERNAL') logger.error(line, { requestId, err: error });
      else logger.info(line, { requestId });
    },
    onFault: (error) => logger.error(error.message, { err: error }),
  }).catch((error: unknown) => {
    store.close();
    void simulator?.close();
    throw error;
  });
  mergeConfigured();
  let watcher = watch();

  let timers: Timer[] = [];
  function every(intervalMs: number, work: () => void): void {
    const repeat = (slot: number) => {
      timers[slot] = clock.after(intervalMs, () => {
        work();
        repeat(slot);
      });
    };
    repeat(timers.length);
  }
  every(LEARNED_WRITE_MS, () => {
    const changed = calibration.takeChanged();
    if (changed.length > 0) scheduler.note(() => learning.writeCalibration(changed));
  });
  every(ROLLUP_PRUNE_MS, () => {
    const before = dateIn(GOOGLE_QUOTA_ZONE, clock.wallMs() - config.retention.rollupsMs);
    scheduler.note(() => learning.pruneUsage(before));
  });

  async function stop(): Promise<void> {
    if (draining) return;
    draining = true;
    watcher.close();
    const error = new ProxyError('DRAINING', 'headgate is stopping. Please retry in 5s.', {
      retryAfterMs: 5_000,
    });
    scheduler.stop(error);
    const deadlineMs = clock.monotonicMs() + config.queue.drainMs;
    while (exchange.running > 0 && clock.monotonicMs() < deadlineMs) {
      await new Promise<void>((resolve) => {
        clock.after(DRAIN_LOOK_MS, resolve);
      });
    }
    exchange.cutAll();
    await server.close();
    exchange.close();
    for (const timer of timers) timer.cancel();
    timers = [];
    const changed = calibration.takeChanged();
    if (changed.length > 0) scheduler.note(() => learning.writeCalibration(changed));
    scheduler.flush();
    store.close();
    await upstream.close();
    await simulator?.close();
  }

  return { url: server.url, config: () => config, simulator, reload, stop };
}

/** Units are kept as long as any window needs them. */
function eventsKeptMs(config: LoadedConfig): number {
  const tables = [
    ...config.rateLimits.tables,
    ...[...config.projects.values()].map(({ table }) => table),
  ];
  const spans = tables
    .flatMap((table) => [...table.values()])
    .flatMap((row) => row.windows?.value ?? [])
    .map((free) => spanMs(free.window) + 7_200_000);
  return Math.max(config.retention.eventsMs, ...spans);
}

/** Keys whose change takes effect only at the next start. */
function restartKeys(from: LoadedConfig, to: LoadedConfig): string[] {
  const keys: string[] = [];
  if (from.listen.host !== to.listen.host || from.listen.port !== to.listen.port) {
    keys.push('listen');
  }
  if (from.storage.path !== to.storage.path) keys.push('storage.path');
  if (from.simulate !== to.simulate) keys.push('simulate');
  return keys;
}

function levelOf({ log }: LoadedConfig) {
  if (log.level === 'trace') return 'debug';
  return log.level === 'fatal' ? 'error' : log.level;
}
