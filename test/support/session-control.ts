import type { Test } from 'tap';

import { ProxyError } from '../../src/errors.ts';
import type {
  ContinueCaller,
  ContinueReply,
  SessionControl,
} from '../../src/http/session-control.ts';
import type { ContinueRequest } from '../../src/sessions/contracts.ts';
import type { PlannedTurn } from '../../src/sessions/conversations.ts';
import type { SessionLog } from '../../src/sessions/session.ts';
import { startOwnServer } from './own-server.ts';

export const SAMPLE_LOG: SessionLog = {
  name: 'grüße/log_1',
  root: '/logs',
  directory: '/logs/grüße/log_1',
  file: null,
  format: 'massgen',
  store: null,
  beside: '/state/log_1',
};

/** A third turn with a conflict, ready to be sent. */
export function samplePlan(more: Partial<PlannedTurn['continuation']> = {}): PlannedTurn {
  return {
    kind: 'planned',
    claim: 'claim-1',
    log: SAMPLE_LOG,
    foundBy: 'by its name',
    sessionId: 'session-1',
    turn: 3,
    summary: { turns: 2, questions: ['One?', 'Two?'], last_answer: 'Two.' },
    continuation: {
      agent: 'a',
      model: 'gemini-2.5-flash',
      turnsSent: 2,
      tokensEstimated: 40,
      conflicts: [
        {
          key: 'temperature',
          used: { from: 'config', value: 0.2 },
          ignored: { from: 'session', value: 0.7 },
          message: 'temperature: 0.2 (config) instead of 0.7 (session)',
        },
      ],
      warnings: [{ file: 'turn_1/x', message: 'Left out.' }],
      question: 'Three?',
      agentConfig: { id: 'a', systemMessage: null, backend: {} },
      ...more,
    },
    body: Buffer.from('{"contents":[{"role":"user","parts":[{"text":"Drei? \\u00fc"}]}]}'),
  };
}

/** One call of `continue`, as it arrived. */
export interface ContinueCall {
  readonly name: string;
  readonly request: ContinueRequest;
  readonly caller: ContinueCaller;
  readonly reply: ContinueReply;
}

/** The HTTP edge in front of conversations that the test writes; `asked` keeps the names. */
export async function startSessions(
  t: Test,
  script: Partial<Omit<SessionControl, 'continue'>> & {
    readonly onContinue?: (call: ContinueCall) => Promise<void> | void;
    readonly guard?: NonNullable<Parameters<typeof startOwnServer>[1]>['guard'];
  } = {},
) {
  const asked: string[] = [];
  const calls: ContinueCall[] = [];
  const nothing = (name: string): Promise<never> => {
    asked.push(name);
    const roots = [{ path: '/logs', found: 2 }];
    const message = `No session is named ${JSON.stringify(name)}.`;
    return Promise.reject(
      new ProxyError('NOT_FOUND', message, { where: 'logDir', details: { roots } }),
    );
  };
  const sessions: SessionControl = {
    list: () => Promise.resolve({ sessions: [], nextCursor: null }),
    show: nothing,
    history: nothing,
    plan: nothing,
    async continue(name, request, caller, reply) {
      const call = { name, request, caller, reply };
      asked.push(name);
      calls.push(call);
      await script.onContinue?.(call);
    },
    ...script,
  };
  const server = await startOwnServer(t, { sessions, guard: script.guard ?? {} });
  return { ...server, asked, calls };
}
