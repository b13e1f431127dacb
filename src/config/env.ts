/** A place in a string where an environment variable could not be put in. */
export interface ExpansionFault {
  /** Index of the `${` in the string. */
  readonly index: number;
  readonly message: string;
  readonly hint: string;
}

const REFERENCE = /\$\{([^}]*)(\}|$)/g;
const NAME = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s;

/**
 * Puts environment variables into a parsed string: `${NAME}`, or `${NAME:-default}` where the
 * default also stands for an empty variable, as in a shell. What comes out is not expanded again,
 * so that a variable's content can do nothing but be content.
 */
export function expandEnv(
  text: string,
  env: NodeJS.ProcessEnv,
): { readonly text: string; readonly faults: readonly ExpansionFault[] } {
  const faults: ExpansionFault[] = [];
  const expanded = text.replace(REFERENCE, (whole, inner: string, end: string, index: number) => {
    const match = end === '}' ? NAME.exec(inner) : null;
    const name = match?.[1];
    if (name === undefined) {
      faults.push({
        index,
        message: 'malformed environment variable',
        hint: 'Write ${NAME} or ${NAME:-default}',
      });
      return whole;
    }
    const value = env[name];
    const fallback = match?.[2];
    if (fallback !== undefined) return value === undefined || value === '' ? fallback : value;
    if (value !== undefined) return value;
    faults.push({
      index,
      message: `environment variable ${name} is not set`,
      hint: `Set it, or write \${${name}:-default}`,
    });
    return whole;
  });
  return { text: expanded, faults };
}
