import { createServer as createNodeServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Duplex } from 'node:stream';

import Fastify, { type FastifyInstance } from 'fastify';

import { ProxyError } from '../errors.ts';
import { isGeminiPath } from '../gemini/route.ts';
import { type AdminRoutesOptions, registerAdminRoutes } from './admin-routes.ts';
import { type DashboardFilesOptions, registerDashboardFiles } from './dashboard-files.ts';
import { createGeminiRelay, type GeminiRelayOptions } from './gemini-routes.ts';
import { isLoopback } from './guard.ts';
import {
  createLiveRoute,
  headOf,
  isLiveHandshake,
  type LiveRoute,
  type LiveEntry,
} from './live-route.ts';
import { registerOpenApi } from './openapi-route.ts';
import type { JsonSchema } from './openapi-shapes.ts';
import { describeMistake, type OwnRoutesOptions, prepareOwnRoutes } from './own-routes.ts';
import type { PageControl } from './page-control.ts';
import { registerPageRoutes } from './page-routes.ts';
import { type ProbeRoutesOptions, registerProbeRoutes } from './probe-routes.ts';
import { PROBLEM_TYPE, problemOf } from './problem.ts';
import { BODY_BYTES_MAX } from './request-body.ts';
import type { SessionControl } from './session-control.ts';
import { registerSessionRoutes } from './session-routes.ts';

export interface HttpServerOptions
  extends
    AdminRoutesOptions,
    DashboardFilesOptions,
    ProbeRoutesOptions,
    OwnRoutesOptions,
    Omit<GeminiRelayOptions, 'bodyBytesMax' | 'heldBytesMax'> {
  /** Port 0 takes a free one. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Certificate chain and key as PEM; with them headgate speaks https and wss. Default: null. */
  readonly tls?: TlsPair | null;
  /** Largest body of a counted call, in bytes. Default 128 MiB. */
  readonly bodyBytesMax?: number;
  /** Where Live sessions go; without it their handshakes are answered as plain HTTP. */
  readonly live?: LiveEntry;
  /** Most bytes of all bodies of counted calls together. Default: no bound. */
  readonly heldBytesMax?: () => number;
  /** What past conversations are asked of; without it their routes are not there. */
  readonly sessions?: SessionControl;
  /** What feeds the page; without it those routes are not there. */
  readonly page?: PageControl;
  /** Further routes of our own; they share the guard and the problem documents. */
  readonly routes?: readonly ((app: FastifyInstance) => void)[];
}

export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

export interface HttpServer {
  /** As a client would call it, such as http://127.0.0.1:4290. */
  readonly url: string;
  readonly port: number;
  /** Takes no more connections and cuts those still open: drain the exchanges first. */
  close(): Promise<void>;
}

/** Bodies of our own routes are small; a route that takes more says so itself. */
const OWN_BODY_BYTES_MAX = 1024 * 1024;
/** Names of models and sessions may be paths; Linux takes no longer one. */
const NAME_CHARS_MAX = 4096;
/** Fastify's own messages quote the path, which may be as long as all headers. */
const MESSAGE_CHARS_MAX = 300;
/** Room for long keys and cookies in front of a gateway; Node's default is 16 KiB. */
const HEADER_BYTES_MAX = 64 * 1024;
/** Longer than the idle time of every known client's pool, so that it is the client who closes. */
const KEEP_ALIVE_MS = 90_000;
/** A client that has not sent its headers by then is not one. */
const HEADERS_MS_MAX = 30_000;

/**
 * Listens, and parts the traffic: Gemini paths go straight to the relay, the rest to our own routes.
 * Throws UNAUTHORIZED for an address beyond loopback without a token, and Node's error (EADDRINUSE,
 * EACCES) when the address cannot be had.
 */
export async function createServer(options: HttpServerOptions): Promise<HttpServer> {
  const { host, port } = options.listen;
  if (options.guard().token === null && !isLoopback(host)) {
    throw new ProxyError(
      'CONFIG_INVALID',
      `Listening on ${host} lets other machines spend the key; set admin.token, or listen on 127.0.0.1.`,
      { where: 'admin.token' },
    );
  }
  const relay = createGeminiRelay({
    bodyBytesMax: BODY_BYTES_MAX,
    heldBytesMax: () => Infinity,
    ...options,
  });
  const { tls = null } = options;
  const live =
    options.live === undefined ? null : createLiveRoute({ ...options, sessions: options.live });
  let traffic: Traffic | null = null;
  const app = createOwnApp((own) => {
    traffic = createTraffic({ relay, own, live, tls });
    return traffic.server;
  });
  registerOwnRoutes(app, options);
  const url = await app.listen({ host, port });
  return {
    // Fastify does not know what the server that it was given speaks.
    url: tls === null ? url : url.replace(/^http:/, 'https:'),
    port: portOf(app.server),
    close: async () => {
      await live?.close();
      traffic?.cut();
      await app.close();
    },
  };
}

