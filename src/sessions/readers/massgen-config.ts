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

/** Keys of the file's top as the writer spells them: alone on their line, at its start. */
const TIMESTAMP = /^timestamp: '([^'\n]*)'$/m;
/** The writer puts this key last: without it the file was cut, and the query may be half of one. */
const LAST_KEY = /^working_directory:/m;

/**
 * What the file tells is parsed when it is first asked for: a long session has one for each turn, the
 * newest usually says all that is needed, and parsing 2,000 of them takes 0.6 s.
 */
export function readExecutionMetadata(
  files: LogFiles,
  directory: string,
): ExecutionMetadata | null {
  const path = within(directory, FILE);
  const file = files.text(directory, FILE, BYTES_MAX);
  if (file === null) return null;
  if (file.cut) {
    files.warn(path, 'is too long and was not read');
    return null;
  }
  let content: MetadataContent | null | undefined;
  const parsed = (): MetadataContent | null => {
    if (content === undefined) content = parseMetadata(files, path, file.text);
    return content;
  };
  const timestamp = LAST_KEY.test(file.text) ? TIMESTAMP.exec(file.text)?.[1] : undefined;
  if (timestamp === undefined && parsed() === null) return null;
  return {
    path,
    timestamp: timestamp ?? parsed()?.timestamp ?? '',
    get query() {
      return parsed()?.query ?? null;
    },
    get turn() {
      return parsed()?.turn ?? null;
    },
    get continued() {
      return parsed()?.continued ?? false;
    },
    get sessionId() {
      return parsed()?.sessionId ?? null;
    },
    get version() {
      return parsed()?.version ?? null;
    },
    get agents() {
      return parsed()?.agents ?? [];
    },
  };
}

type MetadataContent = Omit<ExecutionMetadata, 'path'>;

function parseMetadata(files: LogFiles, path: string, text: string): MetadataContent | null {
  const fields = parseYaml(text);
  if (fields === null) {
    files.warn(path, 'is empty or damaged YAML');
    return null;
  }
  const whole = 'working_directory' in fields;
  if (!whole) files.warn(path, 'is not complete');
  const args = fieldsOf(fields['cli_args']) ?? {};
  const sessionId = textOf(args['session_id']);
  const interactive = args['mode'] === 'interactive';
  return {
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
