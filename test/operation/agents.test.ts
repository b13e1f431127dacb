import t from 'tap';
import type { StatusView } from '../../src/http/views.ts';
import { Agents } from '../../src/operation/agents.ts';
import { RECORD } from '../support/exchange-record.ts';
import { GENERATE, INSTANT, startGate, statusOf } from '../support/gate.ts';
import { ManualClock } from '../support/manual-clock.ts';

const NOBODY = new Map<string, number>();

t.test('An agent is told of with what its ended calls took.', (t) => {
  const clock = new ManualClock();
  const agents = new Agents(clock);
  agents.note(RECORD);
  agents.note({ ...RECORD, outcome: 'refused', usage: null, usdMicros: 0 });
  t.strictSame(agents.view(NOBODY, []), [
    {
      agent: 'agent_a',
      running: 0,
      waiting: 0,
      calls: 2,
      refused: 1,
      input_tokens: 1204,
      output_tokens: 40,
      usd: 0.0025,
      last_model: 'gemini-2.5-flash',
      last_ended_at: new Date(clock.wallMs()).toISOString(),
    },
  ]);
  t.end();
});

t.test('Those with calls under way come first, then the latest.', (t) => {
  const agents = new Agents(new ManualClock());
  for (const agent of ['first', 'second', 'third']) agents.note({ ...RECORD, agent });
  const seen = agents.view(
    new Map([
      ['new', 3],
      ['first', 1],
    ]),
    ['new', 'new'],
  );
  t.strictSame(
    seen.map(({ agent, running, waiting, calls }) => [agent, running, waiting, calls]),
    [
      ['new', 1, 2, 0],
      ['first', 1, 0, 1],
      ['third', 0, 0, 1],
      ['second', 0, 0, 1],
    ],
  );
  t.match(seen[0], { last_model: null, last_ended_at: null });
  t.end();
});

t.test('Who was silent for an hour is gone, and of very many the oldest are forgotten.', (t) => {
  const clock = new ManualClock();
  const agents = new Agents(clock);
  agents.note(RECORD);
  clock.advance(3_600_000);
  t.equal(agents.view(NOBODY, []).length, 1);
  clock.advance(1);
  t.equal(agents.view(NOBODY, []).length, 0);
  for (let number = 0; number < 600; number += 1) agents.note({ ...RECORD, agent: `a${number}` });
  t.equal(agents.view(NOBODY, []).length, 100);
  t.equal(agents.view(NOBODY, [])[0]?.agent, 'a599');
  t.match(agents.view(new Map([['a0', 1]]), [])[0], { agent: 'a0', calls: 0 });
  t.match(agents.view(new Map([['a100', 1]]), [])[0], { agent: 'a100', calls: 1 });
  t.end();
});

t.test(
  'GET /status says which agents run and which wait, until their calls have ended.',
  async (t) => {
    const gate = await startGate(t, {
      config: { rate_limits: { gemini: { default: { max_concurrent: 1 } } } },
      scenario: { latency: { ...INSTANT, first_byte: [60_000, 60_000] } },
    });
    const stop = new AbortController();
    const call = (agent: string) =>
      fetch(`${gate.url}${GENERATE}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-headgate-agent': agent },
        body: JSON.stringify({ contents: [{ role: 'user', parts: [{ text: 'Why?' }] }] }),
        signal: stop.signal,
      }).catch(() => null);
    const until = async (holds: (agents: StatusView['agents']) => boolean) => {
      for (;;) {
        const { agents } = await statusOf(gate);
        if (holds(agents)) return agents;
      }
    };
    const first = call('writer');
    await until(([writer]) => writer?.running === 1);
    const second = call('critic');
    const both = await until((agents) => agents.some(({ waiting }) => waiting === 1));
    t.match(both, [
      { agent: 'writer', running: 1, waiting: 0, calls: 0 },
      { agent: 'critic', running: 0, waiting: 1, calls: 0 },
    ]);
    stop.abort();
    await Promise.all([first, second]);
    const after = await until((agents) => agents.every(({ calls }) => calls === 1));
    t.ok(after.every(({ running, waiting }) => running + waiting === 0));
  },
);
