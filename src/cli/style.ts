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

/** Columns of a terminal; 80 where there is none, or it does not say. */
export function columnsOf({ columns = 0 }: { readonly columns?: number }): number {
  return columns > 0 ? Math.max(40, columns) : 80;
}

/** Lines of a terminal; 24 where it does not say. */
export function rowsOf({ rows = 0 }: { readonly rows?: number }): number {
  return rows > 0 ? rows : 24;
}

/** Cells that a text takes on the screen; escape sequences take none, and CJK and emoji two each. */
export function visibleLength(text: string): number {
  const plain = withoutEscapes(text);
  if (NARROW.test(plain)) return plain.length;
  let cells = 0;
  for (const character of plain) cells += cellsOf(character);
  return cells;
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

/** At most `width` cells, the last one an ellipsis when something was cut. For plain text. */
export function clip(text: string, width: number): string {
  if (visibleLength(text) <= width) return text;
  return width <= 1 ? cutAt(text, width) : `${cutAt(text, width - 1)}…`;
}

/** A plain text in exactly `width` cells. */
export function fitted(text: string, width: number): string {
  const clipped = clip(text, width);
  return clipped + ' '.repeat(Math.max(0, width - visibleLength(clipped)));
}

/** The same for text with colours, which are ended where it is cut. */
export function clipStyled(text: string, width: number): string {
  if (visibleLength(text) <= width) return text;
  let room = Math.max(0, width - 1);
  let clipped = '';
  for (const piece of text.split(ESCAPES)) {
    if (piece.startsWith('\u001b')) clipped += piece;
    else {
      clipped += cutAt(piece, room);
      room -= Math.min(room, visibleLength(piece));
    }
  }
  return `${clipped}…`;
}

// oxlint-disable-next-line eslint/no-control-regex
const ESCAPES = /(\u001b\[\d*m)/;

/** What terminals that know Unicode draw in one cell for each UTF-16 unit, bars and dashes included. */
const NARROW = /^[\u0020-\u02ff\u0370-\u0482\u2010-\u2027\u2190-\u21ff\u2500-\u259f]*$/;
const NO_CELLS = /^[\p{M}\p{Cf}]/u;
/** East Asian Wide and emoji, near enough: https://www.unicode.org/reports/tr11/. */
const TWO_CELLS =
  /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]/u;

function cellsOf(character: string): number {
  if (NO_CELLS.test(character)) return 0;
  return TWO_CELLS.test(character) ? 2 : 1;
}

/** As many whole characters as fit into `width` cells. */
function cutAt(text: string, width: number): string {
  let room = width;
  let cut = '';
  for (const character of text) {
    room -= cellsOf(character);
    if (room < 0) break;
    cut += character;
  }
  return cut;
}

function withoutEscapes(text: string): string {
  // oxlint-disable-next-line eslint/no-control-regex
  return text.replace(/\u001b\[\d*m/g, '');
}
