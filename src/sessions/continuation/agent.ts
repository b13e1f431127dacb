import { ProxyError } from '../../errors.ts';
import type { ConfigFile } from './config.ts';
import type { Session, SessionAgent } from '../session.ts';

/** The agent that goes on, as each source knows it. */
export interface ChosenAgent {
  readonly id: string;
  /** Null where the session keeps no configuration of it. */
  readonly inSession: SessionAgent | null;
  /** Null without a MassGen configuration in the file. */
  readonly inFile: SessionAgent | null;
}

/** Choices that a message names; the details have up to DETAILS_MAX. */
const NAMED_MAX = 10;
const DETAILS_MAX = 100;

/** A missing type is told by the model's name, as MassGen does. */
export function isGemini({ type, model }: SessionAgent): boolean {
  return type === null ? /gemini/i.test(model ?? '') : type.toLowerCase() === 'gemini';
}

/**
 * The agent that was asked for; else the last winner; else the only one that can be meant. Throws
 * AGENT_UNCLEAR with the choices where none can.
 */
export function chooseAgent(
  session: Session,
  wanted: string | null,
  file: ConfigFile | null,
): ChosenAgent {
  const inFile = file?.agents ?? [];
  if (wanted !== null) {
    const agents = [...session.agents, ...inFile];
    if (!agents.some(({ id }) => id === wanted) && !session.agentIds.includes(wanted)) {
      throw unclear(
        'agent',
        `agent: there is no agent ${JSON.stringify(wanted)}`,
        choicesOf(session, inFile),
      );
    }
  }
  const id = wanted ?? lastWinner(session) ?? onlyAgent(session, inFile);
  return {
    id,
    inSession: session.agents.find((agent) => agent.id === id) ?? null,
    inFile: file === null ? null : agentInFile(file, id),
  };
}

/** For an agent without a model that the Gemini API could have; says what to give. */
export function modelUnclear(
  session: Session,
  { id, inSession, inFile }: ChosenAgent,
  file: ConfigFile | null,
): ProxyError {
  const agent = inFile ?? inSession;
  const choices = choicesOf(session, file?.agents ?? []);
  if (agent === null) {
    return unclear(
      'model',
      `model: the session keeps no configuration of agent ${JSON.stringify(id)}. Name a Gemini ` +
        'model in "model"',
      choices,
    );
  }
  if (isGemini(agent)) {
    return unclear(
      'model',
      `model: the configuration of agent ${JSON.stringify(id)} names no model. Name one in "model"`,
      choices,
    );
  }
  const gemini = choices.filter(isGemini);
  const offer = gemini.length === 0 ? '' : `, or in "agent" one of ${listed(gemini)}`;
  return unclear(
    'model',
    `model: agent ${described(agent)} is not a Gemini agent. Name a Gemini model in "model"${offer}`,
    choices,
    '',
  );
}

/** Where no turn was answered, whoever was chosen to. */
function lastWinner({ turns }: Session): string | null {
  const turn = turns.findLast(({ answered, winner }) => answered && winner !== null);
  return (turn ?? turns.findLast(({ winner }) => winner !== null))?.winner ?? null;
}

function onlyAgent(session: Session, inFile: readonly SessionAgent[]): string {
  for (const agents of [session.agents, inFile]) {
    const gemini = agents.filter(isGemini);
    const only = gemini.length === 1 ? gemini[0] : agents.length === 1 ? agents[0] : undefined;
    if (only !== undefined) return only.id;
  }
  if (session.agents.length > 0) {
    throw unclear(
      'agent',
      'agent: the session does not tell who answered last. Name one in "agent"',
      choicesOf(session, inFile),
    );
  }
  return session.agentIds[0] ?? 'agent';
}

/** The file's agent of the same name; else the only one that can be meant. */
function agentInFile({ name, agents }: ConfigFile, id: string): SessionAgent | null {
  if (agents.length === 0) return null;
  const gemini = agents.filter(isGemini);
  const agent =
    agents.find((agent) => agent.id === id) ??
    (agents.length === 1 ? agents[0] : gemini.length === 1 ? gemini[0] : undefined);
  if (agent !== undefined) return agent;
  throw unclear(
    'agent',
    `agent: ${name} configures several agents, and none is ${JSON.stringify(id)}. Name one in "agent"`,
    agents,
  );
}

function choicesOf(session: Session, inFile: readonly SessionAgent[]): readonly SessionAgent[] {
  const choices = [...session.agents];
  const add = (agent: SessionAgent): void => {
    if (!choices.some(({ id }) => id === agent.id)) choices.push(agent);
  };
  inFile.forEach(add);
  for (const id of session.agentIds) {
    add({ id, type: null, model: null, systemMessage: null, backend: {} });
  }
  return choices;
}

function unclear(
  where: 'agent' | 'model',
  message: string,
  choices: readonly SessionAgent[],
  ending = choices.length === 0 ? '' : `. The agents are ${listed(choices)}`,
): ProxyError {
  const agents = choices.slice(0, DETAILS_MAX).map(({ id, type, model }) => ({ id, type, model }));
  return new ProxyError('AGENT_UNCLEAR', `${message}${ending}.`, { where, details: { agents } });
}

function listed(agents: readonly SessionAgent[]): string {
  const more = agents.length > NAMED_MAX ? ` and ${agents.length - NAMED_MAX} more` : '';
  return agents.slice(0, NAMED_MAX).map(described).join(', ') + more;
}

function described({ id, type, model }: SessionAgent): string {
  const known = [type, model].filter((one) => one !== null);
  return known.length === 0 ? id : `${id} (${known.join(', ')})`;
}
