import { withKeptContents } from '../writing/layouts/kept-turn.ts';
import type { ConfinedDirectory, Session, SessionReader, Turn } from '../session.ts';
import { type ExecutionMetadata, readExecutionMetadata } from './massgen-config.ts';
import { LogFiles, within } from './massgen-files.ts';
import { mayBeShared, readSharedTurns } from './massgen-legacy.ts';
import { agentDirectoryIds, hasSnapshots, readSnapshots } from './massgen-snapshots.ts';
import { sessionIdInLogFile } from './massgen-session-id.ts';
import { readTurn, readTurnDirectory, type TurnDirectory } from './massgen-turn.ts';
import { turnNames, turnNumberOf, TURNS_LOOKED_INTO, warnOfGaps } from './turn-numbers.ts';

const ATTEMPT = /^attempt_\d{1,6}$/;
const MARKERS = [
  'coordination_events.json',
  'execution_metadata.yaml',
  'massgen.log',
  'massgen_debug.log',
];

/**
 * Log directories of MassGen 0.0.13 to 0.1.46: flat, `turn_N`, `turn_N/attempt_M`, `attempt_M`, and up
 * to 0.0.32 several questions in one directory. Every file may be missing or damaged.
 */
export const massgenReader: SessionReader = {
  format: 'massgen',
  claims: (directory, file) => file === undefined && claimsDirectory(directory),
  read: (directory) => readSession(directory),
};

/** The session id of a log without reading its turns; null where the log tells none. */
export function massgenSessionId(directory: ConfinedDirectory): string | null {
  const files = new LogFiles(directory);
  const turns = ['.', ...turnNames(files)];
  const runsOf = (path: string): string[] => [
    path,
    ...files
      .directories(path)
      .filter((name) => ATTEMPT.test(name))
      .map((name) => within(path, name)),
  ];
  const idIn = (paths: readonly string[]): string | null => {
    const metadata = paths.flatMap(runsOf).map((path) => readExecutionMetadata(files, path));
    return newestSessionId(inTime(metadata.filter((one) => one !== null)));
  };
  // All turns of a log are of one session: where the last ones tell its id, the others are not read.
  return (
    idIn(turns.slice(-TURNS_LOOKED_INTO)) ??
    idIn(turns.slice(0, -TURNS_LOOKED_INTO)) ??
    sessionIdInLogFile(files, turns)
  );
}

function claimsDirectory(directory: ConfinedDirectory): boolean {
  const files = new LogFiles(directory);
  return ['.', ...turnNames(files).slice(0, TURNS_LOOKED_INTO)].some(
    (path) =>
      files.entries(path).some((entry) => MARKERS.includes(entry.name)) ||
      hasData(files, path) ||
      files
        .directories(path)
        .some((name) => ATTEMPT.test(name) && hasData(files, within(path, name))),
  );
}

function readSession(directory: ConfinedDirectory): Session {
  const files = new LogFiles(directory);
  const directories = turnDirectories(files);
  const turns: Turn[] = [];
  for (const one of directories) {
    const found = mayBeShared(files, one)
      ? readSharedTurns(files, one)
      : [withKeptContents(files, readTurn(files, one))];
    for (const turn of found) {
      const number = Math.max(turn.number, (turns.at(-1)?.number ?? 0) + 1);
      if (number !== turn.number) {
        files.warn(turn.directory, `turn ${turn.number} was counted as ${number}`);
      }
      turns.push({ ...turn, number });
    }
  }
  warnOfGaps(files, turns);
  const metadata = newestMetadata(directories);
  const agents = metadata.findLast((one) => one.agents.length > 0)?.agents ?? [];
  if (agents.length === 0) files.warn('.', 'no configuration of the agents is preserved');
  const numbers = turns
    .filter((turn) => turn.question !== null || turn.answer !== null)
    .map((turn) => turn.number);
  const taken = turnNames(files).map(turnNumberOf);
  return {
    format: 'massgen',
    sessionId:
      newestSessionId(metadata) ??
      sessionIdInLogFile(
        files,
        directories.map((one) => one.path),
      ),
    turns,
    nextTurn: Math.max(0, ...numbers, ...taken) + 1,
    agents,
    agentIds:
      agents.length > 0 ? agents.map((agent) => agent.id) : agentIdsOf(files, directories, turns),
    updatedAtMs: updatedAtMsOf(files, directories),
    toolVersion: metadata.findLast((one) => one.version !== null)?.version ?? null,
    warnings: files.warnings,
  };
}

