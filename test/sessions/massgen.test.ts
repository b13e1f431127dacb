import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import t from 'tap';
import { openConfined } from '../../src/sessions/confined-directory.ts';
import { massgenReader } from '../../src/sessions/readers/massgen.ts';
import type { Session } from '../../src/sessions/session.ts';
import { decodeText } from '../../src/sessions/text.ts';
import { expectedLogs, LOGS, NO_LOGS } from '../support/recorded-logs.ts';

/** What no file of the log names, so that no reader can know it. */
const WRITTEN_NOWHERE: Readonly<Record<string, readonly string[]>> = {
  'v0.0.14-single': ['gemini_b'],
};

function readLog(path: string): Session {
  return massgenReader.read(openConfined(path));
}

/** Regular files only, relative to the directory. */
function filesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)))
    .toSorted();
}

t.test('every recorded log is read as it was', { skip: NO_LOGS }, async (t) => {
  for (const [path, expected] of expectedLogs()) {
    t.test(`${expected.entry} is read whole`, async (t) => {
      const log = join(LOGS, path);
      t.ok(massgenReader.claims(openConfined(log)), 'it is recognised');
      const session = readLog(log);
      t.strictSame(
        session.turns.map((turn) => ({
          number: turn.number,
          question: turn.question,
          answer: turn.answer,
          answered: turn.answered,
          winner: turn.winner,
          answer_source: turn.answerSource,
          encoding: turn.answer === null ? null : turn.encoding,
          directory: turn.directory,
        })),
        expected.turns.map((turn) => ({
          number: turn.number,
          question: turn.question,
          answer: turn.answer,
          answered: turn.answered,
          winner: turn.winner,
          answer_source: turn.answer_source,
          encoding: turn.answer === null ? null : turn.encoding,
          directory: turn.directory,
        })),
        'the turns',
      );
      t.strictSame(
        session.agents.map(({ id, type, model, systemMessage }) => ({
          id,
          type,
          model,
          systemMessage,
        })),
        (expected.agents ?? []).map((agent) => ({
          id: agent.id,
          type: agent.backend_type,
          model: agent.model,
          systemMessage: agent.system_message,
        })),
        'the agents',
      );
      const unknowable = WRITTEN_NOWHERE[expected.entry] ?? [];
      for (const id of unknowable) {
        const naming = filesIn(log).filter((file) => readFileSync(join(log, file)).includes(id));
        t.strictSame(naming, [], `${id} is named by no file`);
      }
      t.strictSame(
        session.agentIds,
        expected.agent_ids.filter((id) => !unknowable.includes(id)),
        'the ids',
      );
      t.ok(
        expected.next_turn_number_acceptable.includes(session.nextTurn),
        `next is ${session.nextTurn}`,
      );
      t.equal(session.toolVersion, expected.massgen_version, 'the version');
      const named = expected.session_id_source?.startsWith('execution_metadata.yaml') === true;
      t.equal(session.sessionId, named ? expected.session_id : null, 'the session id');
    });
  }
});

t.test(
  'one damaged file never pairs an answer with another question',
  { skip: NO_LOGS },
  async (t) => {
    for (const entry of ['v0.1.8-three-turns', 'v0.1.8-phantom-attempt', 'v0.0.20-rich']) {
      t.test(`${entry} survives damage to each of its files`, async (t) => {
        const [path] = expectedLogs().find(([, log]) => log.entry === entry) ?? [];
        if (path === undefined) return t.fail('the log is not there');
        const log = join(t.testdir(), 'log');
        cpSync(join(LOGS, path), log, { recursive: true, verbatimSymlinks: true });
        const whole = readLog(log);
        const files = filesIn(log);
        let checked = 0;
        for (const file of files) {
          for (const problem of damageEach(log, file, whole)) t.fail(problem);
          checked++;
        }
        t.equal(checked, files.length);
        t.strictSame(readLog(log), whole, 'the log is whole again');
      });
    }
  },
);

/** Damages the file in every way, one at a time, and puts it right again; answers with what went wrong. */
function damageEach(log: string, file: string, whole: Session): string[] {
  const path = join(log, file);
  const bytes = readFileSync(path);
  const problems: string[] = [];
  const check = (kind: string, damage: () => void): void => {
    rmSync(path, { recursive: true });
    damage();
    try {
      problems.push(
        ...problemsOf(readLog(log), whole, file, path).map((one) => `${file} ${kind}: ${one}`),
      );
    } catch (error) {
      problems.push(`${file} ${kind}: ${String(error)}`);
    }
    rmSync(path, { recursive: true, force: true });
    writeFileSync(path, bytes);
  };
  check('deleted', () => {});
  check('emptied', () => writeFileSync(path, ''));
  check('as a directory', () => mkdirSync(path));
  check('as a link', () => symlinkSync('/etc/passwd', path));
  for (let tenth = 0; tenth < 10; tenth++) {
    const length = Math.floor((bytes.length * (tenth * 2 + 1)) / 20);
    check(`cut at ${length}`, () => writeFileSync(path, bytes.subarray(0, length)));
    check(`flipped at ${length}`, () => {
      const flipped = Buffer.from(bytes);
      flipped[length] = (flipped[length] ?? 0) ^ (1 << (tenth % 8));
      writeFileSync(path, flipped);
    });
  }
  for (const { question } of whole.turns) {
    const at = question === null ? -1 : bytes.indexOf(question);
    if (at < 0) continue;
    check('with another question', () => {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ 1;
      writeFileSync(path, flipped);
    });
  }
  return problems;
}

function problemsOf(found: Session, whole: Session, file: string, path: string): string[] {
  const problems: string[] = [];
  if (JSON.stringify(found).includes('root:')) problems.push('shows a file outside');
  for (const turn of found.turns) {
    const { question, answer, degraded } = turn;
    if (question === null || answer === null || degraded) continue;
    if (whole.turns.some((one) => one.question === question && one.answer === answer)) continue;
    // No second copy of it exists, so what stands in the damaged file is all that can be known.
    const own = whole.turns.find((one) => one.answerSource === file && one.question === question);
    if (
      turn.answerSource === file &&
      own !== undefined &&
      decodeText(readFileSync(path)).text === answer
    ) {
      continue;
    }
    problems.push(
      `${JSON.stringify(question)} with ${JSON.stringify(answer)} from ${turn.answerSource}`,
    );
  }
  return problems;
}
