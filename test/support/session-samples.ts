import type { ContinueRequest } from '../../src/sessions/contracts.ts';
import type { Session, SessionAgent, Turn } from '../../src/sessions/session.ts';

/** An answered turn of agent a. */
export function sampleTurn(number: number, more: Partial<Turn> = {}): Turn {
  return {
    number,
    question: `Question ${number}?`,
    answer: `Answer ${number}.`,
    answered: true,
    winner: 'a',
    questionSource: `turn_${number}/events.json`,
    answerSource: `turn_${number}/answer.txt`,
    encoding: 'utf-8',
    degraded: false,
    directory: `turn_${number}`,
    ...more,
  };
}

/** A Gemini agent, whose backend has its type and model unless told. */
export function sampleAgent(id: string, more: Partial<SessionAgent> = {}): SessionAgent {
  const type = more.type === undefined ? 'gemini' : more.type;
  const model = more.model === undefined ? 'gemini-2.5-flash' : more.model;
  const known = Object.entries({ type, model }).filter(([, value]) => value !== null);
  return {
    id,
    type,
    model,
    systemMessage: more.systemMessage ?? null,
    backend: { ...Object.fromEntries(known), ...more.backend },
  };
}

/** Two turns, won by Gemini agent a. */
export function sampleSession(more: Partial<Session> = {}): Session {
  const turns = more.turns ?? [sampleTurn(1), sampleTurn(2)];
  const agents = more.agents ?? [sampleAgent('a')];
  return {
    format: 'massgen',
    sessionId: null,
    turns,
    nextTurn: turns.length + 1,
    agents,
    agentIds: agents.map(({ id }) => id),
    updatedAtMs: null,
    toolVersion: null,
    warnings: [],
    ...more,
  };
}

/** Asks "And now?" and nothing else. */
export function sampleRequest(more: Partial<ContinueRequest> = {}): ContinueRequest {
  return {
    message: 'And now?',
    parts: null,
    agent: null,
    model: null,
    config: null,
    configPath: null,
    turnsMax: null,
    idempotencyKey: null,
    ...more,
  };
}
