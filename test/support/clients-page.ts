import { readFileSync } from 'node:fs';

/** A row of the table in docs/clients.md. */
export interface ClientRow {
  readonly name: string;
  /** As the page has them; empty for a client without a mark. */
  readonly headers: Readonly<Record<string, string>>;
  /** Null where the page says that the configuration decides. */
  readonly holdMs: number | null;
  /** The address in its setting; null where the setting is the URL itself. */
  readonly address: string | null;
  /** The section that it links to; null when it has none. */
  readonly section: ClientSection | null;
}

export interface ClientSection {
  /** Of `headgate env`; null where that command does not know the client. */
  readonly envName: string | null;
  /** What is to be pasted. */
  readonly code: string;
}

const CELLS = 8;

/** What docs/clients.md says. Throws where a row cannot be read, so that none is left out. */
export function clientsPage(): {
  readonly rows: readonly ClientRow[];
  readonly sections: readonly ClientSection[];
} {
  const page = readFileSync(new URL('../../docs/clients.md', import.meta.url), 'utf8');
  const sections = new Map(
    page
      .split('\n## ')
      .slice(1)
      .flatMap((text) => {
        const code = /^```\w+\n(.*?)^```$/ms.exec(text)?.[1];
        const envName = /`headgate env ([\w-]+)`/.exec(text)?.[1] ?? null;
        const [title = ''] = text.split('\n', 1);
        return code === undefined ? [] : [[anchorOf(title), { envName, code }] as const];
      }),
  );
  const lines = page.split('\n').filter((line) => line.startsWith('| '));
  const rows = lines.slice(1).map((line): ClientRow => {
    const cells = line.slice(1, -1).split('|');
    const [name = '', setting = '', mark = '', hold = ''] = cells.map((cell) => cell.trim());
    if (cells.length !== CELLS) throw new Error(`${name} has ${cells.length} cells`);
    const anchor = /\(#([\w-]+)\)/.exec(name)?.[1];
    const section = anchor === undefined ? null : sections.get(anchor);
    if (section === undefined) throw new Error(`${name} links to no section`);
    return {
      name,
      headers: headersOf(mark),
      holdMs: holdOf(hold),
      address: /http:[^`'"]+/.exec(setting)?.[0] ?? null,
      section,
    };
  });
  return { rows, sections: [...sections.values()] };
}

/** As GitHub makes it of a heading. */
function anchorOf(title: string): string {
  return title
    .toLowerCase()
    .replaceAll(/[^\w\s-]/g, '')
    .replaceAll(' ', '-');
}

function headersOf(mark: string): Readonly<Record<string, string>> {
  if (mark === 'nothing that it knows') return {};
  const [, header, value] = /^`([\w-]+): (.+)`$/.exec(mark) ?? [];
  if (header === undefined || value === undefined) throw new Error(`no header is in '${mark}'`);
  return { [header]: value };
}

function holdOf(cell: string): number | null {
  if (cell === '`max_wait`') return null;
  const [, seconds] = /^(\d+) s$/.exec(cell) ?? [];
  if (seconds === undefined) throw new Error(`no time is in '${cell}'`);
  return Number(seconds) * 1000;
}
