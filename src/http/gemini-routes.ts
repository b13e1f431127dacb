import type { IncomingMessage, ServerResponse } from 'node:http';

import type { Clock } from '../clock.ts';
import { ProxyError } from '../errors.ts';
import type { InboundCall, ReplySink } from '../exchange/call.ts';
import { redactUrl } from '../gemini/auth.ts';
import type { BodyFacts } from '../gemini/body-scan.ts';
import { googleErrorBody, googleErrorHeaders } from '../gemini/error-body.ts';
import { headerValue } from '../gemini/headers.ts';
import { ownUrlOf } from '../gemini/own-url.ts';
import { classify, type Endpoint, NAME_PATTERN, stripPrefixes } from '../gemini/route.ts';
import { withPass } from './address-pass.ts';
import { admitGemini, checkSource, type GuardSettings } from './guard.ts';
import { HeldBytes } from './held-bytes.ts';
import { asProxyError } from './problem.ts';
import { createReplySink } from './reply-sink.ts';
import { bodyStream, checkAnnounced, readBody } from './request-body.ts';
import { TurnBudget } from './turn-budget.ts';

/** A call whose body is not held here. */
export type PassedCall = Omit<InboundCall, 'body' | 'bodyBytes'>;

/** Where calls go from the HTTP edge. Both answer through the sink. */
export interface ExchangeEntry {
  /** A counted call, its body read and scanned. */
  take(call: InboundCall, facts: BodyFacts, endpoint: Endpoint, sink: ReplySink): void;
  /** Anything else; the body is streamed through without limit, null without one. */
  pass(call: PassedCall, stream: NodeJS.ReadableStream | null, sink: ReplySink): void;
}

/** A call that was refused before it became an exchange. */
export interface EdgeRefusal {
  readonly requestId: string;
  readonly method: string;
  /** Without secrets, cut to 300 characters. */
  readonly path: string;
  readonly error: ProxyError;
}

export interface GeminiRelayOptions {
  readonly clock: Clock;
  readonly exchange: ExchangeEntry;
  readonly guard: () => GuardSettings;
  readonly newRequestId: () => string;
  /** Largest body of a counted call, in bytes. */
  readonly bodyBytesMax: number;
  /** Most bytes of all bodies of counted calls together. */
  readonly heldBytesMax: () => number;
  readonly onRefusal: (refusal: EdgeRefusal) => void;
}

/** How long the rest of a refused body is read and dropped, so that its sender gets to the answer. */
const LINGER_MS = 2_000;

/** Longest path that is told in a refusal; the log is not the place for 60 KiB of it. */
export const PATH_SHOWN_MAX = 300;

/** Everything a request needs to be answered, before it is known what it is. */
interface Arrival {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId: string;
  readonly receivedAtMs: number;
  /** False while the client waits to be told to go on (RFC 9110 section 10.1.1). */
  isBodyComing: boolean;
}

/**
 * The one way in for all Gemini paths. It works on the raw request target: no router, whose ideas of
 * escapes, doubled slashes and length are not Google's, and no content-type parser.
 */
