import { type LevelWithSilent, pino } from 'pino';

import type { Clock } from './clock.ts';
import type { ExchangeRecord } from './exchange/call.ts';
import { withoutSecrets } from './gemini/secret-shapes.ts';

export type LogLevel = Exclude<LevelWithSilent, 'trace' | 'fatal'>;

/** Facts beside a message. An error goes under `err`; nested objects show in JSON only. */
export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** Whether a line of this level is written at all; spares making it. */
  isEnabled(level: LogLevel): boolean;
  /** From now on; a reload may change it. */
  setLevel(level: LogLevel): void;
}

export interface LoggerOptions {
  readonly level: LogLevel;
  /** `json` is one object a line; `pretty` one line for people, coloured on a terminal. */
  readonly format: 'json' | 'pretty';
  readonly destination: { write(text: string): unknown; readonly isTTY?: boolean };
  /** Every secret known now (keys, the admin token). Asked at every line, since a reload adds some. */
  readonly secrets: () => readonly string[];
  readonly clock: Clock;
  /** Where NO_COLOR is looked up. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** The adapter of pino. Nothing secret leaves it, even where a caller did not think of it. */
export function createLogger(options: LoggerOptions): Logger {
  const { clock, destination, env = process.env } = options;
  const hasColor = destination.isTTY === true && (env['NO_COLOR'] ?? '') === '';
  const redact = createRedactor(options.secrets);
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: () => `,"time":"${new Date(clock.wallMs()).toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_PATHS, censor: REDACTED },
    },
    {
      write(line: string) {
        const clean = redact(line);
        destination.write(options.format === 'json' ? clean : prettyLine(clean, hasColor));
      },
    },
  );
  return {
    debug: (message, fields = NONE) => logger.debug(fields, message),
    info: (message, fields = NONE) => logger.info(fields, message),
    warn: (message, fields = NONE) => logger.warn(fields, message),
    error: (message, fields = NONE) => logger.error(fields, message),
    isEnabled: (level) => logger.isLevelEnabled(level),
    setLevel(level) {
      logger.level = level;
    },
  };
}

/** One line per exchange: what became of it, how long it waited and for what. */
export function exchangeLine(record: ExchangeRecord): {
  readonly level: 'debug' | 'info' | 'warn';
  readonly msg: string;
  readonly fields: LogFields;
} {
  const { outcome, usage } = record;
  const parts = [outcome, oneWord(record.model), record.method, oneWord(record.agent)];
  if (record.status > 0) parts.push(String(record.status));
  if (record.reason !== null) parts.push(record.reason);
  if (record.queuedMs >= WAIT_SHOWN_MS) {
    parts.push(`waited ${duration(record.queuedMs)}`);
    if (record.waitReason !== null) parts.push(`(${record.waitReason})`);
  }
  if (record.attempt > 1) parts.push(`try ${record.attempt}`);
  if (record.resends > 0) parts.push(`resent ${record.resends}`);
  if (record.upstreamMs > 0) parts.push(`upstream ${duration(record.upstreamMs)}`);
  if (usage !== null) parts.push(`tokens ${thousands(usage.inputTokens)}`);
  if (record.estimatedTokens > 0) parts.push(`est ${thousands(record.estimatedTokens)}`);
  if (usage !== null) parts.push(`out ${thousands(usage.outputTokens)}`);
  const isTrouble = outcome === 'failed' || outcome === 'upstream_rejected';
  return {
    level: isTrouble ? 'warn' : record.method === 'pass' ? 'debug' : 'info',
    msg: parts.filter((part) => part !== '').join(' '),
    fields: { exchange: exchangeFields(record) },
  };
}

const NONE: LogFields = {};
const REDACTED = '[redacted]';

/** A wait shorter than this is the time it takes to pass through the queue. */
const WAIT_SHOWN_MS = 5;

/** Fields whose names say that the value is secret, at the top and one level down. */
const SECRET_PATHS = [
  'key',
  'apiKey',
  'api_key',
  'token',
  'authorization',
  'cookie',
  '["x-goog-api-key"]',
  '["x-headgate-token"]',
].flatMap((name) => [name, name.startsWith('[') ? `*${name}` : `*.${name}`]);

/** Shorter "secrets" would black out ordinary words. */
const SECRET_LENGTH_MIN = 4;

function createRedactor(secrets: () => readonly string[]): (line: string) => string {
  return (line) => {
    let clean = line;
    for (const secret of secrets()) {
      // The line is JSON, in which a quote or backslash of the secret is escaped.
      const escaped = JSON.stringify(secret).slice(1, -1);
      if (secret.length >= SECRET_LENGTH_MIN) clean = clean.replaceAll(escaped, REDACTED);
    }
    // Clients bring keys of their own, which no list of known secrets holds.
    return withoutSecrets(clean);
  };
}

const COLORS: Readonly<Record<string, number>> = { debug: 90, info: 32, warn: 33, error: 31 };

function prettyLine(json: string, hasColor: boolean): string {
  const { level, time, msg, err, ...fields } = JSON.parse(json) as {
    level: string;
    time: string;
    msg: string;
    err?: { message?: string; stack?: string };
    [field: string]: unknown;
  };
  const clock = new Date(time).toTimeString().slice(0, 8);
  const label = level.padEnd(5);
  const shown = hasColor ? `\u001b[${COLORS[level] ?? 0}m${label}\u001b[0m` : label;
  const extras = Object.entries(fields)
    .filter(([, value]) => value === null || typeof value !== 'object')
    .map(([name, value]) => ` ${name}=${oneWord(String(value))}`);
  const trouble = err === undefined ? '' : `\n${err.stack ?? err.message ?? ''}`;
  return `${clock} ${shown} ${printable(msg)}${extras.join('')}${trouble}\n`;
}

function exchangeFields(record: ExchangeRecord): LogFields {
  const { usage } = record;
  return {
    request_id: record.requestId,
    project: record.project,
    model: record.model,
    requested_model: record.requestedModel,
    method: record.method,
    agent: record.agent,
    outcome: record.outcome,
    reason: record.reason,
    status: record.status,
    queued_ms: Math.round(record.queuedMs),
    wait_reason: record.waitReason,
    upstream_first_byte_ms:
      record.upstreamFirstByteMs === null ? null : Math.round(record.upstreamFirstByteMs),
    upstream_ms: Math.round(record.upstreamMs),
    duration_ms: Math.round(record.durationMs),
    overhead_ms: Math.round(record.overheadMs * 1000) / 1000,
    estimated_tokens: record.estimatedTokens,
    input_tokens: usage?.inputTokens ?? null,
    output_tokens: usage?.outputTokens ?? null,
    thought_tokens: usage?.thoughtTokens ?? null,
    cached_tokens: usage?.cachedTokens ?? null,
    usd: record.usdMicros / 1_000_000,
    attempt: record.attempt,
    resends: record.resends,
    rejections: record.rejections,
    request_bytes: record.requestBytes,
    response_bytes: record.responseBytes,
  };
}

/** Milliseconds as people say them. */
function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

function thousands(count: number): string {
  return count.toLocaleString('en-US');
}

/** Names come from callers; they may not look like a further line or further fields. */
function oneWord(text: string): string {
  return printable(text).slice(0, 100).replaceAll(' ', '_');
}

function printable(text: string): string {
  // oxlint-disable-next-line eslint/no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}
