import t, { type Test } from 'tap';
import { type ErrorReason, ProxyError } from '../../src/errors.ts';
import { parseConfigFile } from '../../src/sessions/continuation/config.ts';
import { planContinuation } from '../../src/sessions/continuation/continuation.ts';
import type { Continuation, ContinueRequest } from '../../src/sessions/contracts.ts';
import type { GeminiContent, Session } from '../../src/sessions/session.ts';
import {
  sampleAgent,
  sampleRequest,
  sampleSession,
  sampleTurn,
} from '../support/session-samples.ts';

const A = sampleAgent('a', { systemMessage: 'Be brief.', backend: { temperature: 0.7 } });
const B = sampleAgent('b', { model: 'gemini-2.5-pro' });
const GPT = sampleAgent('g', {
  type: 'openai',
  model: 'gpt-5',
  backend: { temperature: 1, reasoning: { effort: 'low' } },
});
const NO_WINNER = [sampleTurn(1, { winner: null })];
const wonBy = (winner: string) => [sampleTurn(1), sampleTurn(2, { winner })];

function plan(
  session: Partial<Session> = {},
  request: Partial<ContinueRequest> = {},
  file: string | null = null,
): Continuation {
  const configFile = file === null ? null : parseConfigFile(file, 'other.yaml');
  return planContinuation(sampleSession(session), sampleRequest(request), { configFile });
}

/** The refusal, which must have this reason and place. */
function refusal(
  t: Test,
  reason: ErrorReason,
  where: string | null,
  ...args: Parameters<typeof plan>
): ProxyError {
  try {
    plan(...args);
  } catch (error) {
    if (!(error instanceof ProxyError)) throw error;
    t.equal(error.reason, reason, error.message);
    t.equal(error.where, where, error.message);
    return error;
  }
  throw new Error('nothing was refused');
}

function contentsOf({ body }: Continuation): readonly GeminiContent[] {
  return body['contents'] as readonly GeminiContent[];
}

function messages({ conflicts }: Continuation): readonly string[] {
  return conflicts.map(({ message }) => message);
}

t.test('the last winner goes on with its own settings', async (t) => {
  const { tokensEstimated, ...continuation } = plan({ agents: [B, A] });
  t.strictSame(continuation, {
    agent: 'a',
    model: 'gemini-2.5-flash',
    body: {
      contents: [
        { role: 'user', parts: [{ text: 'Question 1?' }] },
        { role: 'model', parts: [{ text: 'Answer 1.' }] },
        { role: 'user', parts: [{ text: 'Question 2?' }] },
        { role: 'model', parts: [{ text: 'Answer 2.' }] },
        { role: 'user', parts: [{ text: 'And now?' }] },
      ],
      systemInstruction: { parts: [{ text: 'Be brief.' }] },
      generationConfig: { temperature: 0.7 },
    },
    turnsSent: 2,
    conflicts: [],
    warnings: [],
    question: 'And now?',
    agentConfig: {
      id: 'a',
      systemMessage: 'Be brief.',
      backend: { type: 'gemini', model: 'gemini-2.5-flash', temperature: 0.7 },
    },
  });
  t.ok(tokensEstimated > 10);
});

t.test(
  'an agent is the one asked for, the last winner, or the only one that can be meant',
  async (t) => {
    t.equal(plan({ agents: [A, B], turns: wonBy('b') }).agent, 'b');
    t.equal(plan({ agents: [A, B] }, { agent: 'b' }).model, 'gemini-2.5-pro');
    t.equal(plan({ agents: [A, B] }, { config: { agent: 'b' } }).agent, 'b');
    t.equal(plan({ agents: [A, B] }, {}, 'agent: b').agent, 'b');
    t.equal(plan({ agents: [GPT, A], turns: NO_WINNER }).agent, 'a');
    const later = [sampleTurn(1, { winner: 'b' }), sampleTurn(2, { answered: false, winner: 'a' })];
    t.equal(plan({ agents: [A, B], turns: later }).agent, 'b', 'whose answer counts');
    const [conflict] = plan({ agents: [A, B] }, { agent: 'b', config: { agent: 'a' } }).conflicts;
    t.equal(conflict?.message, 'agent: b (request) instead of a (config)');
  },
);

t.test('an agent without type is a Gemini agent by its model', async (t) => {
  const bare = sampleAgent('x', { type: null, model: 'models/gemini-2.0-flash' });
  t.equal(plan({ agents: [GPT, bare], turns: NO_WINNER }).model, 'gemini-2.0-flash');
});