export function createGeminiRelay(
  options: GeminiRelayOptions,
): (request: IncomingMessage, response: ServerResponse) => void {
  const { clock, exchange } = options;
  const budget = new TurnBudget(clock);
  const heldBytes = new HeldBytes(options.heldBytesMax);

  return (request, response) => {
    const receivedAtMs = clock.monotonicMs();
    const arrival: Arrival = {
      request,
      response,
      requestId: options.newRequestId(),
      receivedAtMs,
      isBodyComing: !isExpectant(request),
    };
    let endpoint: Endpoint | null = null;
    try {
      checkSource({ method: request.method ?? '', headers: request.headers }, options.guard());
      const call = readHead(arrival, options.guard());
      endpoint = classify(call.method, call.path);
      if (endpoint.method === 'live') throw noHandshake();
      if (endpoint.counted) checkAnnounced(request, options.bodyBytesMax);
      if (!arrival.isBodyComing) askForBody(arrival);
      if (endpoint.counted) take(call, endpoint, arrival);
      else exchange.pass(call, bodyStream(request), createReplySink(response));
    } catch (error) {
      refuse(asProxyError(error), endpoint, arrival);
    }
  };

  function take(call: PassedCall, endpoint: Endpoint, arrival: Arrival): void {
    const held = heldBytes.open();
    const { response, request } = arrival;
    const release = (): void => {
      request.socket.off('close', release);
      held.close();
    };
    // Not of the request: that closes as soon as its body has been read. And of the connection too,
    // since a response that waits behind another on it never closes once the client has left.
    response.once('close', release);
    request.socket.once('close', release);
    readBody(request, {
      clock,
      budget,
      held,
      bodyBytesMax: options.bodyBytesMax,
      done(body, bodyBytes, facts) {
        const whole = { ...call, body, bodyBytes };
        try {
          exchange.take(whole, facts, endpoint, createReplySink(response));
        } catch (error) {
          refuse(asProxyError(error), endpoint, arrival);
        }
      },
      failed: (error) => refuse(error, endpoint, arrival),
    });
  }

  function refuse(error: ProxyError, endpoint: Endpoint | null, arrival: Arrival): void {
    const { request, response, requestId } = arrival;
    const { method = '', url = '' } = request;
    options.onRefusal({ requestId, method, path: redactUrl(url).slice(0, PATH_SHOWN_MAX), error });
    if (response.destroyed || response.headersSent) return;
    const body = googleErrorBody(error, {
      surface: surfaceOf(endpoint, url),
      array: endpoint?.streams === 'array',
    });
    const headers = ['x-headgate-request-id', requestId, 'content-length', String(body.length)];
    response.writeHead(error.httpStatus, [...googleErrorHeaders(error), ...headers]);
    response.write(body);
    // Who asked first and was not told to go on sends no body.
    if (request.complete || !arrival.isBodyComing) return void response.end();
    // Closing with bytes unread would reset the connection before the client has read why, and ending
    // the answer closes where the client asked for that, as Python's urllib does.
    const timer = clock.after(LINGER_MS, () => request.destroy());
    request.on('error', () => undefined).once('close', () => timer.cancel());
    request.once('end', () => response.end()).resume();
  }
}

/** The call as far as its request line and headers tell. Throws UNAUTHORIZED or BAD_REQUEST. */
export function readHead(
  { request, requestId, receivedAtMs }: Pick<Arrival, 'request' | 'requestId' | 'receivedAtMs'>,
  guard: GuardSettings,
): PassedCall {
  const { method = 'GET', url = '/', rawHeaders } = request;
  const { path, agentName, sessionName } = stripPrefixes(url);
  const { token } = guard;
  return {
    requestId,
    method,
    ...admitGemini({ method, path, headers: rawHeaders }, guard),
    ownUrl: ownUrlOf({
      host: request.headers.host ?? null,
      isEncrypted: Reflect.get(request.socket, 'encrypted') === true,
      rawUrl: url,
      path,
    }),
    handOut: token === null ? null : (address) => withPass(address, token),
    agentName: nameIn(rawHeaders, 'x-headgate-agent') ?? agentName,
    sessionName: nameIn(rawHeaders, 'x-headgate-session') ?? sessionName,
    receivedAtMs,
  };
}

/** The name in a header of ours; null without one. Throws BAD_REQUEST where it cannot be one. */
export function nameIn(headers: readonly string[], header: string): string | null {
  const name = headerValue(headers, header)?.trim() ?? null;
  if (name === null || (NAME_PATTERN.test(name) && name !== '.' && name !== '..')) return name;
  throw new ProxyError(
    'BAD_REQUEST',
    `${header} is "${name.slice(0, 100)}"; use 1 to 64 letters, digits, or any of . _ : @ -`,
    { where: header },
  );
}

function askForBody(arrival: Arrival): void {
  arrival.response.writeContinue();
  arrival.isBodyComing = true;
}

function isExpectant(request: IncomingMessage): boolean {
  return request.headers.expect?.toLowerCase() === '100-continue';
}

/** A Live path that is asked for as plain HTTP. */
function noHandshake(): ProxyError {
  return new ProxyError(
    'NOT_SUPPORTED',
    'Live sessions are WebSockets; connect to this path with ws://, or wss:// where tls is configured.',
    { where: 'upgrade' },
  );
}

/** The dialect of the error JSON, also where the call could not be classified. */
function surfaceOf(endpoint: Endpoint | null, url: string): 'gemini' | 'openai' | 'interactions' {
  if (endpoint !== null && endpoint.surface !== 'pass') return endpoint.surface;
  if (/\/openai\//.test(url)) return 'openai';
  return /\/interactions(?:[/?]|$)/.test(url) ? 'interactions' : 'gemini';
}
