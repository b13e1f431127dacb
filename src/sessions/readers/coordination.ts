import { posix } from 'node:path';
import type { ConfinedDirectory, Session, SessionReader, Turn } from '../session.ts';
import {
  answerInCoordination,
  type CoordinationAnswer,
  selectedAgent,
} from './coordination-answer.ts';
import { parseCoordination, type Coordination } from './coordination-record.ts';
import { idOf } from './massgen-events.ts';
import { LogFiles, textOf, within } from './massgen-files.ts';
import { localTimeMs } from './session-store.ts';

const NAME = /^mass_coordination_[^/]*\.json$/;
/** The head of the file is enough to know it. */
const HEAD_BYTES = 512;
/** Each streamed chunk is an object of its own, so that long runs come to tens of MB. */
const FILE_BYTES_MAX = 32 * 1024 * 1024;
/** The display adds it to a question that others went before. */
const EXCHANGES = / \(with (\d{1,6}) previous exchange(?:s|\(s\))?\)$/;

/**
 * MassGen 0.0.3 to 0.0.12: `mass_coordination_<time>.json`, one file for each question, rewritten while
 * the agents work, so that it may be cut. It has no configuration and no session.
 */
export const coordinationReader: SessionReader = {
  format: 'massgen-coordination',
  claims(directory, file) {
    if (file === undefined || !NAME.test(posix.basename(file))) return false;
    const head = directory.read(file, HEAD_BYTES)?.bytes.toString('utf8') ?? '';
    return /^\s*\{\s*"metadata"\s*:\s*\{/.test(head);
  },
  read: (directory, file) => readCoordination(directory, file ?? ''),
};

/** Names of the files in a directory that are such logs, sorted, which is by time. */
export function coordinationFiles(directory: ConfinedDirectory): readonly string[] {
  return directory
    .list('.')
    .filter((entry) => entry.kind === 'file' && NAME.test(entry.name))
    .map((entry) => entry.name);
}

function readCoordination(directory: ConfinedDirectory, file: string): Session {
  const files = new LogFiles(directory);
  const content = files.text(posix.dirname(file), posix.basename(file), FILE_BYTES_MAX);
  if (content === null && files.warnings.length === 0) files.warn(file, 'is absent');
  const record = parseCoordination(content?.text ?? '');
  if (content !== null && !record.whole) {
    files.warn(file, content.cut ? 'is too long and was not read to its end' : 'is damaged JSON');
  }
  const turn = turnOf(files, file, record, content?.encoding ?? null);
  const turns = turn.question === null && turn.answer === null ? [] : [turn];
  const ids = Array.isArray(record.session['agent_ids']) ? record.session['agent_ids'] : [];
  return {
    format: coordinationReader.format,
    sessionId: null,
    turns,
    nextTurn: turns.length + 1,
    agents: [],
    agentIds: ids.map(idOf).filter((id) => id !== null),
    updatedAtMs: localTimeMs(record.metadata['end_time']) ?? lastTimeMs(record),
    toolVersion: null,
    warnings: files.warnings,
  };
}

function turnOf(
  files: LogFiles,
  file: string,
  record: Coordination,
  encoding: string | null,
): Turn {
  const asked = textOf(record.session['question']);
  const earlier = EXCHANGES.exec(asked ?? '')?.[1];
  if (earlier !== undefined) {
    files.warn(file, `continues ${earlier} earlier exchange(s), which are in files of their own`);
  }
  const question = textOf(asked?.replace(EXCHANGES, ''));
  if (question === null) files.warn(file, 'its question is not on record');
  const found = answerInCoordination(record) ?? answerBeside(files, file, record);
  const status = textOf(record.metadata['status']);
  if (found === null || !found.delivered) {
    files.warn(
      file,
      status === 'in_progress'
        ? 'was still being worked on when it was written'
        : status === 'failed'
          ? 'its run failed before the answer was shown'
          : 'has no final answer',
    );
  } else if (found.degraded) {
    files.warn(found.source ?? file, "the winner's draft is the answer that was shown");
  }
  return {
    number: 1,
    question,
    answer: found?.text ?? null,
    answered: found?.delivered ?? false,
    winner: selectedAgent(record),
    questionSource: question === null ? null : file,
    answerSource: found === null ? null : (found.source ?? file),
    encoding: found === null ? null : (found.encoding ?? encoding),
    degraded: found?.degraded ?? false,
    directory: '.',
  };
}

/**
 * The display of the same run wrote the winner's stream beside the log. Each run begins these files
 * anew, so they are of this one only when they ended in the same second.
 */
function answerBeside(
  files: LogFiles,
  file: string,
  record: Coordination,
): CoordinationAnswer | null {
  const winner = selectedAgent(record);
  const ended = textOf(record.metadata['end_time']);
  const outputs = within(posix.dirname(file), 'agent_outputs');
  if (
    winner === null ||
    ended === null ||
    !files.directories(posix.dirname(file)).includes('agent_outputs')
  ) {
    return null;
  }
  const shown = files.text(outputs, `${winner}.txt`);
  const footer = /\n=== SESSION ENDED at (\S+) (\S+) ===\s*$/.exec(shown?.text ?? '');
  if (shown === null || footer === null || !ended.startsWith(`${footer[1]}T${footer[2]}`)) {
    return null;
  }
  const answers = [
    ...shown.text.matchAll(
      /^\[[\d:]+\] \[[A-Z]+\] 💡 Providing answer: "(.*?)"\n(?=\n\[|\n===)/gmsu,
    ),
  ];
  const text = textOf(answers.at(-1)?.[1]);
  if (text === null || text.endsWith('...')) return null;
  const source = within(outputs, `${winner}.txt`);
  files.warn(source, "the winner's draft stands in for the final answer");
  return { text, delivered: false, degraded: true, source, encoding: shown.encoding };
}

function lastTimeMs(record: Coordination): number | null {
  const times = [
    localTimeMs(record.metadata['start_time']),
    ...record.aggregated.map((one) => localTimeMs(one.fields['last_timestamp'])),
  ].filter((time) => time !== null);
  return times.length > 0 ? Math.max(...times) : null;
}
