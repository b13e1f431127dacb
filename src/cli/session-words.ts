import type { SessionWarning } from '../sessions/session.ts';
import { printable } from './style.ts';

/** A label and what it says, in the manner of all talk about sessions. */
export function labelled(label: string, text: string): string {
  return `  ${label.padEnd(8)}  ${text}`;
}

/** "turn_2/answer.txt: is empty": the file first, where there is one. */
export function warningWords({ file, message }: SessionWarning): string {
  return printable(file === '' || file === '.' ? message : `${file}: ${message}`);
}

/** As a shell takes it: in quotes where it has to be. */
export function shellWord(text: string): string {
  const plain = printable(text);
  return /^[\w@%+=:,./-]+$/.test(plain) ? plain : `'${plain.replaceAll("'", String.raw`'\''`)}'`;
}
