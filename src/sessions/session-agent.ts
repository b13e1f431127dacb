import type { SessionLog } from './session.ts';

/** Names of agents have at most 64 characters of a narrow set (`NAME_PATTERN` in gemini/route.ts). */
const NAME_CHARS_MAX = 64;

/** Who asks when a session is continued: `session:` and the session's id, or else its log's name. */
export function sessionAgentName(turn: {
  readonly log: SessionLog;
  readonly sessionId: string | null;
}): string {
  const name = turn.sessionId ?? turn.log.name.replace(/\/+$/, '').split('/').at(-1) ?? '';
  return `session:${name.replaceAll(/[^A-Za-z0-9._:@-]/g, '_')}`.slice(0, NAME_CHARS_MAX);
}
