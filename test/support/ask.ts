import { once } from 'node:events';
import { type IncomingMessage, request as httpRequest } from 'node:http';

import { bodyOf } from './loopback.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  readonly json: Record<string, unknown>;
}

/** One request, written as `METHOD /path`, and its whole answer. A body that is no text goes as JSON. */
export async function ask(
  port: number,
  line: string,
  options: { readonly body?: unknown; readonly headers?: Record<string, string> } = {},
): Promise<Answer> {
  const [method, path] = line.split(' ') as [string, string];
  const json = options.body === undefined ? {} : { 'content-type': 'application/json' };
  const headers = { ...json, ...options.headers };
  const request = httpRequest({ host: '127.0.0.1', port, method, path, headers });
  const { body } = options;
  request.end(typeof body === 'string' || body === undefined ? body : JSON.stringify(body));
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const text = (await bodyOf(response)).toString();
  const isJson = response.headers['content-type']?.includes('json') === true && text !== '';
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    text,
    json: isJson ? (JSON.parse(text) as Record<string, unknown>) : {},
  };
}
