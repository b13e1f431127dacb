/** One mistake in the configuration, with its place. */
export interface Problem {
  /** The file as the user named it, or the flag or variable at fault. */
  readonly file: string;
  /** Counted from 1; 0 when the mistake has no place inside a file. */
  readonly line: number;
  readonly column: number;
  /** Dotted path of the key, such as `queue.max_wait`; empty for the file as a whole. */
  readonly field: string;
  readonly message: string;
  /** What to do, as a sentence; empty where the message says it all. */
  readonly hint: string;
}

/** Every problem of a configuration at once; the message is all of them, one per line. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.map(formatProblem).join('\n'));
    this.problems = problems;
  }
}

/** `file:line:column: field: message. hint`, where editors and terminals find the place. */
export function formatProblem({ file, line, column, field, message, hint }: Problem): string {
  const place = line === 0 ? file : `${file}:${line}:${column}`;
  const what = field === '' ? message : `${field}: ${message}`;
  return hint === '' ? `${place}: ${what}` : `${place}: ${what}. ${hint}`;
}
