import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A page for users or operators. */
export interface DocPage {
  /** From the root of the tree. */
  readonly path: string;
  readonly text: string;
  readonly blocks: readonly DocBlock[];
  /** What stands in backquotes outside of blocks. */
  readonly spans: readonly string[];
}

/** What stands between two fences. */
export interface DocBlock {
  /** Page and line of its first line, for messages. */
  readonly place: string;
  readonly language: string;
  readonly text: string;
  /**
   * Whose file or command it is, where it is not headgate's: what stands in a comment right before it,
   * as in `<!-- check: prometheus -->` or `<!-- check: none, LiteLLM's own file -->`.
   */
  readonly check: string | null;
}

const BLOCK = /(?:^ *<!-- check: (.+?) -->\n\n?)?^( *)```(\w*)\n([\s\S]*?)^\2```$/gm;

/** README.md and every page in docs/. */
export function docPages(): readonly DocPage[] {
  const names = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'));
  return ['README.md', ...names.toSorted().map((name) => `docs/${name}`)].map((path) =>
    readPage(path, readFileSync(join(ROOT, path), 'utf8')),
  );
}

/** A page by its text. */
export function readPage(path: string, text: string): DocPage {
  const blocks = [...text.matchAll(BLOCK)].map((found) => {
    const [whole, check, margin = '', language = '', body = ''] = found;
    const fenceAt = found.index + whole.lastIndexOf(body);
    const line = text.slice(0, fenceAt).split('\n').length;
    // In a list a block stands as deep as its item.
    const flush = body.replaceAll(new RegExp(`^${margin}`, 'gm'), '');
    return { place: `${path}:${line}`, language, text: flush, check: check ?? null };
  });
  const prose = text.replaceAll(BLOCK, '').replaceAll('\\|', '|');
  const spans = [...prose.matchAll(/`([^`]+)`/g)].map(([, span = '']) =>
    span.replaceAll(/\s+/g, ' '),
  );
  return { path, text, blocks, spans };
}
