import type { Turn } from '../session.ts';
import { type ExecutionMetadata, queryOfTurn, readExecutionMetadata } from './massgen-config.ts';
import {
  draftInEvents,
  type EventsSummary,
  readEvents,
  readStatus,
  type StatusSummary,
} from './massgen-events.ts';
import { type LogFiles, sameText, within } from './massgen-files.ts';
import {
  type FinalAnswer,
  hasSnapshots,
  readAnswer,
  readFinals,
  readSnapshots,
} from './massgen-snapshots.ts';

/** One directory with the files of one run: the turn's own, or one of its attempts. */
export interface RunDirectory {
  readonly path: string;
  readonly events: EventsSummary | null;
  /** Read when it is first asked for: where there are events, it is rarely needed. */
  readonly status: StatusSummary | null;
  readonly finals: readonly FinalAnswer[];
}

/** Everything that the directories of a turn tell, before it is decided what is true. */
export interface TurnDirectory {
  readonly path: string;
  readonly number: number;
  /** The turn's own directory first, then its attempts in the order of their numbers. */
  readonly runs: readonly RunDirectory[];
  /** Read when they are first asked for. */
  readonly metadata: readonly ExecutionMetadata[];
}

interface Sourced {
  readonly text: string;
  readonly source: string;
}

interface Answer extends Sourced {
  readonly encoding: string;
  readonly degraded: boolean;
}

export function readTurnDirectory(files: LogFiles, path: string, number: number): TurnDirectory {
  const attempts = files
    .directories(path)
    .filter((name) => /^attempt_\d{1,6}$/.test(name))
    .toSorted((a, b) => Number(a.slice(8)) - Number(b.slice(8)));
  const directories = [path, ...attempts.map((name) => within(path, name))];
  const metadata = once(() =>
    directories
      .map((directory) => readExecutionMetadata(files, directory))
      .filter((one) => one !== null),
  );
  return {
    path,
    number,
    runs: directories.map((directory) => readRunDirectory(files, directory)),
    get metadata() {
      return metadata();
    },
  };
}

function readRunDirectory(files: LogFiles, path: string): RunDirectory {
  const status = once(() => readStatus(files, path));
  return {
    path,
    events: readEvents(files, path),
    get status() {
      return status();
    },
    finals: readFinals(files, path),
  };
}

function once<Value>(read: () => Value): () => Value {
  let known: { readonly value: Value } | null = null;
  return () => (known ??= { value: read() }).value;
}

/** A turn directory with one question in it, whatever its number of attempts. */
export function readTurn(files: LogFiles, turn: TurnDirectory): Turn {
  const run = acceptedRun(files, turn);
  const final = acceptedFinal(files, turn, run);
  const asked = questionOf(files, turn, run, final);
  const winner = final?.agentId ?? run.events?.finalWinner ?? run.status?.winner ?? null;
  let answer: Answer | null = null;
  if (final?.answer) {
    const doubtful = isDoubtful(files, turn, run, final, asked);
    const { text, encoding } = final.answer;
    answer = { text, source: `${final.directory}/answer.txt`, encoding, degraded: doubtful };
  } else if (winner !== null && (run.events !== null || final !== null)) {
    answer = fallbackAnswer(files, turn, run, winner, asked?.text ?? null);
  }
  if (asked === null) files.warn(turn.path, 'the question of this turn is written nowhere');
  return {
    number: turn.number,
    question: asked?.text ?? null,
    answer: answer?.text ?? null,
    answered: answer !== null,
    winner,
    questionSource: asked?.source ?? null,
    answerSource: answer?.source ?? null,
    encoding: answer?.encoding ?? null,
    degraded: answer?.degraded ?? false,
    directory: turn.path,
  };
}

/**
 * The run whose answer was accepted. The highest number says nothing: a later turn can leave an empty
 * attempt behind. What was presented last counts, then what has a final answer, then what has anything.
 */
function acceptedRun(files: LogFiles, turn: TurnDirectory): RunDirectory {
  const weight = (run: RunDirectory): number => {
    if (run.events !== null) return 4;
    if (run.path !== turn.path && run.finals.some((final) => final.answer !== null)) return 3;
    if (run.status !== null) return 2;
    return hasSnapshots(files, run.path) ? 1 : 0;
  };
  const best = turn.runs.reduce((chosen, run) => {
    const difference = weight(run) - weight(chosen);
    if (difference !== 0) return difference > 0 ? run : chosen;
    // Of two that were presented the later one was accepted; where no time tells, the higher number.
    return (run.events?.endedAtMs ?? Infinity) >= (chosen.events?.endedAtMs ?? 0) && weight(run) > 0
      ? run
      : chosen;
  });
  return laterUnlessLost(turn, best);
}

/** Damaged events of the last attempt must not bring back the attempt that was rejected before it. */
function laterUnlessLost(turn: TurnDirectory, best: RunDirectory): RunDirectory {
  const later = turn.runs.slice(turn.runs.indexOf(best) + 1);
  return later.findLast((run) => run.finals.some((final) => final.answer !== null)) ?? best;
}

