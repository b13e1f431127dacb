import type { Clock } from '../clock.ts';
import { isSameConfig } from '../config/load.ts';
import type { LoadedConfig } from '../config/loaded.ts';
import { settingsFrom } from '../config/settings.ts';
import { watchFiles } from '../config/watch.ts';
import type { Settings } from '../exchange/settings.ts';
import type { ConfigView, ReloadView } from '../http/views.ts';
import type { Logger } from '../log.ts';
import { spanMs } from '../quota/window.ts';
import { changesText } from './config-changes.ts';

export interface ConfigurationOptions {
  /** Reads the configuration, at start and at every reload. Throws ConfigError. */
  readonly load: () => LoadedConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What a reload came to, for the metrics. */
  readonly onReload: (result: ReloadView['result'] | 'failed') => void;
}

/** A window's nominal length may be short of the real one by an hour, and has its guard. */
const SPAN_SLACK_MS = 7_200_000;

/** The configuration in force, and how another one takes its place. */
export class Configuration {
  readonly #options: ConfigurationOptions;
  #current: LoadedConfig;
  #settings: Settings;
  #loadedWallMs: number;
  #reloadError: string | null = null;
  #watcher: { close(): void } | null = null;
  #override: Partial<Settings> = {};
  #applied: () => void = () => undefined;

  /** Throws ConfigError when there is none to begin with. */
  constructor(options: ConfigurationOptions) {
    this.#options = options;
    this.#current = options.load();
    this.#loadedWallMs = options.clock.wallMs();
    this.#settings = this.#settingsOf(this.#current);
  }

  get current(): LoadedConfig {
    return this.#current;
  }

  get settings(): Settings {
    return this.#settings;
  }

  get view(): ConfigView {
    const { file, profile, hash } = this.#current;
    const loadedAt = new Date(this.#loadedWallMs).toISOString();
    return { file, profile, hash, loaded_at: loadedAt, reload_error: this.#reloadError };
  }

  /** How long units must be kept, so that every window finds its own; ms. */
  get eventsMs(): number {
    const { rateLimits, projects, retention } = this.#current;
    const tables = [...rateLimits.tables, ...[...projects.values()].map(({ table }) => table)];
    const spans = tables
      .flatMap((table) => [...table.values()])
      .flatMap((row) => row.windows?.value ?? [])
      .map((free) => spanMs(free.window) + SPAN_SLACK_MS);
    return Math.max(retention.eventsMs, ...spans);
  }

  /** Settings that hold whatever the file says: the simulated upstream. */
  override(settings: Partial<Settings>): void {
    this.#override = settings;
    this.#settings = this.#settingsOf(this.#current);
  }

  /** Reloads when one of its files changes; `applied` is called after each change that is taken. */
  watch(applied: () => void): void {
    this.#applied = applied;
    this.#watchFiles();
  }

  close(): void {
    this.#watcher?.close();
  }

  /**
   * Reads the configuration again. A good one is in force at once; a bad one throws ConfigError and
   * leaves the former in force.
   */
  reload(): ReloadView {
    const { clock, load, logger, onReload } = this.#options;
    const former = this.#current;
    let next: LoadedConfig;
    try {
      next = load();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#reloadError = message;
      onReload('failed');
      logger.error(`reload failed, the former configuration stays in force: ${message}`);
      throw error;
    }
    const wasBroken = this.#reloadError !== null;
    this.#reloadError = null;
    const { file, hash } = next;
    if (isSameConfig(former, next)) {
      if (wasBroken) logger.info(`the file is good again: configuration ${hash} stays in force`);
      onReload('unchanged');
      return { result: 'unchanged', file, hash, restart_needed: [] };
    }
    this.#current = next;
    this.#loadedWallMs = clock.wallMs();
    this.#settings = this.#settingsOf(next);
    logger.setLevel(logLevelOf(next));
    this.#applied();
    onReload('applied');
    const restartNeeded = restartKeys(former, next);
    const changes = changesText(former, next);
    const said = changes === '' ? '' : `: ${changes}`;
    logger.info(`configuration ${hash} in force${said}`, { file, restartNeeded });
    if (this.#watcher !== null) this.#watchFiles();
    return { result: 'applied', file, hash, restart_needed: restartNeeded };
  }

  #settingsOf(config: LoadedConfig): Settings {
    const { clock } = this.#options;
    return { ...settingsFrom(config, () => clock.wallMs()), ...this.#override };
  }

  #watchFiles(): void {
    this.#watcher?.close();
    this.#watcher = watchFiles(this.#current.watchedFiles, this.#options.clock, () => {
      try {
        this.reload();
      } catch {
        // Logged, counted and shown by status: the former configuration stays.
      }
    });
  }
}

/** Keys whose change takes effect only at the next start. */
function restartKeys(from: LoadedConfig, to: LoadedConfig): string[] {
  const keys: string[] = [];
  if (from.listen.host !== to.listen.host || from.listen.port !== to.listen.port) {
    keys.push('listen');
  }
  const isSameTls = from.tls?.cert === to.tls?.cert && from.tls?.key === to.tls?.key;
  if (!isSameTls) keys.push('tls');
  if (from.storage.path !== to.storage.path) keys.push('storage.path');
  if (from.simulate !== to.simulate) keys.push('simulate');
  return keys;
}

function logLevelOf({ log }: LoadedConfig) {
  if (log.level === 'trace') return 'debug';
  return log.level === 'fatal' ? 'error' : log.level;
}
