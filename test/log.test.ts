import t from 'tap';

import { ProxyError } from '../src/errors.ts';
import { createLogger, exchangeLine, type LoggerOptions } from '../src/log.ts';
import { RECORD } from './support/exchange-record.ts';
import { ManualClock } from './support/manual-clock.ts';

function collect(options: Partial<LoggerOptions> & { readonly isTTY?: boolean } = {}) {
  const lines: string[] = [];
  const log = createLogger({
    level: 'info',
    format: 'json',
    destination: { write: (text) => lines.push(text), isTTY: options.isTTY ?? false },
    secrets: () => ['hunter2', 'quo"te\\d', 'ab'],
    clock: new ManualClock(),
    env: {},
    ...options,
  });
  return { log, lines };
}

t.test('one line tells how an exchange went, how long it waited and for what', async (t) => {
  t.equal(
    exchangeLine(RECORD).msg,
    'ok gemini-2.5-flash generateContent agent_a 200 waited 12.3 s (requests per minute) upstream 840 ms tokens 1,204 est 1,180 out 40',
  );
  const refused = exchangeLine({
    ...RECORD,
    outcome: 'refused',
    status: 429,
    reason: 'QUOTA_DAY',
    queuedMs: 125_400,
    waitReason: null,
    upstreamMs: 0,
    usage: null,
    resends: 2,
  });
  t.equal(
    refused.msg,
    'refused gemini-2.5-flash generateContent agent_a 429 QUOTA_DAY waited 2 min 5 s resent 2 est 1,180',
  );
  const levels = [
    exchangeLine(RECORD),
    refused,
    exchangeLine({ ...RECORD, outcome: 'failed' }),
    exchangeLine({ ...RECORD, method: 'pass', model: '', queuedMs: 0, estimatedTokens: 0 }),
  ].map(({ level }) => level);
  t.strictSame(levels, ['info', 'info', 'warn', 'debug']);
  t.match(exchangeLine(RECORD).fields, {
    exchange: { request_id: 'r1', queued_ms: 12_300, input_tokens: 1204, usd: 0.0025 },
  });
  const forged = exchangeLine({ ...RECORD, agent: 'a\nok fake 200', model: 'm'.repeat(500) });
  t.notMatch(forged.msg, /\n| fake/);
  t.ok(forged.msg.length < 300);
});

t.test('JSON lines carry level, time, message and fields', async (t) => {
  const { log, lines } = collect();
  log.debug('not shown');
  log.info('started', { port: 4290 });
  log.setLevel('debug');
  log.debug('shown');
  const error = new ProxyError('INTERNAL', 'Broken.', { cause: new Error('below') });
  log.error('failed', { err: error });
  const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  t.match(parsed, [
    { level: 'info', time: '2026-01-15T12:00:00.000Z', msg: 'started', port: 4290 },
    { level: 'debug', msg: 'shown' },
    { level: 'error', err: { message: /Broken.*below/, reason: 'INTERNAL' } },
  ]);
  t.ok(lines.every((line) => line.endsWith('\n') && line.indexOf('\n') === line.length - 1));
});

t.test('no secret leaves, wherever it stands', async (t) => {
  const key = `AIza${'x'.repeat(35)}`;
  for (const format of ['json', 'pretty'] as const) {
    const { log, lines } = collect({ format });
    log.info(`with hunter2 and quo"te\\d in the message, ${key}`, {
      token: 'plain-1',
      headers: { authorization: 'plain-2', 'x-goog-api-key': 'plain-3', cookie: 'plain-4' },
      url: '/v1beta/models?alt=sse&key=plain-5&x=1',
      deep: { deeper: { deepest: `hunter2 ${key} Bearer plain-token-6` } },
      err: new Error(`hunter2 at AQ.${'y'.repeat(40)}`),
    });
    const text = lines.join('');
    t.notMatch(text, /hunter2|te\\\\d|AIza|AQ\.|plain-/, format);
    t.match(text, '[redacted]');
  }
});

t.test('a line for people has colour only on a terminal that wants it', async (t) => {
  const line = (options: Parameters<typeof collect>[0]): string => {
    const { log, lines } = collect({ format: 'pretty', ...options });
    log.warn('the config was not taken', { file: 'a b.yaml', nested: { x: 1 }, none: null });
    return lines.join('');
  };
  t.match(line({}), /^\d\d:\d\d:\d\d warn {2}the config was not taken file=a_b\.yaml none=null\n$/);
  t.match(line({ isTTY: true }), '\u001b[33mwarn \u001b[0m');
  t.notMatch(line({ isTTY: true, env: { NO_COLOR: '1' } }), '\u001b');
  const { log, lines } = collect({ format: 'pretty' });
  log.error('failed', { err: new Error('below') });
  t.match(lines.join(''), /failed\nError: below\n +at /);
});
