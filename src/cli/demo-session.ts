import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { loadConfig } from '../config/load.ts';
import type { ContinueAnswer } from '../http/session-views.ts';
import { createLogger } from '../log.ts';
import { makeScenario } from '../simulator/scenario.ts';
import { type CliContext, CommandFailure, printLine } from './context.ts';
import { withDaemon } from './daemon-client.ts';
import { sampleSession } from './sample-session.ts';
import { oneLine, type Style, wrapped } from './style.ts';

const MESSAGE = 'And if the ditch carries half as much in a dry week?';
const TEXT_WIDTH = 80;
const ANSWER_LINES_MAX = 4;

/**
 * Continues a copy of the session log that ships with the package, in front of a simulated Gemini.
 * Throws a CommandFailure when the turn is not taken or not written.
 */
export async function demoSession(context: CliContext, style: Style): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'headgate-demo-'));
  try {
    const name = basename(sampleSession());
    const log = join(directory, 'logs', name);
    cpSync(sampleSession(), log, { recursive: true });
    const answer = await continueIn(context, directory, name);
    tell(context, style, answer, log);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function continueIn(
  context: CliContext,
  directory: string,
  name: string,
): Promise<ContinueAnswer> {
  const file = join(directory, 'demo.yaml');
  const config = { listen: '127.0.0.1:0', sessions: { roots: ['logs'], record_dir: 'records' } };
  // JSON is YAML.
  writeFileSync(file, JSON.stringify({ ...config, storage: { path: 'demo.db' } }));
  const { clock, stderr } = context;
  const { startDaemon } = await import('../daemon.ts');
  const env = { HOME: directory };
  const daemon = await startDaemon({
    clock,
    load: () => loadConfig({ file, env, cwd: directory, flags: { simulate: true } }),
    logger: createLogger({
      level: 'error',
      format: 'pretty',
      destination: stderr,
      secrets: () => [],
      clock,
    }),
    simulate: true,
    scenario: makeScenario({ latency: { first_byte: [150, 400] } }),
  });
  try {
    return await withDaemon({ ...context, env }, { url: daemon.url }, (client) =>
      client.ask<ContinueAnswer>('POST', `/sessions/${name}/continue`, { message: MESSAGE }),
    );
  } finally {
    await daemon.stop();
  }
}

function tell({ stdout }: CliContext, style: Style, answer: ContinueAnswer, log: string): void {
  const { agent, model, session, text } = answer;
  const { questions, turns } = session.summary;
  const say = (line: string): void => printLine(stdout, line);
  say(`  ${basename(log)}: ${turns} turns, answered last by ${agent} (${model})`);
  for (const question of questions) {
    say(`  ${style.dim('asked ')} ${oneLine(question, TEXT_WIDTH)}`);
  }
  say(`  ${style.cyan('now   ')} ${MESSAGE}`);
  const [first = '', ...rest] = wrapped(text, TEXT_WIDTH, ANSWER_LINES_MAX);
  say(`  ${style.green('answer')} ${first}`);
  for (const line of rest) say(`         ${line}`);
  const directory = `turn_${session.turn}`;
  if (!readdirSync(log).includes(directory)) {
    throw new CommandFailure('failed', `the answer came, and ${directory} was not written`);
  }
  say(`  written beside the old turns, as ${directory}/final/${agent}/answer.txt`);
}
