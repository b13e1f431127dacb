import {
  epochMsOf,
  fieldsOf,
  type LogFiles,
  type LogText,
  textOf,
  within,
} from './massgen-files.ts';

/** One `<agent>/<time>` directory: a draft, a vote, or work that was pre-empted. */
export interface Snapshot {
  readonly agentId: string;
  readonly directory: string;
  /** The directory's name; sorts by time within one log. */
  readonly time: string;
  readonly question: string | null;
  readonly questionSource: string | null;
  /** The conversation so far as the agent saw it. */
  readonly history: string;
  readonly hasAnswer: boolean;
  readonly votedFor: string | null;
  readonly votedAtMs: number | null;
}

/** What stands in `final/<agent>`. */
export interface FinalAnswer {
  readonly agentId: string;
  readonly directory: string;
  /** Null when the file is empty, absent or damaged. */
  readonly answer: LogText | null;
  /** The question that the presenter was asked. */
  readonly question: string | null;
}

export interface Prompt {
  readonly question: string;
  readonly history: string;
}

const TIME = /^\d{8}_\d{6}(?:_\d{6})?$/;
const NOT_AGENTS =
  /^(?:final|agent_outputs|workspaces?|final_workspace|turn_\d+|attempt_\d+|\..*|__.*)$/;
/** An agent id with a slash becomes directories inside directories. */
const ID_DEPTH_MAX = 3;

/** In the order of time. */
export function readSnapshots(files: LogFiles, directory: string): Snapshot[] {
  return snapshotDirectories(files, directory)
    .map(({ agentId, path, time }) => readSnapshot(files, agentId, path, time))
    .toSorted((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
}

export function hasSnapshots(files: LogFiles, directory: string): boolean {
  return snapshotDirectories(files, directory).length > 0;
}

/** Ids of the agents that left a directory, sorted. */
export function agentDirectoryIds(files: LogFiles, directory: string): string[] {
  const ids = snapshotDirectories(files, directory).map((snapshot) => snapshot.agentId);
  return [...new Set(ids)].toSorted();
}

export function readFinals(files: LogFiles, directory: string): FinalAnswer[] {
  const finals: FinalAnswer[] = [];
  const visit = (path: string, agentId: string): void => {
    if (files.has(path, 'answer.txt') || files.has(path, 'context.txt')) {
      finals.push({
        agentId,
        directory: path,
        answer: readAnswer(files, path),
        question: readPrompt(files, path)?.question ?? null,
      });
      return;
    }
    if (agentId.split('/').length >= ID_DEPTH_MAX) return;
    for (const name of files.directories(path)) {
      if (name !== 'workspace') visit(`${path}/${name}`, `${agentId}/${name}`);
    }
  };
  const top = within(directory, 'final');
  if (!files.directories(directory).includes('final')) return [];
  for (const name of files.directories(top)) visit(`${top}/${name}`, name);
  return finals;
}

/** answer.txt of a directory; null with a warning when it is empty or only noise of a failed run. */
export function readAnswer(files: LogFiles, directory: string): LogText | null {
  const file = files.text(directory, 'answer.txt');
  if (file === null) return null;
  const path = within(directory, 'answer.txt');
  if (file.text.trim() === '') files.warn(path, 'is empty');
  else if (file.cut) files.warn(path, 'is too long and was not read');
  else if (isNoise(file.text)) files.warn(path, 'is an error report, not an answer');
  else return file;
  return null;
}

/** What the display prints while agents fail, and an early version took for their answer. */
export function isNoise(text: string): boolean {
  return /^\s*(?:🚀 Starting multi-agent coordination|⚠️ Orchestrator Timeout)/u.test(text);
}

/** The prompt that an agent was given; context.txt is JSON whatever its name says. */
function readPrompt(files: LogFiles, directory: string): Prompt | null {
  const context = files.json(directory, 'context.txt');
  if (context === null) return null;
  const messages = Array.isArray(context['messages']) ? context['messages'] : [];
  const user = messages.map(fieldsOf).findLast((message) => message?.['role'] === 'user');
  const text = textOf(context['user_message']) ?? textOf(user?.['content']);
  return text === null ? null : parsePrompt(text);
}

/** The delimiters are not escaped, so that a history may hold them too: the one after it counts. */
export function parsePrompt(text: string): Prompt | null {
  const historyEnd = '<END OF CONVERSATION_HISTORY>';
  const open = '<ORIGINAL MESSAGE> ';
  const afterHistory = text.lastIndexOf(`${historyEnd}\n\n${open}`);
  const from = text.indexOf(open, Math.max(0, afterHistory));
  if (from < 0) return null;
  const rest = text.slice(from + open.length);
  const end =
    /\s?<END OF ORIGINAL MESSAGE>(?=\n\n<CURRENT ANSWERS|\n<PARAPHRASED|\n\nVOTING RESULTS)/.exec(
      rest,
    );
  const to = end?.index ?? rest.search(/\s?<END OF ORIGINAL MESSAGE>/);
  if (to < 0 || rest.slice(0, to).trim() === '') return null;
  return {
    question: rest.slice(0, to),
    history: afterHistory < 0 ? '' : text.slice(0, afterHistory),
  };
}

interface SnapshotDirectory {
  readonly agentId: string;
  readonly path: string;
  readonly time: string;
}

function snapshotDirectories(files: LogFiles, directory: string): SnapshotDirectory[] {
  const found: SnapshotDirectory[] = [];
  const visit = (path: string, agentId: string, depth: number): void => {
    for (const name of files.directories(path)) {
      const inside = within(path, name);
      if (agentId !== '' && TIME.test(name)) found.push({ agentId, path: inside, time: name });
      else if (
        depth < ID_DEPTH_MAX &&
        (agentId === '' ? !NOT_AGENTS.test(name) : name !== 'workspace')
      ) {
        visit(inside, agentId === '' ? name : `${agentId}/${name}`, depth + 1);
      }
    }
  };
  visit(directory, '', 0);
  return found;
}

function readSnapshot(files: LogFiles, agentId: string, directory: string, time: string): Snapshot {
  const prompt = readPrompt(files, directory);
  const vote = files.json(directory, 'vote.json');
  const task = textOf(fieldsOf(vote?.['vote_context'])?.['current_task']);
  if (prompt !== null && task !== null && prompt.question.trim() !== task.trim()) {
    files.warn(within(directory, 'vote.json'), 'names another question than the context beside it');
  }
  return {
    agentId,
    directory,
    time,
    question: prompt?.question ?? task,
    questionSource:
      prompt !== null
        ? `${directory}/context.txt`
        : task !== null
          ? `${directory}/vote.json`
          : null,
    history: prompt?.history ?? '',
    hasAnswer: files.has(directory, 'answer.txt'),
    votedFor: textOf(vote?.['voted_for']),
    votedAtMs: epochMsOf(vote?.['unix_timestamp']),
  };
}
