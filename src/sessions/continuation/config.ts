import { LineCounter, parseDocument, type Document, type Node } from 'yaml';
import { ProxyError } from '../../errors.ts';
import { asObject, asString } from '../../gemini/json-value.ts';
import type { SessionAgent } from '../session.ts';

/** A configuration that a continuation names. */
export interface ConfigFile {
  /** As the user named it. */
  readonly name: string;
  /** Of a MassGen configuration, in its order; empty for a flat mapping of settings. */
  readonly agents: readonly SessionAgent[];
  /** Settings that stand at the top. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** Sections of a MassGen configuration that say nothing about one answer of one agent. */
const SECTIONS: ReadonlySet<string> = new Set([
  'agents',
  'ui',
  'timeout_settings',
  'memory',
  'session_id',
]);

/** An anchor in a configuration saves some typing; a thousand make a bomb. */
const ALIASES_MAX = 100;

type Path = readonly (string | number)[];

/**
 * Reads a MassGen configuration (`agent:` or `agents:`), MassGen's record of one (`config:` around
 * it), or a flat mapping of settings, as YAML or JSON. `name` is for messages. Throws CONFIG_INVALID
 * with file:line:column.
 */
export function parseConfigFile(text: string, name: string): ConfigFile {
  const lines = new LineCounter();
  const options = { lineCounter: lines, prettyErrors: false, schema: 'core', logLevel: 'error' };
  // A wider type than the options have: 'core' and 'error' are literals there.
  const yaml = parseDocument(text, options as Parameters<typeof parseDocument>[1]);
  const fail = (offset: number, message: string): never => {
    const { line, col } = lines.linePos(offset);
    const where = `${name}:${Math.max(line, 1)}:${Math.max(col, 1)}`;
    throw new ProxyError('CONFIG_INVALID', `${where}: ${message}`, { where });
  };
  const [error] = yaml.errors;
  if (error !== undefined) {
    fail(
      error.pos[0],
      error.code === 'DUPLICATE_KEY'
        ? 'the same key is written twice. Keep one of them.'
        : `this is neither YAML nor JSON: ${error.message}`,
    );
  }
  const top = plainValue(yaml, (message) => fail(0, message));
  if (top === null) {
    return fail(0, 'this is no mapping. Write settings as "key: value", or a list of "agents:".');
  }
  const inner = asObject(top['config']);
  const isRecord = inner !== null && ('agents' in inner || 'agent' in inner);
  const base: Path = isRecord ? ['config'] : [];
  return readConfig(isRecord ? inner : top, name, (path, message) =>
    fail(offsetOf(yaml, [...base, ...path]), message),
  );
}

function readConfig(
  config: Readonly<Record<string, unknown>>,
  name: string,
  fail: (path: Path, message: string) => never,
): ConfigFile {
  const settings = Object.fromEntries(
    Object.entries(config).filter(
      ([key, value]) => !SECTIONS.has(key) && !(key === 'agent' && asObject(value) !== null),
    ),
  );
  if ('agents' in config && !Array.isArray(config['agents'])) {
    fail(['agents'], 'agents is not a list. Write each agent as "- id: ...".');
  }
  const agents: SessionAgent[] = [];
  const list: readonly unknown[] = Array.isArray(config['agents']) ? config['agents'] : [];
  for (const [index, entry] of list.entries()) {
    const agent = agentOf(entry, ['agents', index], fail);
    if (agents.some(({ id }) => id === agent.id)) {
      fail(
        ['agents', index, 'id'],
        `there are two agents ${JSON.stringify(agent.id)}. Rename one.`,
      );
    }
    agents.push(agent);
  }
  if (asObject(config['agent']) !== null) agents.push(agentOf(config['agent'], ['agent'], fail));
  return { name, agents, settings };
}

function agentOf(
  entry: unknown,
  path: Path,
  fail: (path: Path, message: string) => never,
): SessionAgent {
  const agent = asObject(entry);
  if (agent === null) return fail(path, 'this agent is no mapping. Give it "id:" and "backend:".');
  const backend = 'backend' in agent ? asObject(agent['backend']) : {};
  if (backend === null) {
    return fail([...path, 'backend'], 'backend is no mapping. Give it "type:" and "model:".');
  }
  const id = agent['id'];
  const index = typeof path[1] === 'number' ? path[1] : 0;
  return {
    id: typeof id === 'string' || typeof id === 'number' ? String(id) : `agent${index + 1}`,
    type: asString(backend['type']),
    model: asString(backend['model']),
    systemMessage:
      asString(backend['system_prompt']) ??
      asString(backend['append_system_prompt']) ??
      asString(agent['system_message']),
    backend,
  };
}

/** Plain data; null where the document is no mapping. Aliases without anchor and bombs fail. */
function plainValue(
  yaml: Document,
  fail: (message: string) => never,
): Readonly<Record<string, unknown>> | null {
  let value: unknown;
  try {
    value = yaml.toJS({ maxAliasCount: ALIASES_MAX });
    // An anchor can hold an alias of itself, which no request body can say.
    JSON.stringify(value);
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
  return asObject(value);
}

/** Of the value at the path, or of the nearest thing around it. */
function offsetOf(yaml: Document, path: Path): number {
  for (let length = path.length; length > 0; length--) {
    // `getIn` with `keepScalar` answers with a node, or with undefined.
    const node = yaml.getIn(path.slice(0, length), true) as Node | null | undefined;
    if (node?.range) return node.range[0];
  }
  return 0;
}
