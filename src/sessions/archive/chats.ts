import { geminiCliChatFiles, geminiCliReader } from '../readers/gemini-cli.ts';
import type { ConfinedDirectory } from '../session.ts';

/** The id stands in the first line, or among the first keys of the object. */
const HEAD_BYTES = 4096;
const SESSION_ID = /"sessionId"\s*:\s*"([^"\\]{1,200})"/;

/**
 * The chat that now holds the conversation of `file`: each continuation of a chat is a new file with
 * the same session id beside the old one, and whoever names the old one means the conversation. Paths
 * are relative to the project's directory.
 */
export function newestChat(directory: ConfinedDirectory, file: string): string {
  const idOf = (path: string): string | null =>
    SESSION_ID.exec(directory.read(path, HEAD_BYTES)?.bytes.toString('utf8') ?? '')?.[1] ?? null;
  const id = idOf(file);
  if (id === null) return file;
  const same = geminiCliChatFiles(directory).filter((path) => path !== file && idOf(path) === id);
  let newest = { path: file, updatedAtMs: -Infinity };
  if (same.length === 0) return file;
  for (const path of [file, ...same]) {
    const { turns, updatedAtMs } = geminiCliReader.read(directory, path);
    // Gemini CLI leaves a chat without a question behind whenever it resumes one.
    const atMs = turns.length === 0 ? -Infinity : (updatedAtMs ?? 0);
    if (atMs > newest.updatedAtMs) newest = { path, updatedAtMs: atMs };
  }
  return newest.path;
}
