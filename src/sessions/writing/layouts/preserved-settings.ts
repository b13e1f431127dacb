/** Settings that are left out of what is written, because they are secrets or may hold some. */
const SECRET_NAME =
  /api_?key|apikey|secret|password|passwd|authorization|credential|cookie|headers?$|^env$|(?:^|_)(?:token|key)$/i;
/** Keys of providers, wherever they stand. */
const SECRET_VALUE = /\b(?:AIza|AQ\.|ya29\.|sk-|xai-|gsk_|gh[pos]_|github_pat_|hf_)[\w.-]{16,}/;
/** MassGen's own state of a run; nothing that a later run should take over. */
const STATE_NAME = /^_|^(?:instance_id|enable_rate_limit|agent_temporary_workspace)$/;
/** No configuration is deeper; what is has been made to exhaust the stack. */
const DEPTH_MAX = 64;

/**
 * A copy of an agent's settings that can be kept in a log: no secrets, no state of a run. What is left
 * out is not replaced, so that nothing is ever sent in its place.
 */
export function preservedSettings(
  settings: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(settings)
      .filter(([name]) => !STATE_NAME.test(name))
      .flatMap((entry) => preservedEntry(entry, 0)),
  );
}

function preservedEntry([name, value]: [string, unknown], depth: number): [string, unknown][] {
  if (SECRET_NAME.test(name) || value === undefined) return [];
  if (typeof value === 'string') return SECRET_VALUE.test(value) ? [] : [[name, value]];
  if (typeof value !== 'object' || value === null) return [[name, value]];
  if (depth >= DEPTH_MAX) return [];
  if (!Array.isArray(value)) {
    const inner = Object.entries(value).flatMap((entry) => preservedEntry(entry, depth + 1));
    return [[name, Object.fromEntries(inner)]];
  }
  const items = value.flatMap((item: unknown) =>
    preservedEntry(['', item], depth + 1).map(([, kept]) => kept),
  );
  return [[name, items]];
}
