import { basename, dirname } from 'node:path';
import { stringify } from 'yaml';
import type { NewTurn } from '../../contracts.ts';
import { parsePrompt } from '../../readers/massgen-snapshots.ts';
import type { Session, SessionLog } from '../../session.ts';
import { KEPT_FILE, keptTurn } from './kept-turn.ts';
import { preservedSettings } from './preserved-settings.ts';
import { safeAgentId } from './safe-name.ts';
import { asciiJson, localIso, utf8 } from './texts.ts';

/** Characters of the answer that MassGen shows in status.json. */
const PREVIEW_CHARS = 200;

interface TurnFacts {
  readonly log: SessionLog;
  readonly session: Session;
  readonly turn: NewTurn;
  readonly number: number;
  /** As it can be a path. */
  readonly agentId: string;
  readonly agentIds: readonly string[];
  /** MassGen's name of the answer: `agent2.final` is that of the second agent of the configuration. */
  readonly label: string;
}

/**
 * The files of one turn as MassGen 0.1.8 to 0.1.46 write them for a turn of one agent, and our own
 * one. What only its coordination of several agents leaves behind (drafts, votes, tables) is not made up.
 */
export function massgenTurnFiles(
  log: SessionLog,
  session: Session,
  turn: NewTurn,
  number: number,
): Map<string, Uint8Array> {
  const agentId = safeAgentId(turn.agentConfig.id);
  const agentIds = [...new Set([...session.agentIds, agentId])];
  const label = `agent${agentIds.indexOf(agentId) + 1}.final`;
  const facts = { log, session, turn, number, agentId, agentIds, label };
  const final = `final/${agentId}`;
  const files = new Map([
    ['execution_metadata.yaml', executionMetadata(facts)],
    ['coordination_events.json', coordinationEvents(facts)],
    ['status.json', status(facts)],
    [KEPT_FILE, utf8(`${JSON.stringify(keptTurn(turn, number), null, 2)}\n`)],
    [`${final}/answer.txt`, utf8(turn.answer)],
  ]);
  const context = finalContext(facts);
  if (context !== null) files.set(`${final}/context.txt`, context);
  return files;
}

/**
 * `working_directory` comes last: readers take a file without it for one that was cut. In YAML 1.1,
 * which PyYAML reads, so that texts like "yes" and "1:30" are quoted.
 */
function executionMetadata({ log, session, turn, number, agentId }: TurnFacts): Uint8Array {
  const { sessionId, toolVersion } = session;
  const metadata = {
    query: turn.question,
    timestamp: localIso(turn.startedAtMs),
    config: { agents: agentsOf(session, turn, agentId) },
    cli_args: {
      mode: 'interactive',
      turn: number,
      ...(sessionId === null ? {} : { session_id: sessionId }),
    },
    ...(toolVersion === null ? {} : { massgen_version: toolVersion }),
    working_directory: workingDirectory(log.directory),
  };
  return utf8(stringify(metadata, { version: '1.1', lineWidth: 0, aliasDuplicateObjects: false }));
}

/** All agents of the session, or the next turn could not be another's. */
function agentsOf(session: Session, turn: NewTurn, agentId: string): unknown[] {
  const { backend, systemMessage } = turn.agentConfig;
  const answering = agentEntry(agentId, backend, systemMessage);
  const known = session.agents.map((agent) =>
    agent.id === turn.agentConfig.id
      ? answering
      : agentEntry(agent.id, agent.backend, agent.systemMessage),
  );
  if (session.agents.length === 0) {
    const others = session.agentIds.filter((id) => id !== turn.agentConfig.id);
    return [answering, ...others.map((id) => agentEntry(id, {}, null))];
  }
  return known.includes(answering) ? known : [...known, answering];
}

function agentEntry(
  id: string,
  backend: Readonly<Record<string, unknown>>,
  systemMessage: string | null,
): object {
  const system = systemMessage === null ? {} : { system_message: systemMessage };
  return { id, backend: preservedSettings(backend), ...system };
}

/** Where MassGen was started: it puts its logs into `.massgen/massgen_logs`, once `massgen_logs`. */
function workingDirectory(directory: string): string {
  const logs = dirname(directory);
  const above = dirname(logs);
  if (basename(logs) !== 'massgen_logs') return logs;
  return basename(above) === '.massgen' ? dirname(above) : above;
}

function event(
  timestamp: number,
  type: string,
  id: string | null,
  details: string,
  more: object = {},
): object {
  const context = { iteration: 0, round: 0, ...more };
  return { timestamp, event_type: type, agent_id: id, details, context };
}

function coordinationEvents({ turn, agentId, agentIds, label }: TurnFacts): Uint8Array {
  const start = turn.startedAtMs / 1000;
  const end = turn.endedAtMs / 1000;
  const answers = { all_answers: [label], answers_for_context: { [label]: turn.answer } };
  return asciiJson({
    session_metadata: {
      user_prompt: turn.question,
      agent_ids: agentIds,
      start_time: start,
      end_time: end,
      final_winner: agentId,
    },
    events: [
      event(start, 'session_start', null, `Started with agents: [${agentId}]`),
      event(end, 'final_agent_selected', agentId, 'Selected as the only agent of this turn', {
        vote_summary: '',
        ...answers,
      }),
      event(end, 'final_answer', agentId, `Presented final answer (${label})`, { label }),
      event(end, 'session_end', null, 'Session completed'),
    ],
  });
}

/** Without a preview, as MassGen leaves it too, readers of it take the turn for one under way. */
function status({ log, turn, number, agentId, label }: TurnFacts): Uint8Array {
  const end = turn.endedAtMs / 1000;
  return asciiJson({
    meta: {
      last_updated: end,
      session_id: `turn_${number}`,
      log_dir: `${basename(log.directory)}/turn_${number}`,
      question: turn.question,
      start_time: turn.startedAtMs / 1000,
      elapsed_seconds: Math.max(0, turn.endedAtMs - turn.startedAtMs) / 1000,
    },
    coordination: {
      phase: 'presentation',
      active_agent: null,
      completion_percentage: 100,
      is_final_presentation: true,
    },
    agents: {
      [agentId]: {
        status: 'answered',
        answer_count: 1,
        latest_answer_label: label,
        vote_cast: null,
        times_restarted: 0,
        last_activity: end,
        error: null,
      },
    },
    results: {
      votes: {},
      winner: agentId,
      final_answer_preview: Array.from(turn.answer.slice(0, 2 * PREVIEW_CHARS))
        .slice(0, PREVIEW_CHARS)
        .join(''),
    },
  });
}

/**
 * The prompt of the final presentation. Its delimiters are not escaped: a question that holds them
 * cannot be read back from it, and is left out rather than found half.
 */
function finalContext({ turn, agentId }: TurnFacts): Uint8Array | null {
  const content = `<ORIGINAL MESSAGE> ${turn.question} <END OF ORIGINAL MESSAGE>`;
  if (parsePrompt(content)?.question !== turn.question) return null;
  return asciiJson({
    messages: [
      { role: 'system', content: turn.agentConfig.systemMessage ?? '' },
      { role: 'user', content },
    ],
    is_final: true,
    vote_summary: '',
    all_answers: {},
    complete_vote_results: {
      vote_counts: {},
      voter_details: {},
      winner: agentId,
      is_tie: false,
      total_votes: 0,
      agents_with_answers: 1,
      agents_voted: 0,
      agent_mapping: {},
    },
    vote_counts: {},
    voter_details: {},
    all_votes: {},
  });
}
