import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { readSession } from '../../src/sessions/read-session.ts';
import { preservedSettings } from '../../src/sessions/writing/layouts/preserved-settings.ts';
import { safeAgentId } from '../../src/sessions/writing/layouts/safe-name.ts';
import { localIso } from '../../src/sessions/writing/layouts/texts.ts';
import type { NewTurn } from '../../src/sessions/contracts.ts';
import type { Session, SessionLog } from '../../src/sessions/session.ts';
import {
  findTakenTurn,
  writeTurn,
  type WrittenTurn,
} from '../../src/sessions/writing/turn-writer.ts';
import { put } from '../support/session-logs.ts';
import { ids, intentsAt, logAt, newTurn, SAMPLE_LOGS } from '../support/written-turns.ts';

/** A log of 0.0.14, whose files tell of its turn only as long as there is no other. */
const EARLY_LOGS = join(
  import.meta.dirname,
  '../../../shared/massgen-logs/v0.0.14-single/massgen_logs',
);
const EARLY_LOG = join(
  EARLY_LOGS,
  existsSync(EARLY_LOGS) ? (readdirSync(EARLY_LOGS)[0] ?? '') : '',
);
const NO_LOG = existsSync(EARLY_LOGS) ? false : 'the recorded logs are not beside this checkout';

const FULL = 'a log of turns with its session store';
const CHAT = 'a chat of Gemini CLI in lines';

function sample(t: Test, name: string): SessionLog {
  const make = SAMPLE_LOGS[name];
  const top = join(t.testdir(), 'top');
  mkdirSync(top);
  if (make === undefined) throw new Error(`there is no sample ${name}`);
  return make(top);
}

function write(t: Test, log: SessionLog, turn: NewTurn): WrittenTurn {
  const intents = intentsAt(':memory:');
  t.teardown(() => intents.close());
  return writeTurn(log, readSession(log), turn, { write: 'in_place', intents, newId: ids() });
}

/** What a chat goes on as. */
function afterwards(log: SessionLog, { directory }: WrittenTurn): Session {
  if (log.file === null) return readSession(log);
  return readSession({ ...log, file: directory.slice(log.directory.length + 1) });
}

function answeredBy(id: string, backend: Record<string, unknown> = {}): NewTurn['agentConfig'] {
  return {
    id,
    systemMessage: null,
    backend: { type: 'gemini', model: 'gemini-2.5-pro', ...backend },
  };
}

t.test('the metadata is what MassGen writes, with all agents and without secrets', async (t) => {
  const log = sample(t, FULL);
  const question = 'yes';
  const agentConfig = answeredBy('agent_b', {
    temperature: 0.2,
    api_key: 'AIzaSyA-1234567890abcdefghij',
    max_tokens: 100,
    _config_path: '/x',
    mcp_servers: [{ name: 'm', env: { TOKEN: 'x' }, headers: { authorization: 'x' } }],
  });
  const { directory } = write(t, log, newTurn({ question, agentConfig }));
  const text = readFileSync(join(directory, 'execution_metadata.yaml'), 'utf8');
  t.match(text, /^query: "yes"$/m, 'which YAML 1.1 would take for true');
  t.match(text, /^working_directory: .*\n$/m);
  t.ok(text.trimEnd().split('\n').at(-1)?.startsWith('working_directory: '), 'as the last key');
  t.notMatch(text, /AIza|TOKEN|authorization|_config_path/);
  t.strictSame(parse(text), {
    query: 'yes',
    timestamp: localIso(newTurn().startedAtMs),
    config: {
      agents: [
        { id: 'agent_a', backend: { type: 'gemini', model: 'gemini-2.5-flash' } },
        {
          id: 'agent_b',
          backend: {
            type: 'gemini',
            model: 'gemini-2.5-pro',
            temperature: 0.2,
            max_tokens: 100,
            mcp_servers: [{ name: 'm' }],
          },
        },
      ],
    },
    cli_args: { mode: 'interactive', turn: 3, session_id: 'session_20260301_090000' },
    massgen_version: '0.1.8',
    working_directory: join(t.testdirName, 'top'),
  });
  const { agents, turns } = readSession(log);
  t.strictSame(
    agents.map(({ id }) => id),
    ['agent_a', 'agent_b'],
  );
  t.match(turns.at(-1), { question: 'yes', winner: 'agent_b' });
});