function acceptedFinal(
  files: LogFiles,
  turn: TurnDirectory,
  run: RunDirectory,
): FinalAnswer | null {
  const top = turn.runs[0]?.finals ?? [];
  const winner = run.events?.finalWinner ?? run.status?.winner ?? null;
  const prompt = run.events?.userPrompt ?? run.status?.question ?? null;
  for (const finals of [top, run.finals]) {
    const withAnswer = finals.filter((final) => final.answer !== null);
    const own = withAnswer.find((final) => final.agentId === winner);
    if (own !== undefined) return own;
    const fitting = withAnswer.filter(
      (final) => final.question !== null && prompt !== null && sameText(final.question, prompt),
    );
    const only =
      fitting.length > 0
        ? fitting.at(0)
        : winner === null && withAnswer.length === 1
          ? withAnswer[0]
          : undefined;
    if (only !== undefined) {
      if (winner !== null || withAnswer.length > 1) {
        files.warn(only.directory, 'was taken without a record of its winner');
      }
      return only;
    }
  }
  return null;
}

/** In order of trust. The metadata comes last, because a later run may have overwritten it. */
function questionOf(
  files: LogFiles,
  turn: TurnDirectory,
  run: RunDirectory,
  final: FinalAnswer | null,
): Sourced | null {
  if (run.events?.userPrompt) {
    return { text: run.events.userPrompt, source: within(run.path, 'coordination_events.json') };
  }
  const presented = final?.question ?? null;
  const status = run.status?.question ?? null;
  if (status !== null && (presented === null || sameText(status, presented))) {
    return { text: status, source: within(run.path, 'status.json') };
  }
  if (final !== null && presented !== null) {
    if (status !== null) {
      files.warn(within(run.path, 'status.json'), 'names a later question than the one answered');
    }
    return { text: presented, source: `${final.directory}/context.txt` };
  }
  const snapshot = readSnapshots(files, run.path).findLast((one) => one.question !== null);
  if (snapshot?.question && snapshot.questionSource) {
    return { text: snapshot.question, source: snapshot.questionSource };
  }
  for (const metadata of turn.metadata) {
    const query = queryOfTurn(metadata, turn.number);
    if (query !== null) return { text: query, source: metadata.path };
  }
  return null;
}

/** Whether anything on record speaks against the pair of question and final answer. */
function isDoubtful(
  files: LogFiles,
  turn: TurnDirectory,
  run: RunDirectory,
  final: FinalAnswer,
  asked: Sourced | null,
): boolean {
  if (asked === null) return false;
  const path = `${final.directory}/answer.txt`;
  if (final.question !== null && !sameText(final.question, asked.text)) {
    files.warn(path, 'was given to another question than the one recorded');
    return true;
  }
  if (final.question === null && asked.source.endsWith('.yaml')) {
    files.warn(
      path,
      'only the metadata, which a later run may have overwritten, tells its question',
    );
    return true;
  }
  if (final.answer === null) return false;
  const text = final.answer.text;
  const copies = run.path === turn.path ? [] : run.finals;
  if (
    copies.some(
      (copy) => copy.agentId === final.agentId && copy.answer !== null && copy.answer.text !== text,
    )
  ) {
    files.warn(path, 'differs from its copy in the attempt');
    return true;
  }
  return false;
}

function fallbackAnswer(
  files: LogFiles,
  turn: TurnDirectory,
  run: RunDirectory,
  winner: string,
  question: string | null,
): Answer | null {
  for (const directory of new Set([run.path, turn.path])) {
    const outputs = within(directory, 'agent_outputs');
    const shown = files.text(outputs, `final_presentation_${winner}.txt`);
    const body = shown === null ? null : presentationBody(shown.text);
    if (shown !== null && body !== null) {
      const source = within(outputs, `final_presentation_${winner}.txt`);
      files.warn(source, 'stands in for the final answer');
      return { text: body, source, encoding: shown.encoding, degraded: true };
    }
  }
  const drafts = readSnapshots(files, run.path).filter(
    (one) => one.agentId === winner && one.hasAnswer,
  );
  for (const draft of drafts.toReversed()) {
    if (draft.question === null || question === null || !sameText(draft.question, question)) {
      continue;
    }
    const file = readAnswer(files, draft.directory);
    if (file === null) continue;
    const source = `${draft.directory}/answer.txt`;
    files.warn(source, "the winner's draft stands in for the final answer");
    return { text: file.text, source, encoding: file.encoding, degraded: true };
  }
  const text = draftInEvents(files, run.path, winner);
  if (text === null) return null;
  const source = within(run.path, 'coordination_events.json');
  files.warn(source, "the winner's draft stands in for the final answer");
  return { text, source, encoding: 'utf-8', degraded: true };
}

/** Between the rulers of the display's file, without the line that announces the presenter. */
function presentationBody(text: string): string | null {
  const ruler = '='.repeat(60);
  const [, middle] = text.split(ruler);
  if (middle === undefined || text.split(ruler).length < 3) return null;
  const body = middle.replace(/^\s*🎤[^\n]*\n/u, '').trim();
  return body === '' ? null : body;
}
