import type {
  ConfinedDirectory,
  Session,
  SessionReader,
  SessionWarning,
  Turn,
} from '../session.ts';
import { cleanText } from '../text.ts';
import { isRecord, replayChat, type ChatMessage } from './gemini-cli-messages.ts';

/** Long chats are a few MB; tool results make some larger, and a chat is held in memory twice. */
const FILE_BYTES_MAX = 64 * 1024 * 1024;

/** Metadata is the first line, or the first keys of the object. */
const HEAD_BYTES = 4096;

/** Gemini CLI records no name for its one agent. */
const AGENT_ID = 'gemini-cli';

/** Messages of the tool to its user, which are no part of the conversation. */
const NOTICE_TYPES: ReadonlySet<string> = new Set(['info', 'error', 'warning']);

/**
 * Chats that Gemini CLI records below `~/.gemini/tmp/<project>/chats/`. A chat is one file, so
 * `claims` and `read` take the project's directory and the file's path in it; without a file
 * nothing is claimed, and a session without turns is read.
 */
export const geminiCliReader: SessionReader = {
  format: 'gemini-cli',
  claims(directory, file) {
    if (file === undefined || !/\.jsonl?$/.test(file)) return false;
    const head = directory.read(file, HEAD_BYTES)?.bytes.toString('utf8') ?? '';
    return /^\s*\{/.test(head) && /"sessionId"\s*:/.test(head) && /"projectHash"\s*:/.test(head);
  },
  read: (directory, file) => readChat(directory, file ?? ''),
};

/**
 * Paths of the chats in a project's directory, sorted, which is by start time. A chat that was
 * resumed after the change of format is in both files; only the newer one counts then.
 */
export function geminiCliChatFiles(directory: ConfinedDirectory): readonly string[] {
  const files = directory
    .list('chats')
    .filter((entry) => entry.kind === 'file' && /^session-.*\.jsonl?$/.test(entry.name))
    .map((entry) => `chats/${entry.name}`);
  const known = new Set(files);
  return files.filter((file) => !known.has(`${file}l`));
}

function readChat(directory: ConfinedDirectory, file: string): Session {
  const warnings: SessionWarning[] = [];
  const content = directory.read(file, FILE_BYTES_MAX);
  if (content === null) {
    warnings.push({ file, message: directory.problem(file) ?? 'cannot be read' });
  } else if (content.cut) {
    warnings.push({
      file,
      message: `is longer than ${FILE_BYTES_MAX} bytes; the rest is left out`,
    });
  }
  const chat = replayChat(content?.bytes.toString('utf8') ?? '');
  for (const message of chat.problems) warnings.push({ file, message });
  const types = new Set(chat.messages.map((message) => message.type));
  for (const type of types) {
    if (type === 'user' || type === 'gemini' || NOTICE_TYPES.has(type)) continue;
    warnings.push({
      file,
      message: `messages of unknown type ${JSON.stringify(type)} are left out`,
    });
  }
  const turns = turnsOf(chat.messages, file);
  const model = chat.messages.findLast((message) => message.model !== null)?.model ?? null;
  return {
    format: geminiCliReader.format,
    sessionId: chat.sessionId,
    turns,
    nextTurn: turns.length + 1,
    agents:
      model === null
        ? []
        : [{ id: AGENT_ID, type: 'gemini', model, systemMessage: null, backend: { model } }],
    agentIds: turns.length === 0 ? [] : [AGENT_ID],
    updatedAtMs: chat.updatedAtMs,
    toolVersion: null,
    warnings,
  };
}

/** A question and all that the model said until the next one. */
function turnsOf(messages: readonly ChatMessage[], file: string): readonly Turn[] {
  const turns: Turn[] = [];
  let question: string | null = null;
  let answers: ChatMessage[] = [];
  const finish = (): void => {
    if (question === null && answers.length === 0) return;
    turns.push(turnOf(turns.length + 1, question, answers, file));
    answers = [];
  };
  for (const message of messages) {
    if (message.type === 'gemini') answers.push(message);
    if (message.type !== 'user') continue;
    const text = textOf(message.content);
    // Tool results go back to the model as user messages without text.
    if (text === '' || isInjected(text)) continue;
    finish();
    question = text;
  }
  finish();
  return turns;
}

function turnOf(
  number: number,
  question: string | null,
  messages: readonly ChatMessage[],
  file: string,
): Turn {
  const paragraphs = messages.flatMap((message) => [
    textOf(message.content),
    ...toolNames(message).map((name) => `[tool: ${name}]`),
  ]);
  const answer = paragraphs.filter((paragraph) => paragraph !== '').join('\n\n');
  const last = messages.at(-1);
  // After a tool call the model speaks again; where it does not, the chat was cut off.
  const answered =
    last !== undefined && textOf(last.content) !== '' && toolNames(last).length === 0;
  return {
    number,
    question,
    answer: answer === '' ? null : answer,
    answered,
    winner: answered ? AGENT_ID : null,
    questionSource: question === null ? null : file,
    answerSource: answer === '' ? null : file,
    encoding: answer === '' ? null : 'utf-8',
    degraded: answer !== '' && !answered,
    directory: '.',
  };
}

/** Gemini CLI opens a chat with a description of the machine, in the user's name. */
function isInjected(text: string): boolean {
  return text.startsWith('<session_context>');
}

/** Content is a text, one part, or a list of both; thoughts and parts without text are left out. */
function textOf(content: unknown): string {
  const parts: readonly unknown[] = Array.isArray(content) ? content : [content];
  const texts = parts.map((part) => {
    if (typeof part === 'string') return part;
    if (!isRecord(part) || part['thought'] === true) return '';
    return typeof part['text'] === 'string' ? part['text'] : '';
  });
  return cleanText(texts.join('')).trim();
}

/** Recorded as tool calls, and in newer chats also as parts of the content. */
function toolNames(message: ChatMessage): readonly string[] {
  const calls: readonly unknown[] = Array.isArray(message.toolCalls) ? message.toolCalls : [];
  const parts: readonly unknown[] = Array.isArray(message.content) ? message.content : [];
  const asParts = parts.flatMap((part) => (isRecord(part) ? [part['functionCall']] : []));
  return (calls.length > 0 ? calls : asParts).flatMap((call) =>
    isRecord(call) && typeof call['name'] === 'string' ? [cleanText(call['name'])] : [],
  );
}
