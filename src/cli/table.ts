import { clipStyled, visibleLength } from './style.ts';

export interface Column {
  readonly title: string;
  /** Numbers stand at the right. Default left. */
  readonly align?: 'left' | 'right';
}

/**
 * Lines of a table without borders: columns as wide as their widest cell, two spaces between. The
 * last column is cut at `width`, the others never.
 */
export function tableLines(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  options: { readonly width?: number; readonly title?: (text: string) => string } = {},
): string[] {
  const { width = Infinity, title = (text) => text } = options;
  const widths = columns.map((column, at) =>
    Math.max(column.title.length, ...rows.map((row) => visibleLength(row[at] ?? ''))),
  );
  const line = (cells: readonly string[]): string => {
    const padded = cells.map((cell, at) => {
      const space = ' '.repeat(Math.max(0, (widths[at] ?? 0) - visibleLength(cell)));
      return columns[at]?.align === 'right' ? space + cell : cell + space;
    });
    return clipStyled(padded.join('  ').trimEnd(), width);
  };
  const head = line(columns.map((column) => column.title));
  return [title(head), ...rows.map(line)];
}
