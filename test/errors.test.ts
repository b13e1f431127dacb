import { readFileSync } from 'node:fs';
import t from 'tap';
import type { ErrorReason } from '../src/errors.ts';
import { ERROR_CATALOGUE, ProxyError } from '../src/errors.ts';

const ROW = /^\| `([A-Z_]+)` \| (\d{3}) \| ([A-Z_]+) \| (.+?) \| (.+?) \|$/gm;

const page = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8');
const documented = [...page.matchAll(ROW)].map(([, reason, http, rpc]) => ({
  reason,
  http: Number(http),
  rpc,
}));

t.test('docs/errors.md tells every reason, its statuses, and nothing else', async (t) => {
  const catalogue = Object.entries(ERROR_CATALOGUE).map(([reason, status]) => ({
    reason,
    ...status,
  }));
  t.strictSame(documented, catalogue);
});

t.test('every reason is upper snake case, since programs compare it', async (t) => {
  for (const reason of Object.keys(ERROR_CATALOGUE)) t.match(reason, /^[A-Z]+(_[A-Z]+)*$/);
});

t.test('an error knows its statuses, and keeps what caused it', async (t) => {
  for (const reason of Object.keys(ERROR_CATALOGUE) as ErrorReason[]) {
    const cause = new Error('below');
    const error = new ProxyError(reason, 'A sentence.', { cause, retryAfterMs: 5 });
    t.equal(error.httpStatus, ERROR_CATALOGUE[reason].http);
    t.equal(error.rpcStatus, ERROR_CATALOGUE[reason].rpc);
    t.equal(error.cause, cause);
    t.equal(error.retryAfterMs, 5);
  }
  const bare = new ProxyError('NOT_FOUND', 'A sentence.');
  t.strictSame([bare.retryAfterMs, bare.where, bare.quota], [null, null, null]);
  t.notOk('cause' in bare, 'no cause is no property');
});
