/** Colours for one stream; without colour every function gives back its text. */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  cyan(text: string): string;
}

/** Colours only on a terminal, and not when NO_COLOR is set (https://no-color.org). */
export function styleFor(
  stream: { readonly isTTY?: boolean },
  env: Readonly<Record<string, string | undefined>>,
): Style {
  const hasColor =
    stream.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
  const paint = (code: number) => (text: string) =>
    hasColor && text !== '' ? `\u001b[${code}m${text}\u001b[0m` : text;
  return {
    bold: paint(1),
    dim: paint(2),
    red: paint(31),
    green: paint(32),
    yellow: paint(33),
    cyan: paint(36),
  };
}

/** Columns of a terminal; 80 where there is none. */
export function columnsOf(stream: { readonly columns?: number }): number {
  return Math.max(40, stream.columns ?? 80);
}

/** Characters that a text takes on the screen; escape sequences take none. */
export function visibleLength(text: string): number {
  return withoutEscapes(text).length;
}

/** Names come from callers; they may not move the cursor or look like a further line. */
export function printable(text: string): string {
  // oxlint-disable-next-line eslint/no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, '?');
}

/** The same for a text of several lines: line ends and tabs stay. */
export function printableText(text: string): string {
  return text
    .replaceAll('\r', '')
    .split(/([\n\t])/)
    .map((piece) => (piece === '\n' || piece === '\t' ? piece : printable(piece)))
    .join('');
}

/** A text as one line of at most `width` characters. */
export function oneLine(text: string, width: number): string {
  return clip(printable(text.replaceAll(/\s+/g, ' ').trim()), width);
}

/**
 * A text as lines of at most `width` characters, broken at spaces; what is behind `linesMax` is cut.
 */
export function wrapped(text: string, width: number, linesMax: number): string[] {
  const lines: string[] = [];
  let rest = oneLine(text, width * (linesMax + 1));
  while (rest !== '' && lines.length < linesMax) {
    const isLast = lines.length === linesMax - 1;
    const space = rest.lastIndexOf(' ', width);
    const at = rest.length <= width || isLast ? rest.length : space > 0 ? space : width;
    lines.push(clip(rest.slice(0, at), width));
    rest = rest.slice(at).trimStart();
  }
  return lines;
}

/** At most `width` characters, the last one an ellipsis when something was cut. For plain text. */
export function clip(text: string, width: number): string {
  if (text.length <= width) return text;
  if (width <= 1) return text.slice(0, Math.max(0, width));
  // Half a surrogate pair would show as a box.
  return `${text.slice(0, width - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}

/** The same for text with colours, which are ended where it is cut. */
export function clipStyled(text: string, width: number): string {
  if (visibleLength(text) <= width) return text;
  let room = Math.max(0, width - 1);
  let clipped = '';
  for (const piece of text.split(ESCAPES)) {
    if (piece.startsWith('\u001b')) clipped += piece;
    else {
      clipped += piece.slice(0, room);
      room -= Math.min(room, piece.length);
    }
  }
  return `${clipped}…`;
}

// oxlint-disable-next-line eslint/no-control-regex
const ESCAPES = /(\u001b\[\d*m)/;

function withoutEscapes(text: string): string {
  // oxlint-disable-next-line eslint/no-control-regex
  return text.replace(/\u001b\[\d*m/g, '');
}
