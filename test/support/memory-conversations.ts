import { ProxyError } from '../../src/errors.ts';
import type { ContinueRequest } from '../../src/sessions/contracts.ts';
import type { Conversations, PlannedTurn } from '../../src/sessions/conversations.ts';
import type { Session, SessionLog, Turn } from '../../src/sessions/session.ts';

/** One conversation in memory, for what is built on top of conversations. */
export interface MemoryConversations extends Conversations {
  readonly turns: readonly { readonly question: string; readonly answer: string }[];
  /** What was done, in order. */
  readonly done: readonly string[];
}

const LOG: SessionLog = {
  name: 'log_1',
  root: '/logs',
  directory: '/logs/log_1',
  file: null,
  format: 'massgen',
  store: null,
  beside: '/records/log_1',
};

export function memoryConversations(model = 'gemini-2.5-flash'): MemoryConversations {
  const turns = [
    { question: 'Why is the sky blue?', answer: 'Because of \u001b[31mRayleigh scattering.' },
  ];
  const done: string[] = [];
  let question = '';

  function find(name: string): void {
    if (name === 'latest' || name === LOG.name || name === LOG.directory) return;
    throw new ProxyError('NOT_FOUND', `There is no session ${name}.`, {
      details: {
        roots: [
          { root: '/logs', exists: true, sessions: 1, newest: LOG.name },
          { root: '/nowhere', exists: false, sessions: 0, newest: null },
        ],
      },
    });
  }

  function planned(request: ContinueRequest, claim: string): PlannedTurn {
    if (request.agent === 'unclear') {
      throw new ProxyError('AGENT_UNCLEAR', 'Say which agent.', {
        details: {
          agents: [
            { id: 'agent_a', type: 'gemini', model: 'gemini-2.5-pro' },
            { id: 'agent_b', type: null, model: null },
          ],
        },
      });
    }
    question = request.message ?? '';
    const contents = turns.flatMap(({ question, answer }) => [
      content('user', question),
      content('model', answer),
    ]);
    const body = {
      contents: [...contents, content('user', question)],
      generationConfig: request.config ?? {},
    };
    return {
      kind: 'planned',
      claim,
      log: LOG,
      foundBy: 'the newest of 1 session',
      sessionId: 'session 1/ä',
      turn: turns.length + 1,
      summary: {
        turns: turns.length,
        questions: turns.map(({ question }) => question),
        last_answer: turns.at(-1)?.answer ?? null,
      },
      continuation: {
        agent: request.agent ?? 'agent_a',
        model: request.model ?? model,
        turnsSent: turns.length,
        tokensEstimated: 42,
        conflicts: Object.entries(request.config ?? {}).map(([key, value]) => ({
          key,
          used: { from: 'config', value },
          ignored: { from: 'session', value: 0.7 },
          message: `${key}: ${String(value)} (config) instead of 0.7 (session)`,
        })),
        warnings: [{ file: 'turn_1/x.json', message: 'is empty' }],
        question,
        agentConfig: { id: 'agent_a', systemMessage: null, backend: {} },
      },
      body: new TextEncoder().encode(JSON.stringify(body)),
    };
  }

  return {
    turns,
    done,
    list: async () => ({
      sessions: [
        {
          log: LOG,
          sessionId: null,
          turns: turns.length,
          agents: ['agent_a'],
          models: [model],
          firstQuestion: turns[0]?.question ?? null,
          updatedAtMs: 0,
          warnings: 1,
        },
      ],
      nextCursor: null,
    }),
    async show(name) {
      find(name);
      return { log: LOG, foundBy: 'by its name', session: sessionOf(turns) };
    },
    history: async () => ({ contents: [], warnings: [] }),
    async plan(name, request) {
      find(name);
      done.push('plan');
      return planned(request, '');
    },
    async begin(name, request) {
      find(name);
      done.push('begin');
      return planned(request, 'claim');
    },
    async finish(_claim, { bytes }) {
      done.push('finish');
      const events = [
        ...Buffer.from(bytes)
          .toString()
          .matchAll(/^data: (.*)$/gm),
      ].map(([, json = '']) => JSON.parse(json));
      const text = events
        .map(
          (event) =>
            event.candidates?.[0]?.content?.parts
              ?.map((part: { text?: string }) => part.text ?? '')
              .join('') ?? '',
        )
        .join('');
      turns.push({ question, answer: text });
      return {
        turn: turns.length,
        text,
        response: { usageMetadata: events.at(-1)?.usageMetadata ?? {} },
        where: 'in_place',
        directory: `${LOG.directory}/turn_${turns.length}`,
        warnings: [],
      };
    },
    async abandon() {
      done.push('abandon');
    },
    async close() {
      done.push('close');
    },
  };
}

function content(role: 'user' | 'model', text: string) {
  return { role, parts: [{ text }] };
}

function sessionOf(turns: MemoryConversations['turns']): Session {
  return {
    format: 'massgen',
    sessionId: 'session 1',
    turns: turns.map(({ question, answer }, at): Turn => ({
      number: at + 1,
      question,
      answer,
      answered: true,
      winner: 'agent_a',
      questionSource: null,
      answerSource: null,
      encoding: null,
      degraded: false,
      directory: `turn_${at + 1}`,
    })),
    nextTurn: turns.length + 1,
    agents: [],
    agentIds: ['agent_a'],
    updatedAtMs: 0,
    toolVersion: null,
    warnings: [],
  };
}
