import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { dirname, join } from 'node:path';
import type { Test } from 'tap';
import { type Gate, startGate } from './gate.ts';
import { bodyOf, listen } from './loopback.ts';

export const LOG = 'log_20260105_101500_000001';

/** A model that answers by hand, a daemon before it, and a root with one log of two turns. */
export interface Stage {
  readonly gate: Gate;
  readonly root: string;
  readonly log: string;
  /** Bodies that came to the model, in order. */
  readonly asked: { readonly path: string; readonly body: Body }[];
  continue(name: string, body: object, headers?: Record<string, string>): Promise<Response>;
}

export interface Body {
  readonly contents: readonly { role: string; parts: readonly { text: string }[] }[];
  readonly systemInstruction?: { parts: readonly { text: string }[] };
  readonly generationConfig?: Record<string, unknown>;
}

export type Answer = (response: ServerResponse, body: Body, path: string) => void;

export const USAGE = { promptTokenCount: 9, candidatesTokenCount: 4, totalTokenCount: 13 };

export function chunkOf(text: string, isLast = true): object {
  const finish = isLast ? { finishReason: 'STOP' } : {};
  const content = { role: 'model', parts: [{ text }] };
  return { candidates: [{ content, ...finish, index: 0 }], usageMetadata: USAGE };
}

export function eventOf(chunk: object): string {
  return `data: ${JSON.stringify(chunk)}\r\n\r\n`;
}

export function answered(text: string): Answer {
  return (response, _body, path) => {
    if (!path.includes('alt=sse')) {
      response.setHeader('content-type', 'application/json');
      return void response.end(JSON.stringify(chunkOf(text)));
    }
    response.setHeader('content-type', 'text/event-stream');
    response.end(eventOf(chunkOf(text.slice(0, 3), false)) + eventOf(chunkOf(text.slice(3))));
  };
}

export async function stage(
  t: Test,
  answer: Answer,
  sessions: Readonly<Record<string, unknown>> = {},
  limits: Readonly<Record<string, unknown>> = {},
): Promise<Stage> {
  const root = join(t.testdir({ logs: {}, records: {} }), 'logs');
  const records = join(dirname(root), 'records');
  const asked: Stage['asked'] = [];
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = JSON.parse((await bodyOf(request)).toString('utf8')) as Body;
    asked.push({ path: request.url ?? '', body });
    answer(response, body, request.url ?? '');
  };
  const server = createServer((request, response) => void serve(request, response));
  const port = await listen(server);
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const gate = await startGate(t, {
    upstreamUrl: `http://127.0.0.1:${port}`,
    config: {
      upstream: { api_key: 'test-key' },
      sessions: { roots: [root], record_dir: records, ...sessions },
      ...limits,
    },
  });
  writeLog(root, LOG);
  return {
    gate,
    root,
    log: join(root, LOG),
    asked,
    continue: (name, body, headers = {}) =>
      fetch(`${gate.url}/sessions/${encodeURIComponent(name)}/continue`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      }),
  };
}

const QUESTIONS = ['How deep is the lake?', 'And how cold?'];
const ANSWERS = ['Forty metres.', 'Four degrees.'];

/** Two turns in MassGen's layout, of two Gemini agents. */
function writeLog(root: string, name: string): void {
  const metadata = (turn: number): string =>
    JSON.stringify({
      query: QUESTIONS[turn - 1],
      timestamp: `2026-01-05T10:1${turn}:00.000001`,
      config: {
        agents: [
          {
            id: 'scout',
            backend: { type: 'gemini', model: 'gemini-2.5-flash', temperature: 0.7, cwd: 'w' },
            system_message: 'Be brief.',
          },
          { id: 'critic', backend: { type: 'gemini', model: 'gemini-2.5-pro' } },
        ],
      },
      cli_args: { mode: 'interactive', turn, session_id: 'session_20260105_101500' },
      massgen_version: '0.1.8',
      working_directory: '/project',
    });
  for (const turn of [1, 2]) {
    const directory = join(root, name, `turn_${turn}`);
    const startedAt = 1_767_608_000 + turn * 60;
    mkdirSync(join(directory, 'final', 'scout'), { recursive: true });
    writeFileSync(join(directory, 'execution_metadata.yaml'), metadata(turn));
    writeFileSync(
      join(directory, 'coordination_events.json'),
      JSON.stringify({
        session_metadata: {
          user_prompt: QUESTIONS[turn - 1],
          agent_ids: ['scout', 'critic'],
          start_time: startedAt,
          end_time: startedAt + 30,
          final_winner: 'scout',
        },
        events: [],
      }),
    );
    writeFileSync(join(directory, 'final', 'scout', 'answer.txt'), ANSWERS[turn - 1] ?? '');
  }
}

export const textsOf = ({ contents }: Body) =>
  contents.map(({ role, parts }) => `${role}: ${parts.map(({ text }) => text).join('')}`);
