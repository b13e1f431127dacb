import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';
import {
  call,
  type CallOptions,
  GENERATE,
  generate,
  idle,
  limits,
  MODEL,
  passUntil,
  saying,
  send,
  startGate,
  STREAM,
  waiting,
} from '../support/gate.ts';
import { ManualClock } from '../support/manual-clock.ts';

const UPSTREAM_KEY = 'AIzaSyConfigured-0123456789-abcdefghijk';
const CLIENT_KEY = 'AIzaSyClients-9876543210-zyxwvutsrqponm';
const TEAM_KEY = 'AQ.team-key-of-another-shape-55555';
const TOKEN = 'admin-token-s3cret-77777';
const PROMPT = 'prompt-marker-qwertzuiop';
const PART_CHARS = 8;
const ANSWER_WORD = 'lighthouse-marker-mnbvcxy';

t.test('keys, tokens, prompts and answers are written nowhere', async (t) => {
  const clock = new ManualClock();
  const simulatorGate = await startGate(t, {
    clock,
    scenario: {
      faults: [
        { match: { model: 'rejected', nth: [1] }, answer: '429-minute' },
        { match: { model: 'parked' }, answer: '429-billing' },
        { match: { model: 'broken' }, answer: '503' },
        { match: { model: 'cut' }, answer: 'truncate' },
        { match: { model: 'stream' }, answer: 'stream-error' },
      ],
      unknown_models: ['missing'],
    },
  });
  const gate = await startGate(t, {
    clock,
    upstreamUrl: simulatorGate.simulator.url,
    config: {
      upstream: { base_url: simulatorGate.simulator.url, api_key: UPSTREAM_KEY },
      projects: { default: {}, team: { keys: [TEAM_KEY], rate_limits: {} } },
      rate_limits: limits({ rpm: 4, tpm: 5_000, rpd: 1_000 }),
      admin: { token: TOKEN },
    },
  });
  const admitted = { 'x-headgate-token': TOKEN };
  const body = saying(`${PROMPT} ${ANSWER_WORD} ${PROMPT} [[out:40]]`);
  const told: string[] = [];
  const sent: [string, CallOptions][] = [
    [GENERATE, { body, headers: { 'x-goog-api-key': TOKEN } }],
    [STREAM, { body, headers: { ...admitted, authorization: `Bearer ${CLIENT_KEY}` } }],
    [`${GENERATE}?key=${CLIENT_KEY}`, { body, headers: admitted }],
    [generate('team-model'), { body, headers: { ...admitted, 'x-goog-api-key': TEAM_KEY } }],
    [generate('rejected'), { body, headers: admitted }],
    [generate('parked'), { body, headers: admitted }],
    [generate('parked'), { body, headers: admitted }],
    [generate('broken'), { body, headers: { ...admitted, 'x-goog-api-key': CLIENT_KEY } }],
    [generate('missing'), { body, headers: admitted }],
    [`/v1beta/models/stream:streamGenerateContent?alt=sse`, { body, headers: admitted }],
    [`/v1beta/models/cut:streamGenerateContent`, { body, headers: admitted }],
    ['/v1beta/models', { headers: admitted }],
    // Refused before anything is sent.
    [`${GENERATE}?key=${CLIENT_KEY}`, { body }],
    [GENERATE, { body, headers: { 'x-goog-api-key': CLIENT_KEY } }],
    [`/v1beta/models/:generateContent?key=${CLIENT_KEY}`, { body, headers: admitted }],
    [GENERATE, { body: `{"contents": "${PROMPT}" "${CLIENT_KEY}"}`, headers: admitted }],
    [generate('big'), { body: saying(`${PROMPT} `.repeat(3_000)), headers: admitted }],
    [`/status?token=${CLIENT_KEY}`, { headers: { authorization: `Bearer ${CLIENT_KEY}` } }],
    [`/nothing?key=${CLIENT_KEY}`, { headers: admitted }],
    ['/limits/x', { method: 'PATCH', body: { rpm: 3 }, headers: { authorization: 'Basic x' } }],
  ];
  for (const [path, options] of sent) {
    const { answer } = send(gate, path, options);
    const { value } = await passUntil(
      clock,
      answer.then(
        (whole) => whole,
        () => null,
      ),
      20_000,
    );
    // A model repeats what it is told: only what headgate says of itself is looked at.
    if (value?.headers['x-headgate-refused'] !== undefined || path[1] !== 'v') {
      told.push(JSON.stringify(value?.headers), value?.text ?? '');
    }
  }
  // One is waiting while everything is looked at, one has left.
  const waits = { body, headers: { ...admitted, 'x-goog-api-key': CLIENT_KEY } };
  for (let calls = 0; calls < 4; calls += 1) void send(gate, generate('held'), waits);
  const left = send(gate, generate('held'), waits);
  const authorization = `Bearer ${TOKEN}`;
  const look = (path: string) => call(gate, path, { headers: { authorization } });
  const waitingCount = async () => JSON.parse((await look('/status')).text).totals.waiting;
  while ((await waitingCount()) < 1);
  left.request.destroy();
  while ((await waitingCount()) > 0);
  const held = send(gate, generate('held'), waits);
  while ((await waitingCount()) < 1);
  clock.advance(3_000);
  for (const path of ['/metrics', '/status', '/limits', '/queue', '/usage', '/usage?by=agent']) {
    const { status, text } = await look(path);
    t.equal(status, 200, path);
    told.push(text);
  }
  held.request.destroy();
  const log = gate.log.join('');
  t.match(log, /"level":"debug"/, 'at its most talkative');
  t.match(log, /upstream 429/);
  t.ok(gate.log.length >= 20, `${gate.log.length} lines`);
  const files = ['', '-wal', '-shm']
    .map((suffix) => gate.databasePath + suffix)
    .filter((file) => existsSync(file));
  t.ok(files.length >= 2, 'the write-ahead log is there too');
  const stored = files.map((file) => readFileSync(file).toString('latin1'));
  t.match(stored.join(''), /team-model/, 'what is looked at is what was written');
  const places = { told: told.join('\n'), log, stored: stored.join('') };
  for (const [place, text] of Object.entries(places)) {
    for (const secret of [UPSTREAM_KEY, CLIENT_KEY, TEAM_KEY, TOKEN, PROMPT, ANSWER_WORD]) {
      // Nor a part of it that would tell it from others.
      const at = text.indexOf(secret.slice(0, PART_CHARS));
      const around = JSON.stringify(text.slice(Math.max(0, at - 100), at + 50));
      t.equal(at, -1, `${secret} is not in ${place}${at === -1 ? '' : `: ${around}`}`);
    }
  }
});

t.test('a fault of the daemon is logged, and not shown to the caller', async (t) => {
  const gate = await startGate(t, { upstreamUrl: 'http://127.0.0.1:9' });
  const answer = await call(gate, `${GENERATE}?key=${CLIENT_KEY}`, { body: saying(PROMPT) });
  t.equal(answer.status, 502);
  await idle(gate);
  t.notMatch(answer.text + gate.log.join(''), CLIENT_KEY);
  t.notMatch(answer.text + gate.log.join(''), PROMPT);
  t.match(gate.log.join(''), MODEL);
  await waiting(gate, 0);
});
