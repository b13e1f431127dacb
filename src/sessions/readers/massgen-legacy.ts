import type { Turn } from '../session.ts';
import { type LogFiles, sameText, within } from './massgen-files.ts';
import { isNoise, readAnswer, readSnapshots, type Snapshot } from './massgen-snapshots.ts';
import { readTurn, type TurnDirectory } from './massgen-turn.ts';

/** One question and what the agents left while they worked on it. */
interface Group {
  readonly question: string;
  readonly snapshots: Snapshot[];
}

/** What the log file says was shown at the end of a question. */
interface Delivery {
  readonly winner: string;
  /** Null when the display failed before it. */
  readonly text: string | null;
}

/**
 * Whether the directory may hold several questions: versions up to 0.0.32 shared one, and wrote
 * neither status nor metadata.
 */
export function mayBeShared(files: LogFiles, turn: TurnDirectory): boolean {
  return turn.runs.length === 1 && !LATER_FILES.some((name) => files.has(turn.path, name));
}

const LATER_FILES = ['status.json', 'execution_metadata.yaml'];

/**
 * The turns of a shared directory. `final/` and the events belong to one question, mostly the first;
 * the agents' directories are sorted by time and separated by the question in their context.
 */
export function readSharedTurns(files: LogFiles, directory: TurnDirectory): Turn[] {
  const snapshots = readSnapshots(files, directory.path);
  const groups = groupByQuestion(snapshots);
  const run = directory.runs[0];
  const presented = run !== undefined && (run.events !== null || run.finals.length > 0);
  if (groups.length <= 1 && presented) return [readTurn(files, directory)];
  const deliveries = readDeliveries(files, directory.path);
  if (groups.length === 0) return turnsOfLogFile(files, directory, deliveries);
  const turns = groups.map((group, index) => {
    const later = groups.slice(index + 1);
    return turnOfGroup(files, directory, group, later, deliveries, groups.length);
  });
  return presented ? withPresented(files, directory, turns) : turns;
}

function groupByQuestion(snapshots: readonly Snapshot[]): Group[] {
  const groups: Group[] = [];
  for (const snapshot of snapshots) {
    if (snapshot.question === null) continue;
    const last = groups.at(-1);
    if (last !== undefined && sameText(last.question, snapshot.question)) {
      last.snapshots.push(snapshot);
    } else groups.push({ question: snapshot.question, snapshots: [snapshot] });
  }
  return groups;
}

function turnOfGroup(
  files: LogFiles,
  directory: TurnDirectory,
  group: Group,
  later: readonly Group[],
  deliveries: readonly Delivery[],
  groupCount: number,
): Turn {
  const number = directory.number + groupCount - later.length - 1;
  const inLog =
    deliveries.length === groupCount ? deliveries[groupCount - later.length - 1] : undefined;
  const winner = inLog?.winner ?? unanimousWinner(group);
  const draft = group.snapshots.findLast((one) => one.agentId === winner && one.hasAnswer);
  const file = draft === undefined ? null : readAnswer(files, draft.directory);
  const source = draft === undefined ? null : `${draft.directory}/answer.txt`;
  // There is no final text: the draft was shown as it is, if the display did not fail before that.
  const delivered =
    file !== null &&
    (deliveries.some(
      (one) => one.winner === winner && one.text !== null && sameText(one.text, file.text),
    ) ||
      later.some((one) =>
        one.snapshots.some((seen) => isInHistory(seen.history, group.question, file.text)),
      ));
  if (source !== null) {
    files.warn(
      source,
      delivered
        ? "the winner's draft is the answer that was shown"
        : 'is a draft that was never shown',
    );
  }
  return {
    number,
    question: group.question,
    answer: delivered ? file.text : null,
    answered: delivered,
    winner,
    questionSource: group.snapshots[0]?.questionSource ?? null,
    answerSource: delivered ? source : null,
    encoding: delivered ? file.encoding : null,
    degraded: delivered,
    directory: directory.path,
  };
}

/** Puts the final answer to the question that it was given to, which is seldom the newest. */
function withPresented(files: LogFiles, directory: TurnDirectory, turns: readonly Turn[]): Turn[] {
  const presented = readTurn(files, directory);
  const { question } = presented;
  if (question === null) {
    files.warn(
      within(directory.path, 'final'),
      'its question is written nowhere, so it was left out',
    );
    return [...turns];
  }
  const index = turns.findIndex(
    (turn) => turn.question !== null && sameText(turn.question, question),
  );
  const joined = index < 0 ? [presented, ...turns] : turns.with(index, presented);
  return joined.map((turn, at) => ({ ...turn, number: directory.number + at }));
}

function isInHistory(history: string, question: string, answer: string): boolean {
  return history.includes(`User: ${question.trim()}\nAssistant: ${answer.trim()}`);
}

/** Ties go by the order of registration, which is not on record: then nobody. */
function unanimousWinner(group: Group): string | null {
  const votes = new Map(
    group.snapshots
      .filter((one) => one.votedFor !== null)
      .map((one) => [one.agentId, one.votedFor]),
  );
  const chosen = new Set(votes.values());
  return chosen.size === 1 ? ([...chosen][0] ?? null) : null;
}

/** Versions 0.0.13 to 0.0.18 can leave nothing but their log file, which does not have the question. */
function turnsOfLogFile(
  files: LogFiles,
  directory: TurnDirectory,
  deliveries: readonly Delivery[],
): Turn[] {
  const path = within(directory.path, 'massgen.log');
  files.warn(directory.path, 'the questions are written nowhere');
  const shown = deliveries.length > 0 ? deliveries : [{ winner: null, text: null }];
  return shown.map(({ winner, text }, index) => ({
    number: directory.number + index,
    question: null,
    answer: text,
    answered: text !== null,
    winner,
    questionSource: null,
    answerSource: text === null ? null : path,
    encoding: text === null ? null : 'utf-8',
    degraded: text !== null,
    directory: directory.path,
  }));
}

/** Messages span lines and are not escaped: a new one starts with a time and a level. */
function readDeliveries(files: LogFiles, directory: string): Delivery[] {
  const file = files.text(directory, 'massgen.log');
  if (file === null) return [];
  const messages = file.text
    .split(/^\d\d:\d\d:\d\d \| [A-Z]+ +\| /m)
    .map((message) => message.trim());
  const deliveries: Delivery[] = [];
  for (const [index, message] of messages.entries()) {
    const winner = /^🏆 Selected Agent: (.+)$/u.exec(content(message) ?? '')?.[1];
    const title = content(messages[index - 1]);
    if (winner === undefined || title?.endsWith('Final Coordinated Answer') !== true) continue;
    const text = content(messages[index + 1]);
    // The line that closes a delivery proves that the text before it is whole.
    const closed = content(messages[index + 2])?.includes('*Coordinated by') === true;
    deliveries.push({
      winner,
      text: closed && text !== null && text !== '' && !isNoise(text) ? text : null,
    });
  }
  return deliveries;
}

function content(message: string | undefined): string | null {
  const prefix = 'Stream chunk [content]:';
  return message?.startsWith(prefix) === true ? message.slice(prefix.length).trim() : null;
}
