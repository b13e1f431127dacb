import type { LoadedConfig } from '../config/loaded.ts';
import type { Problem } from '../config/problems.ts';
import type { StatusView } from '../http/views.ts';
import type { CommandFailure } from './context.ts';
import type { DaemonAddress } from './daemon-client.ts';

/** What all checks need to know. */
export interface Patient {
  /** Null when it has mistakes. */
  readonly config: LoadedConfig | null;
  readonly problems: readonly Problem[];
  readonly address: DaemonAddress;
  /** Null when no headgate answers there, or not without a token. */
  readonly status: StatusView | null;
  /** Why not; null when it does. */
  readonly trouble: CommandFailure | null;
}

/** What a check has found. */
export interface Finding {
  /** One word or two. */
  readonly check: string;
  readonly level: 'ok' | 'warn' | 'fail';
  readonly message: string;
  /** What to do, as a sentence; null where the message says it all. */
  readonly hint: string | null;
}

/** A check that has found nothing to do. */
export function ok(check: string, message: string): Finding {
  return { check, level: 'ok', message, hint: null };
}

/** A check that has found something which may be meant. */
export function warn(check: string, message: string, hint: string | null): Finding {
  return { check, level: 'warn', message, hint };
}

/** A check that has found what keeps headgate from working. */
export function fail(check: string, message: string, hint: string | null): Finding {
  return { check, level: 'fail', message, hint };
}
