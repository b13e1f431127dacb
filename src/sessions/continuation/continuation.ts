import { ProxyError } from '../../errors.ts';
import { asObject } from '../../gemini/json-value.ts';
import { type ChosenAgent, chooseAgent, isGemini, modelUnclear } from './agent.ts';
import type { ConfigFile } from './config.ts';
import { fitHistory } from './fit.ts';
import { inputRoom, isForeignModel } from './limits.ts';
import {
  backendOf,
  bodyFields,
  fitToModel,
  type Layer,
  mergeLayers,
  type SettingsInForce,
} from './settings.ts';
import type { ConfigSource, Continuation, ContinueRequest } from '../contracts.ts';
import { historyTurns } from './history.ts';
import type { GeminiContent, Session, SessionWarning } from '../session.ts';
import { readSettings } from './settings-map.ts';

/**
 * The next request of a session: its history, the new message, and the settings of the agent that
 * goes on. Pure; linear in what is sent.
 *
 * Throws BAD_REQUEST where the message is missing, SESSION_UNREADABLE where the log has no turn, and
 * AGENT_UNCLEAR where agent or model have to be named, with the choices in `details.agents`.
 */
export function planContinuation(
  session: Session,
  request: ContinueRequest,
  { configFile }: { readonly configFile: ConfigFile | null },
): Continuation {
  const message = messageOf(request);
  if (session.turns.length === 0) {
    throw new ProxyError(
      'SESSION_UNREADABLE',
      'the log has no turn to continue from. Choose another session.',
    );
  }
  const named = namedLayers(request, configFile);
  refuseMisnamed(named);
  const chosen = chooseAgent(session, wantedAgent(named), configFile);
  const layers = withAgents(named, chosen, configFile);
  const merged = mergeLayers(layers);
  const model = modelOf(merged, chosen, named);
  if (model === null) throw modelUnclear(session, chosen, configFile);
  const settings = fitToModel(merged, model);
  const warnings = [...settingWarnings(layers, configFile), ...foreignWarning(model, merged)];

  const history = historyTurns(session);
  const wanted =
    request.turnsMax === null ? history.turns : newest(history.turns, request.turnsMax);
  const fields = bodyFields(settings);
  const maxTokens = settings.values.get('max_tokens')?.value;
  const fitted = fitHistory(wanted, {
    body: { ...fields, contents: [message] },
    model,
    tokensMax: inputRoom(model, typeof maxTokens === 'number' ? maxTokens : null),
  });
  warnings.push(
    ...history.warnings,
    ...lengthWarnings(history.turns.length, wanted.length, fitted.turns.length, model),
  );
  const system = settings.values.get('system_message')?.value;
  return {
    agent: chosen.id,
    model,
    body: { contents: [...fitted.turns.flatMap(({ contents }) => contents), message], ...fields },
    turnsSent: fitted.turns.length,
    tokensEstimated: fitted.tokensEstimated,
    conflicts: settings.conflicts,
    warnings,
    question: message.parts.map(textOf).join('\n'),
    agentConfig: {
      id: chosen.id,
      systemMessage:
        system === undefined ? null : typeof system === 'string' ? system : JSON.stringify(system),
      backend: backendOf(settings, model),
    },
  };
}

function messageOf({ message, parts }: ContinueRequest): GeminiContent {
  for (const [index, part] of (parts ?? []).entries()) {
    if (Object.keys(asObject(part) ?? {}).length > 0) continue;
    throw new ProxyError(
      'BAD_REQUEST',
      `parts[${index}] is not a part of a message. Write it as {"text": "..."} or as another Gemini part.`,
      { where: `parts[${index}]` },
    );
  }
  const text = message === null || message.trim() === '' ? [] : [{ text: message }];
  const all = [...text, ...(parts ?? [])];
  if (all.every((part) => isBlank(part))) {
    throw new ProxyError(
      'BAD_REQUEST',
      'message is empty. Give the next question in "message", or Gemini parts in "parts".',
      { where: 'message' },
    );
  }
  return { role: 'user', parts: all };
}

function isBlank(part: Readonly<Record<string, unknown>>): boolean {
  const { text } = part;
  return Object.keys(part).length === 1 && typeof text === 'string' && text.trim() === '';
}

/** A part as a line of the question: its text, or what it is. */
function textOf(part: Readonly<Record<string, unknown>>): string {
  if (typeof part['text'] === 'string') return part['text'];
  for (const key of ['inlineData', 'inline_data', 'fileData', 'file_data']) {
    const media = asObject(part[key]);
    const type = media?.['mimeType'] ?? media?.['mime_type'];
    if (media !== null) return `[${typeof type === 'string' ? type.slice(0, 100) : 'file'}]`;
  }
  return `[${(Object.keys(part)[0] ?? 'part').slice(0, 100)}]`;
}

