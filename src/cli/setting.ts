import { isScalar, parseDocument } from 'yaml';
import { CommandFailure } from './context.ts';

/** More than a model takes. */
const SETTINGS_MAX = 100;

/**
 * `KEY=VALUE` each, with values as YAML scalars or JSON: temperature=0.2, stop_sequences=["END"].
 * What is neither is text as it stands, so that a sentence with a colon needs no quotes. Null
 * without any. Throws a CommandFailure for one without a key or with broken JSON.
 */
export function settingsOf(
  pairs: readonly string[] | undefined,
): Readonly<Record<string, unknown>> | null {
  if (pairs === undefined || pairs.length === 0) return null;
  if (pairs.length > SETTINGS_MAX) {
    throw new CommandFailure('usage', `--set is there ${pairs.length} times; 100 are the most`);
  }
  return Object.fromEntries(pairs.map(settingOf));
}

function settingOf(pair: string): readonly [string, unknown] {
  const at = pair.indexOf('=');
  const key = pair.slice(0, Math.max(at, 0)).trim();
  if (key !== '') return [key, valueOf(pair.slice(at + 1).trim(), pair)];
  throw new CommandFailure('usage', `--set is '${pair}'; say KEY=VALUE, such as temperature=0.2`);
}

function valueOf(text: string, pair: string): unknown {
  const document = parseDocument(text);
  const isBroken = document.errors.length > 0;
  if (/^[[{"']/.test(text)) {
    if (!isBroken) return document.toJS() as unknown;
    throw new CommandFailure('usage', `--set ${pair}: the value is neither JSON nor YAML`);
  }
  return !isBroken && isScalar(document.contents) ? document.contents.value : text;
}
