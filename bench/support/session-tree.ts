import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Sizes of what a turn leaves behind, in bytes, about as MassGen 0.1.8 does in long turns. */
export interface TurnSizes {
  /** Of the final answer. Of a draft a tenth. */
  readonly answer: number;
  readonly events: number;
  readonly log: number;
  /** Of one file in the winner's workspace; 0 for no workspace. */
  readonly workspace: number;
}

const AGENTS = ['agent_a', 'agent_b'] as const;
const WINNER = AGENTS[0];
const SENTENCE = 'The gate lets through what the ditch below it can carry, and no more. ';

/** Writes a log of `turns` turns, each in its own `turn_N`, the last of which ends at `endAtMs`. */
export function writeLog(
  directory: string,
  { turns, sizes, endAtMs }: { turns: number; sizes: TurnSizes; endAtMs: number },
): void {
  for (let number = 1; number <= turns; number += 1) {
    writeTurn(join(directory, `turn_${number}`), {
      number,
      sizes,
      endAtMs: endAtMs - (turns - number) * 60_000,
    });
  }
}

export function writeTurn(
  directory: string,
  { number, sizes, endAtMs }: { number: number; sizes: TurnSizes; endAtMs: number },
): void {
  const question = `Question ${number}: how much water passes the gate?`;
  const endS = endAtMs / 1000;
  const write = (path: string, text: string): void => {
    writeFileSync(join(directory, path), text);
  };
  mkdirSync(join(directory, 'final', WINNER, 'workspace'), { recursive: true });
  write('execution_metadata.yaml', metadataOf(number, question, endAtMs));
  write('coordination_events.json', eventsOf(question, endS, sizes.events));
  write('status.json', statusOf(question, endS));
  write('massgen.log', padded('10:15:04 | INFO     | ', sizes.log));
  for (const [index, agent] of AGENTS.entries()) {
    const snapshot = join(agent, `20260105_1015${10 + index}_000000`);
    mkdirSync(join(directory, snapshot), { recursive: true });
    write(join(snapshot, 'answer.txt'), padded(`Draft ${number}. `, sizes.answer / 10));
    write(join(snapshot, 'context.txt'), contextOf(question));
  }
  write(join('final', WINNER, 'answer.txt'), padded(`Answer ${number}. `, sizes.answer));
  write(join('final', WINNER, 'context.txt'), contextOf(question));
  if (sizes.workspace > 0) {
    // Nobody is to read it, so that its size is enough.
    const file = openSync(join(directory, 'final', WINNER, 'workspace', 'map.bin'), 'w');
    ftruncateSync(file, sizes.workspace);
    closeSync(file);
  }
}

function metadataOf(turn: number, query: string, atMs: number): string {
  const agents = AGENTS.map(
    (id) => `  - id: ${id}
    system_message: You measure water.
    backend:
      type: gemini
      model: gemini-2.5-flash
      temperature: 0.3
      max_tokens: 1024
`,
  );
  return `query: '${query}'
timestamp: '${new Date(atMs).toISOString().slice(0, -1)}'
config_path: two.yaml
config:
  agents:
${agents.join('')}  ui:
    display_type: simple
    logging_enabled: true
  timeout_settings: {}
cli_args:
  mode: interactive
  turn: ${turn}
  session_id: session_20260105_101500
python_version: 3.11.7
massgen_version: 0.1.8
working_directory: /home/user/bench
`;
}

/** The metadata come first, as MassGen writes them, and events fill the file. */
function eventsOf(prompt: string, endS: number, bytes: number): string {
  const metadata = {
    user_prompt: prompt,
    agent_ids: AGENTS,
    start_time: endS - 30,
    end_time: endS,
    final_winner: WINNER,
  };
  const event = {
    timestamp: endS - 20,
    event_type: 'iteration_start',
    agent_id: null,
    details: 'Starting coordination iteration 1',
    context: { iteration: 1, available_answers: [], round: 0 },
  };
  const line = JSON.stringify(event, null, 2);
  const count = Math.max(1, Math.floor(bytes / (line.length + 2)));
  const events = Array.from({ length: count }, () => line).join(',\n');
  const head = JSON.stringify(metadata, null, 2);
  return `{\n"session_metadata": ${head},\n"events": [\n${events}\n]\n}`;
}

function statusOf(question: string, endS: number): string {
  return JSON.stringify(
    {
      meta: { last_updated: endS - 10, question, start_time: endS - 30, elapsed_seconds: 20 },
      coordination: { phase: 'presentation', completion_percentage: 100 },
      agents: Object.fromEntries(AGENTS.map((id) => [id, { status: 'voted', answer_count: 1 }])),
      results: { votes: { 'agent1.1': 2 }, winner: WINNER, final_answer_preview: null },
    },
    null,
    2,
  );
}

function contextOf(question: string): string {
  const message = `<ORIGINAL MESSAGE> ${question} <END OF ORIGINAL MESSAGE>`;
  return JSON.stringify({ system_message: '', user_message: message, tools: [] }, null, 2);
}

function padded(start: string, bytes: number): string {
  return start.padEnd(Math.round(bytes), SENTENCE);
}