/** In the order of their numbers; a flat log is turn 1, also where later turns were added beside it. */
function turnDirectories(files: LogFiles): TurnDirectory[] {
  const names = turnNames(files);
  const flat = names.length === 0 || (!names.includes('turn_1') && hasData(files, '.'));
  const found = names.map((name) => readTurnDirectory(files, name, turnNumberOf(name)));
  return flat ? [readTurnDirectory(files, '.', 1), ...found] : found;
}

function hasData(files: LogFiles, directory: string): boolean {
  return (
    files.has(directory, 'coordination_events.json') ||
    files.has(directory, 'status.json') ||
    files.directories(directory).includes('final') ||
    files.directories(directory).some((name) => ATTEMPT.test(name)) ||
    hasSnapshots(files, directory)
  );
}

/**
 * In the order of their times. The newest is of one of the last turns, or of the first one, which a
 * continued run overwrites; the others are only read where those tell nothing.
 */
function newestMetadata(directories: readonly TurnDirectory[]): ExecutionMetadata[] {
  const near = [...directories.slice(0, 1), ...directories.slice(1).slice(-TURNS_LOOKED_INTO)];
  const found = inTime(near.flatMap((one) => one.metadata));
  return found.some((one) => one.agents.length > 0)
    ? found
    : inTime(directories.flatMap((one) => one.metadata));
}

/** The zone is not on record, but all times of one log are of the same zone. */
function inTime(metadata: readonly ExecutionMetadata[]): ExecutionMetadata[] {
  return metadata.toSorted((a, b) =>
    a.timestamp < b.timestamp ? -1 : a.timestamp > b.timestamp ? 1 : 0,
  );
}

function newestSessionId(metadata: readonly ExecutionMetadata[]): string | null {
  return metadata.findLast((one) => one.sessionId !== null)?.sessionId ?? null;
}

function agentIdsOf(
  files: LogFiles,
  directories: readonly TurnDirectory[],
  turns: readonly Turn[],
): string[] {
  const runs = directories.flatMap((one) => one.runs).toReversed();
  for (const run of runs) {
    if (run.events !== null && run.events.agentIds.length > 0) return [...run.events.agentIds];
  }
  for (const run of runs) {
    if (run.status !== null && run.status.agentIds.length > 0) return [...run.status.agentIds];
  }
  const ids = new Set(runs.flatMap((run) => agentDirectoryIds(files, run.path)));
  for (const turn of turns) if (turn.winner !== null) ids.add(turn.winner);
  if (ids.size === 0 || runs.every((run) => !hasSnapshots(files, run.path))) {
    for (const one of directories) for (const id of agentIdsInLog(files, one.path)) ids.add(id);
  }
  return [...ids].toSorted();
}

/** Agents that never stored anything are still named by the lines of the orchestrator. */
function agentIdsInLog(files: LogFiles, directory: string): string[] {
  const text = files.text(directory, 'massgen.log')?.text ?? '';
  return [...text.matchAll(/\| \[Orchestrator\] Agent (.{1,255}?) starting execution loop/g)].map(
    (match) => match[1] ?? '',
  );
}

function updatedAtMsOf(files: LogFiles, directories: readonly TurnDirectory[]): number | null {
  const runs = directories.flatMap((one) => one.runs);
  // The events are written after the last status.
  const times = runs.map((run) => run.events?.endedAtMs ?? run.status?.updatedAtMs ?? null);
  const known = times.filter((time) => time !== null);
  const votes =
    known.length > 0
      ? []
      : runs.flatMap((run) => readSnapshots(files, run.path).map((one) => one.votedAtMs));
  const all = [...known, ...votes.filter((time) => time !== null)];
  return all.length > 0 ? Math.max(...all) : null;
}
