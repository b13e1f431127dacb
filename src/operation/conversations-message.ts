import { ERROR_CATALOGUE, ProxyError, type ErrorReason } from '../errors.ts';
import type { SessionSettings } from './open-conversations.ts';

/** What the thread of the conversations is started with. */
export interface ThreadData {
  readonly databasePath: string;
  readonly home: string | null;
}

/** One call, to the thread. */
export interface ThreadCall {
  readonly id: number;
  readonly method: ThreadMethod;
  readonly args: readonly unknown[];
  /** In force for this call and until the next one. */
  readonly settings: SessionSettings;
}

export type ThreadMethod =
  | 'list'
  | 'show'
  | 'history'
  | 'plan'
  | 'begin'
  | 'finish'
  | 'abandon'
  | 'record'
  | 'close';

/** Its result, from the thread. */
export type ThreadReply =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly error: SentError };

/** An error without its class, which does not survive the way between threads. */
export interface SentError {
  /** Null for what is no error of ours. */
  readonly reason: string | null;
  readonly message: string;
  readonly where: string | null;
  readonly details: Readonly<Record<string, unknown>> | null;
  readonly stack: string | null;
}

export function sentError(error: unknown): SentError {
  const stack = error instanceof Error ? (error.stack ?? null) : null;
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof ProxyError)) {
    return { reason: null, message, where: null, details: null, stack };
  }
  const { reason, where, details } = error;
  return { reason, message, where, details, stack };
}

export function receivedError(sent: SentError): Error {
  if (sent.reason === null || !isReason(sent.reason)) {
    const error = new Error(sent.message);
    if (sent.stack !== null) error.stack = sent.stack;
    return error;
  }
  return new ProxyError(sent.reason, sent.message, { where: sent.where, details: sent.details });
}

function isReason(text: string): text is ErrorReason {
  return Object.hasOwn(ERROR_CATALOGUE, text);
}
