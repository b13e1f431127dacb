import { ProxyError } from '../errors.ts';
import { googleErrorBody, googleErrorHeaders } from '../gemini/error-body.ts';
import type { ReplySink } from './call.ts';

/** Answers with an error of ours in Google's shape, its headers extended by `extra` (flat). */
export function replyWithError(
  sink: ReplySink,
  error: ProxyError,
  options: {
    readonly surface: 'gemini' | 'openai' | 'interactions';
    /** The client expects a JSON array. */
    readonly array: boolean;
    readonly extra: readonly string[];
  },
): void {
  const body = googleErrorBody(error, options);
  sink.head(error.httpStatus, [
    ...googleErrorHeaders(error),
    'content-length',
    String(body.length),
    ...options.extra,
  ]);
  sink.write(body);
  sink.end();
}

/** Anything thrown, as an error that can be answered with; what is not ours stays its cause. */
export function asProxyError(error: unknown): ProxyError {
  if (error instanceof ProxyError) return error;
  return new ProxyError('INTERNAL', 'headgate failed on this call; its log says more.', {
    cause: error,
  });
}

/** An upstream that closed or failed before it answered. */
export function unreachable(error: Error): ProxyError {
  if (error instanceof ProxyError) return error;
  return new ProxyError('UPSTREAM_UNREACHABLE', 'the upstream closed without an answer.', {
    cause: error,
  });
}
