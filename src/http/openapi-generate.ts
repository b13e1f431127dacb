import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import Fastify from 'fastify';

import { systemClock } from '../clock.ts';
import type { Control } from './control.ts';
import type { PageControl } from './page-control.ts';
import { registerOwnRoutes } from './server.ts';
import type { SessionControl } from './session-control.ts';

const PACKAGE = new URL('../../', import.meta.url);
const PATH = 'docs/openapi.json';

/** The checked-in copy of the OpenAPI document by its path from the package's root. */
export async function generatedDocument(): Promise<{ path: string; content: string }> {
  const app = Fastify();
  const document = registerOwnRoutes(app, {
    // The routes are described, never called.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    control: {} as Control,
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    sessions: {} as SessionControl,
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    page: {} as PageControl,
    clock: systemClock,
    metrics: { render: async () => '', contentType: 'text/plain' },
    version: versionOf(readFileSync(new URL('package.json', PACKAGE), 'utf8')),
    guard: () => ({ listenHost: '127.0.0.1', allowedHosts: [], allowedOrigins: [], token: null }),
    newRequestId: () => '',
    onFault: () => undefined,
  });
  await app.close();
  return { path: PATH, content: `${JSON.stringify(document(), null, 2)}\n` };
}

function versionOf(manifest: string): string {
  const known: unknown = JSON.parse(manifest);
  const isNamed = typeof known === 'object' && known !== null && 'version' in known;
  return isNamed ? String(known.version) : '0.0.0';
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { path, content } = await generatedDocument();
  writeFileSync(new URL(path, PACKAGE), content);
}