/** Sources that may name the agent, from strongest to weakest. */
function namedLayers(request: ContinueRequest, file: ConfigFile | null): Layer[] {
  const { agent, model } = request;
  return [
    { from: 'request', settings: readSettings(withoutNulls({ agent, model })) },
    { from: 'config', settings: readSettings(request.config ?? {}) },
    { from: 'config_path', settings: readSettings(file?.settings ?? {}) },
  ];
}

function withoutNulls(record: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== null));
}

function wantedAgent(layers: readonly Layer[]): string | null {
  const wanted = layers
    .map(({ settings }) => settings.values.get('agent'))
    .find((agent) => agent !== undefined && agent !== null);
  return typeof wanted === 'string' ? wanted : null;
}

/** The same with the agent's own settings: in the file they stand below what the file says at its top. */
function withAgents(
  named: readonly Layer[],
  { inSession, inFile }: ChosenAgent,
  file: ConfigFile | null,
): Layer[] {
  const ofAgent = (agent: typeof inSession): Record<string, unknown> =>
    agent === null
      ? {}
      : { ...withoutNulls({ system_message: agent.systemMessage }), ...agent.backend };
  return [
    ...named.filter(({ from }) => from !== 'config_path'),
    {
      from: 'config_path',
      settings: readSettings({ ...ofAgent(inFile), ...file?.settings }),
    },
    { from: 'session', settings: readSettings(ofAgent(inSession)) },
  ];
}

/** What the request itself names is meant: to fall back on something else would surprise. */
function refuseMisnamed(layers: readonly Layer[]): void {
  const misnamed = layers.find(({ from }) => from === 'request')?.settings.unusable[0];
  if (misnamed === undefined) return;
  const { key, value, why } = misnamed;
  throw new ProxyError('BAD_REQUEST', `${key}: ${JSON.stringify(value)} ${why}.`, { where: key });
}

/** A model that the agent's own configuration names counts only where the agent is a Gemini agent. */
function modelOf(
  { values }: SettingsInForce,
  { inSession, inFile }: ChosenAgent,
  named: readonly Layer[],
): string | null {
  const model = values.get('model');
  if (typeof model?.value !== 'string') return null;
  const isNamed = named.some(({ settings }) => settings.values.get('model') === model.value);
  const agent = model.from === 'session' ? inSession : inFile;
  return isNamed || agent === null || isGemini(agent) ? model.value : null;
}

function settingWarnings(layers: readonly Layer[], file: ConfigFile | null): SessionWarning[] {
  const places: Record<ConfigSource, string> = {
    request: 'request',
    config: 'config',
    config_path: file?.name ?? 'config_path',
    session: '.',
  };
  const warnings: SessionWarning[] = [];
  const lost = new Set<string>();
  for (const { from, settings } of layers) {
    settings.notCarried.forEach((key) => lost.add(key));
    for (const message of settings.remarks) warnings.push({ file: places[from], message });
  }
  if (lost.size > 0) {
    const message = `not carried, since only MassGen has them: ${[...lost].join(', ')}`;
    warnings.push({ file: lastPlace(layers, places), message });
  }
  return warnings;
}

function lastPlace(layers: readonly Layer[], places: Record<ConfigSource, string>): string {
  const layer = layers.findLast(({ settings }) => settings.notCarried.length > 0);
  return places[layer?.from ?? 'session'];
}

function foreignWarning(model: string, { values }: SettingsInForce): SessionWarning[] {
  if (!isForeignModel(model)) return [];
  const message = `${model} does not look like a model of the Gemini API; it is asked for all the same`;
  return [{ file: values.get('model')?.from ?? 'request', message }];
}

function newest<T>(items: readonly T[], count: number): readonly T[] {
  return items.slice(Math.max(0, items.length - Math.max(0, count)));
}

function lengthWarnings(
  known: number,
  wanted: number,
  sent: number,
  model: string,
): SessionWarning[] {
  if (known === 0) {
    const message = 'the history is empty: no turn has both question and answer';
    return [{ file: '.', message }];
  }
  const dropped = wanted - sent;
  if (dropped === 0) return [];
  const message =
    `the history is longer than ${model} takes: the oldest ${dropped} of ${wanted} turns ` +
    `${dropped === 1 ? 'is' : 'are'} left out`;
  return [{ file: '.', message }];
}
