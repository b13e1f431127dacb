import { isDeepStrictEqual } from 'node:util';
import { asArray, asObject } from '../../gemini/json-value.ts';
import { whyNotTaken } from './limits.ts';
import type { ConfigSource, Conflict } from '../contracts.ts';
import { settingOf, type Settings } from './settings-map.ts';

/** What one source says. */
export interface Layer {
  readonly from: ConfigSource;
  readonly settings: Settings;
}

export interface SettingInForce {
  readonly from: ConfigSource;
  readonly value: unknown;
}

export interface SettingsInForce {
  /** By MassGen's key. */
  readonly values: ReadonlyMap<string, SettingInForce>;
  readonly conflicts: readonly Conflict[];
}

/** A value in a message. */
const SHOWN_CHARS_MAX = 60;

/**
 * One value for each key: that of the strongest source that has a usable one. `layers` from strongest
 * to weakest. Everything that loses is a conflict, unless it says the same.
 */
export function mergeLayers(layers: readonly Layer[]): SettingsInForce {
  const values = new Map<string, SettingInForce>();
  const conflicts: Conflict[] = [];
  for (const key of new Set(layers.flatMap(({ settings }) => [...settings.values.keys()]))) {
    const said = layers
      .filter(({ settings }) => settings.values.has(key))
      .map(({ from, settings }) => ({ from, value: settings.values.get(key) }));
    const [used, ...others] = said;
    if (used === undefined) continue;
    if (used.value !== null) values.set(key, used);
    for (const ignored of others) {
      if (ignored.value === null || isDeepStrictEqual(ignored.value, used.value)) continue;
      const now = used.value === null ? 'removed' : shown(used.value);
      const message = `${key}: ${now} (${used.from}) instead of ${shown(ignored.value)} (${ignored.from})`;
      conflicts.push({ key, used, ignored, message });
    }
  }
  for (const { from, settings } of layers) {
    for (const { key, value, why } of settings.unusable) {
      const used = values.get(key) ?? null;
      const instead =
        used === null ? 'it is left out' : `${shown(used.value)} (${used.from}) is used`;
      const message = `${key}: ${shown(value)} (${from}) ${why}; ${instead}`;
      conflicts.push({ key, used, ignored: { from, value }, message });
    }
  }
  return { values, conflicts };
}

/** The same without what the model does not take. */
export function fitToModel(settings: SettingsInForce, model: string): SettingsInForce {
  const values = new Map(settings.values);
  const conflicts = [...settings.conflicts];
  const leaveOut = (key: string, why: string): void => {
    const ignored = values.get(key);
    if (ignored === undefined) return;
    values.delete(key);
    const message = `${key}: ${shown(ignored.value)} (${ignored.from}) is left out: ${why}`;
    conflicts.push({ key, used: null, ignored, message });
  };
  for (const [key, { value }] of settings.values) {
    const why = whyNotTaken(model, { key, value });
    if (why !== null) leaveOut(key, why);
  }
  const budget = values.get('thinking_budget');
  const level = values.get('thinking_level');
  if (budget !== undefined && level !== undefined) {
    // The API takes one of the two. The stronger source wins; from one source, the newer setting.
    const isBudget = STRENGTH.indexOf(budget.from) < STRENGTH.indexOf(level.from);
    leaveOut(
      isBudget ? 'thinking_level' : 'thinking_budget',
      `${isBudget ? 'thinking_budget' : 'thinking_level'} is set, and the API takes one of the two`,
    );
  }
  return { values, conflicts };
}

const STRENGTH: readonly ConfigSource[] = ['request', 'config', 'config_path', 'session'];

/** The fields of a generateContent body beside `contents`. */
export function bodyFields({ values }: SettingsInForce): Record<string, unknown> {
  const body: Record<string, unknown> = {};
  const generationConfig: Record<string, unknown> = {};
  const thinkingConfig: Record<string, unknown> = {};
  const places = { body, generationConfig, thinkingConfig };
  const system = values.get('system_message')?.value;
  if (typeof system === 'string') {
    if (system.trim() !== '') body['systemInstruction'] = { parts: [{ text: system }] };
  } else if (system !== undefined) body['systemInstruction'] = system;
  const tools = toolsOf(values);
  if (tools.length > 0) body['tools'] = tools;
  for (const [key, { value }] of values) {
    const setting = settingOf(key);
    if (setting === null || setting.place === 'special') continue;
    places[setting.place][setting.name] = value;
  }
  if (Object.keys(thinkingConfig).length > 0) generationConfig['thinkingConfig'] = thinkingConfig;
  if (Object.keys(generationConfig).length > 0) body['generationConfig'] = generationConfig;
  return body;
}

/** The settings as MassGen writes them in an agent's backend. */
export function backendOf({ values }: SettingsInForce, model: string): Record<string, unknown> {
  const backend: Record<string, unknown> = { type: 'gemini', model };
  const thinking: Record<string, unknown> = {};
  for (const [key, { value }] of values) {
    if (key === 'agent' || key === 'model' || key === 'system_message') continue;
    if (settingOf(key)?.place === 'thinkingConfig') thinking[key] = value;
    else backend[key] = value;
  }
  if (Object.keys(thinking).length > 0) backend['thinking_config'] = thinking;
  return backend;
}

function toolsOf(values: SettingsInForce['values']): unknown[] {
  const tools = [...asArray(values.get('tools')?.value)];
  const has = (...names: readonly string[]): boolean =>
    tools.some((tool) => names.some((name) => Object.hasOwn(asObject(tool) ?? {}, name)));
  if (values.get('enable_web_search')?.value === true && !has('googleSearch', 'google_search')) {
    tools.push({ googleSearch: {} });
  }
  if (
    values.get('enable_code_execution')?.value === true &&
    !has('codeExecution', 'code_execution')
  ) {
    tools.push({ codeExecution: {} });
  }
  return tools;
}

function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const points = Array.from(text.slice(0, 2 * SHOWN_CHARS_MAX + 2));
  return points.length > SHOWN_CHARS_MAX
    ? `${points.slice(0, SHOWN_CHARS_MAX - 1).join('')}…`
    : text;
}