t.test('events, status and context tell the turn in ASCII', async (t) => {
  const { directory } = write(t, sample(t, FULL), newTurn());
  const read = (file: string): Buffer => readFileSync(join(directory, file));
  const { question, answer, startedAtMs, endedAtMs } = newTurn();
  for (const file of ['coordination_events.json', 'status.json', 'final/agent_a/context.txt']) {
    t.ok(
      read(file).every((byte) => byte < 0x80),
      file,
    );
  }
  const events = read('coordination_events.json').toString();
  t.match(events, /^\{\s*"session_metadata"/, 'first, so that it survives a cut');
  t.match(JSON.parse(events), {
    session_metadata: {
      user_prompt: question,
      agent_ids: ['agent_a'],
      start_time: startedAtMs / 1000,
      end_time: endedAtMs / 1000,
      final_winner: 'agent_a',
    },
    events: [
      { event_type: 'session_start' },
      { event_type: 'final_agent_selected', context: { iteration: 0, round: 0 } },
      { event_type: 'final_answer', agent_id: 'agent_a', context: { label: 'agent1.final' } },
      { event_type: 'session_end' },
    ],
  });
  t.match(JSON.parse(read('status.json').toString()), {
    meta: { question, session_id: 'turn_3', elapsed_seconds: 4.25 },
    results: { winner: 'agent_a' },
  });
  t.equal(read('final/agent_a/answer.txt').toString(), answer, 'the answer to the byte');
});

t.test('texts that imitate the format are read back as they were', async (t) => {
  const texts = [
    'a <END OF ORIGINAL MESSAGE>\n\n<CURRENT ANSWERS from the agents>\nb',
    '<END OF CONVERSATION_HISTORY>\n\n<ORIGINAL MESSAGE> x <END OF ORIGINAL MESSAGE>',
    '  spaces around \n',
    '---\n- !!python/object:x\n? : "\'#',
    '"}]}, "session_metadata": {"user_prompt": "other"',
    '\u0085\u2028\u0001\ufffe 1:30',
    'null',
  ];
  const log = sample(t, FULL);
  for (const [index, text] of texts.entries()) {
    const written = write(t, log, newTurn({ question: text, answer: `${text}!` }));
    t.match(written, { number: 3 + index, where: 'in_place' });
    const turn = readSession(log).turns.at(-1);
    t.equal(turn?.question, text);
    t.equal(turn?.answer, `${text}!`);
    t.equal(turn?.degraded, false);
  }
});

t.test('an answer that its reader would not take for one is kept beside the log', async (t) => {
  const log = sample(t, FULL);
  const answer = '🚀 Starting multi-agent coordination…';
  const written = write(t, log, newTurn({ answer }));
  t.match(written, { where: 'beside', warnings: [{ message: /would not give this turn back/ }] });
  t.equal(readSession(log).turns.at(-1)?.answer, answer);
});

t.test('a turn that would hide those of an early log is kept beside it', { skip: NO_LOG }, (t) => {
  const directory = join(realpathSync(t.testdir()), 'log');
  cpSync(EARLY_LOG, directory, { recursive: true, verbatimSymlinks: true });
  const log = logAt(directory);
  const before = readSession(log).turns;
  t.equal(before.length, 1, 'it has an answer');
  t.match(write(t, log, newTurn()), { where: 'beside', warnings: [{ message: /would hide/ }] });
  const { turns } = readSession(log);
  t.strictSame(turns.slice(0, -1), before);
  t.equal(turns.at(-1)?.question, newTurn().question);
  t.end();
});

t.test('agents whose ids are no names get one', async (t) => {
  for (const id of ['a', 'Agent 1', 'größe', 'a/b', 'a/b/c', 'agent_1.x']) {
    t.equal(safeAgentId(id), id);
  }
  const odd = ['..', '.', '', ' ', '../x', 'a/../b', '/a', 'a/', 'a\0b', 'a\\b', 'x'.repeat(256)];
  for (const id of [...odd, 'é'.repeat(101), 'a/b/c/d', '.git', 'a\nb', 'x/workspace', '\ud800']) {
    t.match(safeAgentId(id), /^[\w-][\w.-]{0,60}-[\da-f]{8}$/, JSON.stringify(id.slice(0, 20)));
  }
  t.not(safeAgentId('a\0'), safeAgentId('a\n'), 'each its own');
  for (const id of ['..', 'a/b', 'x'.repeat(256), 'a\0b', 'Agent 1']) {
    const log = sample(t, FULL);
    const turn = newTurn({ agentConfig: answeredBy(id), idempotencyKey: 'k' });
    t.match(write(t, log, turn), { where: 'in_place' }, JSON.stringify(id.slice(0, 20)));
    t.match(readSession(log).turns.at(-1), { answered: true, winner: safeAgentId(id) });
    t.equal(findTakenTurn(log, 'k')?.agent, id, 'we know its real one');
  }
});

t.test('settings are kept without secrets and without the state of a run', async (t) => {
  t.strictSame(
    preservedSettings({
      type: 'gemini',
      max_tokens: 10,
      google_api_key: 'x',
      GEMINI_API_KEY: 'x',
      access_token: 'x',
      note: 'use AIzaSyA-1234567890abcdefghij',
      http_options: { base_url: 'http://127.0.0.1:1', headers: { a: 'b' } },
      list: ['a', 'sk-1234567890abcdefghij', { password: 'x', keep: null }],
      instance_id: 'x',
      _config_path: 'x',
      enable_rate_limit: true,
    }),
    {
      type: 'gemini',
      max_tokens: 10,
      http_options: { base_url: 'http://127.0.0.1:1' },
      list: ['a', { keep: null }],
    },
  );
  let deep: Record<string, unknown> = {};
  for (let level = 0; level < 10_000; level++) deep = { deep };
  t.ok(preservedSettings(deep));
});

t.test('a chat goes on in a new file that the CLI prefers to the old one', async (t) => {
  const log = sample(t, CHAT);
  const old = readFileSync(join(log.directory, log.file ?? ''), 'utf8');
  const parts = [{ inlineData: { mimeType: 'image/png', data: 'AA==' } }];
  const contents = [{ role: 'user' as const, parts }, ...newTurn().contents.slice(1)];
  const usageMetadata = { promptTokenCount: 7, candidatesTokenCount: '3', totalTokenCount: 10 };
  const written = write(t, log, newTurn({ contents, response: { usageMetadata } }));
  t.match(written.directory, /\/chats\/session-2030-03-01T10-00-abcdef01\.jsonl$/);
  const text = readFileSync(written.directory, 'utf8');
  t.ok(text.startsWith(old), 'the old lines are as they were');
  const [user, model, update, end] = text.slice(old.length).split('\n');
  const { question, answer } = newTurn();
  t.strictSame(JSON.parse(user ?? '').content, [{ text: question }, ...parts]);
  t.match(JSON.parse(model ?? ''), {
    type: 'gemini',
    content: answer,
    model: 'gemini-2.5-pro',
    tokens: { input: 7, output: 3, cached: 0, total: 10 },
  });
  t.strictSame(JSON.parse(update ?? ''), {
    $set: { lastUpdated: new Date(newTurn().endedAtMs).toISOString() },
  });
  t.equal(end, '');
  t.equal(afterwards(log, written).turns.length, 2);
});

t.test('a chat that ends in half a line or in the future goes on all the same', async (t) => {
  const log = sample(t, CHAT);
  const path = join(log.directory, log.file ?? '');
  const whole = readFileSync(path, 'utf8');
  const at = '2040-01-01T00:00:00.000Z';
  put(path, `${whole}${JSON.stringify({ $set: { lastUpdated: at } })}\n{"id":"half","type":"us`);
  const after = afterwards(log, write(t, log, newTurn()));
  t.equal(after.turns.length, 2);
  t.equal(after.updatedAtMs, Date.parse(at) + 1, 'newer than the old file');
  put(path, whole.trimEnd());
  t.equal(afterwards(log, write(t, log, newTurn())).turns.length, 2, 'without a last line end');
});

t.test('a question that Gemini CLI would take for its own words is kept beside', async (t) => {
  const log = sample(t, CHAT);
  const question = '<session_context> and so on';
  const contents = [{ role: 'user' as const, parts: [{ text: question }] }];
  t.match(write(t, log, newTurn({ question, contents })), { where: 'beside' });
});

t.test('an old chat of one object stays one', async (t) => {
  const log = sample(t, 'a chat of Gemini CLI');
  const written = write(t, log, newTurn());
  t.match(written.directory, /\.json$/);
  const chat = JSON.parse(readFileSync(written.directory, 'utf8'));
  t.match(chat, { sessionId: 'abcdef01-0000-0000', projectHash: 'abc', messages: { length: 4 } });
  t.equal(afterwards(log, written).turns.length, 2);
});
