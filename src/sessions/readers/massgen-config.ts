import { parseDocument } from 'yaml';
import type { SessionAgent } from '../session.ts';
import { cleanText } from '../text.ts';
import { idOf } from './massgen-events.ts';
import { fieldsOf, type Fields, type LogFiles, textOf, within } from './massgen-files.ts';

const FILE = 'execution_metadata.yaml';
const BYTES_MAX = 1024 * 1024;
/** PyYAML writes an anchor wherever an object is shared; a handful is usual, thousands are an attack. */
const ALIASES_MAX = 1000;

/** execution_metadata.yaml, the only file with the configuration of the agents. */
export interface ExecutionMetadata {
  readonly path: string;
  /** Not to be trusted alone: a continued run overwrites the file of turn 1. */
  readonly query: string | null;
  /** Local time without zone; only good for comparison within one log. */
  readonly timestamp: string;
  /** Of an interactive run; null for a single question. */
  readonly turn: number | null;
  /** Whether it was written by a run that continued an earlier one. */
  readonly continued: boolean;
  readonly sessionId: string | null;
  readonly version: string | null;
  readonly agents: readonly SessionAgent[];
}

export function readExecutionMetadata(
  files: LogFiles,
  directory: string,
): ExecutionMetadata | null {
  const path = within(directory, FILE);
  const file = files.text(directory, FILE, BYTES_MAX);
  if (file === null) return null;
  const fields = file.cut ? null : parseYaml(file.text);
  if (fields === null) {
    files.warn(path, file.cut ? 'is too long and was not read' : 'is empty or damaged YAML');
    return null;
  }
  // The writer puts this key last: without it the file was cut, and the query may be half of one.
  const whole = 'working_directory' in fields;
  if (!whole) files.warn(path, 'is not complete');
  const args = fieldsOf(fields['cli_args']) ?? {};
  const sessionId = textOf(args['session_id']);
  const interactive = args['mode'] === 'interactive';
  return {
    path,
    query: whole ? textOf(fields['query']) : null,
    timestamp: textOf(fields['timestamp']) ?? '',
    turn: typeof args['turn'] === 'number' ? args['turn'] : null,
    continued: !interactive && (args['continue_session'] === true || sessionId !== null),
    sessionId,
    version: textOf(fields['massgen_version']),
    agents: whole ? agentsOf(fieldsOf(fields['config']), files, path) : [],
  };
}

/** The query belongs to this turn only when the run says so itself. */
export function queryOfTurn(metadata: ExecutionMetadata, turn: number): string | null {
  if (metadata.turn !== null) return metadata.turn === turn ? metadata.query : null;
  return !metadata.continued && turn === 1 ? metadata.query : null;
}

function parseYaml(text: string): Fields | null {
  try {
    const document = parseDocument(text, { schema: 'core', uniqueKeys: false, logLevel: 'silent' });
    if (document.errors.length > 0) return null;
    return fieldsOf(document.toJS({ maxAliasCount: ALIASES_MAX }));
  } catch {
    return null;
  }
}

function agentsOf(config: Fields | null, files: LogFiles, path: string): SessionAgent[] {
  if (config === null) return [];
  const list = Array.isArray(config['agents']) ? config['agents'] : [config['agent']];
  const agents: SessionAgent[] = [];
  for (const [index, entry] of list.entries()) {
    const agent = fieldsOf(entry);
    if (agent === null) {
      files.warn(path, `its agent ${index + 1} is not a mapping`);
      continue;
    }
    const backend = fieldsOf(agent['backend']) ?? {};
    agents.push({
      id: idOf(agent['id']) ?? `agent${index + 1}`,
      type: textOf(backend['type']),
      model: textOf(backend['model']),
      systemMessage:
        textOf(backend['system_prompt']) ??
        textOf(backend['append_system_prompt']) ??
        textOf(agent['system_message']),
      backend: cleanBackend(backend),
    });
  }
  return agents;
}

function cleanBackend(backend: Fields): Fields {
  return Object.fromEntries(
    Object.entries(backend).map(([key, value]) => [
      key,
      typeof value === 'string' ? cleanText(value) : value,
    ]),
  );
}
