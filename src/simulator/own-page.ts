import type { IncomingMessage, ServerResponse } from 'node:http';
import { JSON_TYPE } from './answer.ts';
import type { ArrivalLog } from './arrival.ts';
import { bodyOf } from './body.ts';
import type { Target } from './route.ts';
import { parseScenario, ScenarioError } from './scenario.ts';
import { type Score, scorePage } from './score.ts';
import type { World } from './world.ts';

const SCENARIO_BYTES_MAX = 1_048_576;

/** The simulator's own paths, which no Gemini has. */
export function isOwnPage({ path }: Target): boolean {
  return path === '/__sim' || path.startsWith('/__sim/');
}

/** The score, the arrivals, and new rules for a running simulator. */
export async function serveOwnPage(
  host: {
    readonly world: World;
    readonly log: ArrivalLog;
    readonly score: () => Score;
    readonly reset: () => void;
  },
  request: IncomingMessage,
  response: ServerResponse,
  { path }: Target,
): Promise<void> {
  const body = await bodyOf(request, SCENARIO_BYTES_MAX, () => {});
  const answer = (status: number, contentType: string, content: string): void => {
    response.writeHead(status, { 'content-type': contentType }).end(content);
  };
  switch (`${request.method ?? 'GET'} ${path.replace(/\/$/, '')}`) {
    case 'GET /__sim':
      return answer(200, 'text/html; charset=utf-8', scorePage(host.score()));
    case 'GET /__sim/score':
      return answer(200, JSON_TYPE, JSON.stringify(host.score()));
    case 'GET /__sim/arrivals':
      return answer(200, JSON_TYPE, JSON.stringify(host.log.entries));
    case 'POST /__sim/reset':
      host.reset();
      return answer(200, JSON_TYPE, '{}');
    case 'POST /__sim/scenario':
      try {
        host.world.change(parseScenario(body?.toString('utf8') ?? ''));
        return answer(200, JSON_TYPE, '{}');
      } catch (error) {
        if (!(error instanceof ScenarioError)) throw error;
        return answer(400, 'text/plain; charset=utf-8', `${error.message}\n`);
      }
    default:
      return answer(404, 'text/plain; charset=utf-8', 'not found\n');
  }
}