type OwnOptions = Omit<HttpServerOptions, 'listen' | 'tls' | 'live' | 'exchange' | 'onRefusal'>;

/** Everything that is not a Gemini path. Returns the maker of their OpenAPI document. */
export function registerOwnRoutes(app: FastifyInstance, options: OwnOptions): () => JsonSchema {
  prepareOwnRoutes(app, options);
  const document = registerOpenApi(app, options.version);
  registerProbeRoutes(app, options);
  registerAdminRoutes(app, options);
  registerDashboardFiles(app, options);
  if (options.page !== undefined) registerPageRoutes(app, { ...options, page: options.page });
  if (options.sessions !== undefined) {
    registerSessionRoutes(app, { ...options, control: options.sessions });
  }
  for (const register of options.routes ?? []) register(app);
  return document;
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

interface Traffic {
  readonly server: Server;
  /** Cuts the connections that `server` has given away. */
  cut(): void;
}

/** What headgate's servers have in common. */
const SERVER_OPTIONS = {
  maxHeaderSize: HEADER_BYTES_MAX,
  keepAliveTimeout: KEEP_ALIVE_MS,
  headersTimeout: HEADERS_MS_MAX,
  // Uploads may take hours, and a call waits in the queue after it has been read.
  requestTimeout: 0,
  noDelay: true,
};

/**
 * The server that listens, and one behind it that does not. An 'upgrade' listener takes over every
 * request that offers an upgrade, such as h2c from Java's client; those that are not Live go to the
 * second one, which has no such listener, and so are answered as plain HTTP (RFC 9110 section 7.8).
 */
function createTraffic({
  relay,
  own,
  live,
  tls,
}: {
  readonly relay: RequestListener;
  readonly own: RequestListener;
  readonly live: LiveRoute | null;
  readonly tls: TlsPair | null;
}): Traffic {
  const listener: RequestListener = (request, response) => {
    if (isGeminiPath(request.url ?? '/')) relay(request, response);
    else own(request, response);
  };
  const plain = createNodeServer(SERVER_OPTIONS, listener);
  // A server that does not listen keeps no list of its connections.
  const given = new Set<Duplex>();
  const server =
    tls === null
      ? createNodeServer(SERVER_OPTIONS, listener)
      : createTlsServer({ ...SERVER_OPTIONS, ...tls }, listener);
  for (const each of [plain, server]) {
    // With a listener, the body of a client that asks first is only called for once the call has
    // passed the checks that need no body.
    each.on('checkContinue', (request, response) => {
      if (isGeminiPath(request.url ?? '/')) return relay(request, response);
      response.writeContinue();
      own(request, response);
    });
  }
  server.on('upgrade', (request, socket, head) => {
    if (live !== null && isLiveHandshake(request)) return live.upgrade(request, socket, head);
    const { method = '', url = '', httpVersion, rawHeaders } = request;
    // Node has read the head and no more: it is put back before what follows it.
    const start = headOf(`${method} ${url} HTTP/${httpVersion}`, rawHeaders);
    socket.unshift(Buffer.concat([Buffer.from(start, 'latin1'), head]));
    given.add(socket);
    socket.once('close', () => given.delete(socket));
    plain.emit('connection', socket);
  });
  return {
    server,
    cut() {
      for (const socket of given) socket.destroy();
    },
  };
}

function createOwnApp(serverOf: (own: RequestListener) => Server): FastifyInstance {
  return Fastify({
    serverFactory: (own) => serverOf(own),
    logger: false,
    trustProxy: false,
    bodyLimit: OWN_BODY_BYTES_MAX,
    forceCloseConnections: true,
    // Model and session names may be long, and a path typed by hand may end with a slash.
    routerOptions: {
      maxParamLength: NAME_CHARS_MAX,
      ignoreTrailingSlash: true,
      ignoreDuplicateSlashes: true,
    },
    // Fastify's defaults turn "5" into 5 and drop unknown fields; here both are mistakes to be told.
    ajv: {
      customOptions: {
        coerceTypes: false,
        removeAdditional: false,
        allErrors: false,
        allowUnionTypes: true,
        // Errors then come with the rule that was broken.
        verbose: true,
      },
    },
    schemaErrorFormatter: (errors, dataVar) => describeMistake(errors, dataVar),
    // A path that does not decode never reaches a route, nor the error handler.
    frameworkErrors(error, _request, { raw }) {
      const message =
        error.code === 'FST_ERR_MAX_PARAM_LENGTH'
          ? `A name in the path is longer than ${NAME_CHARS_MAX} characters; no name is.`
          : `${error.message.slice(0, MESSAGE_CHARS_MAX)}.`;
      const known = new ProxyError('BAD_REQUEST', message, { where: 'path', cause: error });
      raw.writeHead(known.httpStatus, { 'content-type': PROBLEM_TYPE });
      raw.end(JSON.stringify(problemOf(known)));
    },
  });
}