t.test('where no agent can be told, the choices are listed', async (t) => {
  const unclear = refusal(t, 'AGENT_UNCLEAR', 'agent', { agents: [A, B], turns: NO_WINNER });
  t.strictSame(unclear.details, {
    agents: [
      { id: 'a', type: 'gemini', model: 'gemini-2.5-flash' },
      { id: 'b', type: 'gemini', model: 'gemini-2.5-pro' },
    ],
  });
  t.match(unclear.message, /a \(gemini, gemini-2\.5-flash\), b \(gemini, gemini-2\.5-pro\)/);
  const unknown = refusal(t, 'AGENT_UNCLEAR', 'agent', { agents: [A, B] }, { agent: 'zz' });
  t.match(unknown.message, /no agent "zz".*a \(gemini/);
  const several = JSON.stringify({
    agents: [
      { id: 'x', backend: { model: 'gemini-1' } },
      { id: 'y', backend: { model: 'gemini-2' } },
    ],
  });
  const inFile = refusal(t, 'AGENT_UNCLEAR', 'agent', {}, {}, several);
  t.match(inFile.message, /other\.yaml.*none is "a".*x \(gemini-1\), y \(gemini-2\)/);
});

t.test('a winner of another provider needs a model, and says so', async (t) => {
  const session = { agents: [GPT, A], turns: wonBy('g') };
  const unclear = refusal(t, 'AGENT_UNCLEAR', 'model', session);
  t.match(
    unclear.message,
    /g \(openai, gpt-5\) is not a Gemini agent.*"model".*"agent" one of a \(gemini/,
  );
  t.match(unclear.details, { agents: [{ id: 'g' }, { id: 'a' }] });
  for (const request of [
    { model: 'gemini-2.5-pro' },
    { config: { model: 'models/gemini-2.5-pro' } },
  ]) {
    const going = plan(session, request);
    t.equal(going.agent, 'g');
    t.equal(going.model, 'gemini-2.5-pro');
    t.strictSame(going.body['generationConfig'], { temperature: 1 });
    const from = 'model' in request ? 'request' : 'config';
    t.strictSame(messages(going), [
      `model: gemini-2.5-pro (${from}) instead of gpt-5 (session)`,
      'reasoning: {"effort":"low"} (session) is not known to the API; it is left out',
    ]);
    t.equal(going.agentConfig.backend['type'], 'gemini');
  }
  const file = 'agent: { id: z, backend: { type: gemini, model: gemini-2.5-pro } }';
  t.equal(plan(session, {}, file).model, 'gemini-2.5-pro');
  t.equal(plan(session, {}, 'model: gemini-2.5-pro').model, 'gemini-2.5-pro');
  refusal(
    t,
    'AGENT_UNCLEAR',
    'model',
    {},
    {},
    'agent: { id: z, backend: { type: openai, model: o3 } }',
  );
});

t.test(
  'without a preserved configuration a model is needed and the last winner goes on',
  async (t) => {
    const bare = { agents: [], agentIds: ['x', 'a'] };
    const unclear = refusal(t, 'AGENT_UNCLEAR', 'model', bare);
    t.match(unclear.message, /no configuration of agent "a".*"model"/);
    t.equal(plan(bare, { model: 'gemini-2.5-pro' }).agent, 'a');
    t.equal(plan({ ...bare, turns: NO_WINNER }, { model: 'm' }).agent, 'x');
    t.equal(plan({ agents: [], agentIds: [], turns: NO_WINNER }, { model: 'm' }).agent, 'agent');
    t.equal(plan(bare, { agent: 'x', config: { model: 'm' } }).agent, 'x');
    const nameless = sampleAgent('a', { model: null });
    refusal(t, 'AGENT_UNCLEAR', 'model', { agents: [nameless] });
  },
);

t.test('request wins over config, config over the file, the file over the session', async (t) => {
  const agents =
    'agents:\n- id: a\n  backend: { type: gemini, model: m3, temperature: 0.3, seed: 3, top_k: 3 }\n';
  const { model, body, conflicts } = plan(
    {
      agents: [
        sampleAgent('a', {
          model: 'm4',
          backend: { temperature: 0.4, seed: 4, top_k: 4, top_p: 0.4 },
        }),
      ],
    },
    { model: 'm1', config: { model: 'm2', temperature: 0.2, seed: 2 } },
    agents,
  );
  t.equal(model, 'm1');
  t.strictSame(body['generationConfig'], { temperature: 0.2, seed: 2, topK: 3, topP: 0.4 });
  t.equal(conflicts.length, 3 + 2 + 2 + 1);
  t.ok(conflicts.every(({ used, ignored }) => used !== null && used.from !== ignored.from));
  const hybrid = plan({}, {}, `${agents}temperature: 0.9\n`);
  t.strictSame(hybrid.body['generationConfig'], { temperature: 0.9, seed: 3, topK: 3 });
});

t.test('of several agents in the file, the one of the same name counts', async (t) => {
  const agents = ['x', 'a', 'y'].map((id) => ({
    id,
    backend: { type: id === 'a' ? 'openai' : 'gemini', model: `gemini-${id}` },
  }));
  const file = JSON.stringify({ agents });
  t.equal(plan({}, { agent: 'y' }, file).model, 'gemini-y');
  refusal(t, 'AGENT_UNCLEAR', 'model', {}, {}, file);
  const named = JSON.stringify({ agents, model: 'gemini-2.5-pro' });
  t.equal(plan({}, {}, named).model, 'gemini-2.5-pro', 'a model at the top of the file is meant');
});

t.test('a system message can be replaced and removed', async (t) => {
  const other = plan({ agents: [A] }, { config: { system_message: 'Be long.' } });
  t.strictSame(other.body['systemInstruction'], { parts: [{ text: 'Be long.' }] });
  t.strictSame(messages(other), [
    'system_message: Be long. (config) instead of Be brief. (session)',
  ]);
  t.equal(other.agentConfig.systemMessage, 'Be long.');
  const none = plan({ agents: [A] }, { config: { system_instruction: null } });
  t.notOk('systemInstruction' in none.body);
  t.equal(none.agentConfig.systemMessage, null);
  t.equal(none.conflicts.length, 1);
});

t.test('what only MassGen has is named in one warning', async (t) => {
  const agent = sampleAgent('a', {
    backend: { cwd: 'w', mcp_servers: [{ env: { K: 'secret' } }] },
  });
  const going = plan(
    { agents: [agent] },
    {},
    'orchestrator: { x: 1 }\nhttp_options: { headers: { k: secret } }',
  );
  t.strictSame(going.warnings, [
    { file: 'other.yaml', message: 'http_options is not used: headgate sends the call itself' },
    {
      file: '.',
      message: 'not carried, since only MassGen has them: orchestrator, cwd, mcp_servers',
    },
  ]);
  t.notMatch(JSON.stringify(going), /secret/);
});

t.test("another provider's model is asked for, with a warning", async (t) => {
  const { model, warnings } = plan({}, { model: 'gpt-5' });
  t.equal(model, 'gpt-5');
  t.match(warnings, [{ file: 'request', message: /gpt-5/ }]);
});

t.test('a message is text, parts, or both', async (t) => {
  const image = { inlineData: { mimeType: 'image/png', data: 'AA' } };
  const both = plan(
    {},
    { message: 'Look.', parts: [image, { text: 'Well?' }, { fileData: { fileUri: 'u' } }] },
  );
  t.strictSame(contentsOf(both).at(-1)?.parts, [
    { text: 'Look.' },
    image,
    { text: 'Well?' },
    { fileData: { fileUri: 'u' } },
  ]);
  t.equal(both.question, 'Look.\n[image/png]\nWell?\n[file]');
  t.equal(
    plan({}, { message: null, parts: [{ functionResponse: {} }] }).question,
    '[functionResponse]',
  );
  for (const message of [null, '', ' \n']) {
    refusal(t, 'BAD_REQUEST', 'message', {}, { message });
    refusal(t, 'BAD_REQUEST', 'message', {}, { message, parts: [] });
    refusal(t, 'BAD_REQUEST', 'message', {}, { message, parts: [{ text: ' ' }] });
  }
  refusal(t, 'BAD_REQUEST', 'parts[1]', {}, { parts: [image, {}] });
});

t.test('a model that cannot be part of a URL is refused by its name', async (t) => {
  for (const model of ['', '../x', 'a/b', 'a b', 'x:generateContent', '..']) {
    refusal(t, 'BAD_REQUEST', 'model', {}, { model });
  }
  refusal(t, 'BAD_REQUEST', 'agent', {}, { agent: ' ' });
});

t.test('a log without turns cannot be continued, one without answers can', async (t) => {
  refusal(t, 'SESSION_UNREADABLE', null, { turns: [] });
  const { body, turnsSent, warnings } = plan({ turns: [sampleTurn(1, { answered: false })] });
  t.equal(turnsSent, 0);
  t.equal((body['contents'] as unknown[]).length, 1);
  t.match(warnings, [{ file: 'turn_1/events.json' }, { message: /history is empty/ }]);
});
