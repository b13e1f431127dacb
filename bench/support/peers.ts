/**
 * The servers that headgate is compared with, and the upstream behind all of them:
 * `node peers.ts NAME PORT [UPSTREAM]`.
 */
import { createServer } from 'node:http';
import httpProxy from '@fastify/http-proxy';
import fastify from 'fastify';
import { Pool } from 'undici';

const [name = '', port = '', upstream = ''] = process.argv.slice(2);
const listen = { host: '127.0.0.1', port: Number(port) };

const peers: Readonly<Record<string, () => unknown>> = {
  /** Answers every call at once with the same small answer. */
  upstream() {
    const answer = Buffer.from(
      JSON.stringify({
        candidates: [
          {
            content: { role: 'model', parts: [{ text: 'Because of Rayleigh. '.repeat(50) }] },
            finishReason: 'STOP',
            index: 0,
          },
        ],
        usageMetadata: { promptTokenCount: 250, candidatesTokenCount: 250, totalTokenCount: 500 },
        modelVersion: 'gemini-2.5-flash',
      }),
    );
    const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      request.resume().on('end', () => {
        response.writeHead(200, {
          'content-type': 'application/json',
          'content-length': answer.length,
        });
        response.end(answer);
      });
    });
    return server.listen(listen);
  },

  /** The least that a relay in Node can do with the libraries that headgate uses. */
  'bare-relay'() {
    const pool = new Pool(upstream);
    const app = fastify();
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', (_request, _payload, done) => {
      done(null);
    });
    app.all('/*', async (request, reply) => {
      const { host: _host, connection: _connection, ...headers } = request.headers;
      const hasBody = request.method !== 'GET' && request.method !== 'HEAD';
      const answer = await pool.request({
        method: request.method,
        path: request.url,
        headers,
        body: hasBody ? request.raw : null,
      });
      reply.code(answer.statusCode).headers(answer.headers);
      return reply.send(answer.body);
    });
    return app.listen(listen);
  },

  'fastify-http-proxy'() {
    const app = fastify();
    app.register(httpProxy, { upstream });
    return app.listen(listen);
  },
};

const start = peers[name];
if (start === undefined) throw new Error(`No peer named ${name}.`);
await start();
