/** What a property list holds, of the kinds that headgate's own uses. */
export type PlistValue =
  | string
  | number
  | boolean
  | readonly PlistValue[]
  | { readonly [key: string]: PlistValue };

interface Cursor {
  readonly tokens: readonly string[];
  at: number;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&amp;': '&',
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&apos;': "'",
};

/** Reads a property list in XML. Throws on everything that launchd would not take, and on what it does not know. */
export function parsePlist(xml: string): PlistValue {
  const head =
    /^<\?xml version="1\.0" encoding="UTF-8"\?>\s*<!DOCTYPE plist PUBLIC "-\/\/Apple\/\/DTD PLIST 1\.0\/\/EN" "[^"]+">/;
  if (!head.test(xml)) throw new Error('no head of a property list');
  const body = xml.replace(head, '').replaceAll(/<!--(?:(?!--)[^])*-->/g, '');
  const cursor = { tokens: body.match(/<[^>]*>|[^<]+/g) ?? [], at: 0 };
  expect(cursor, '<plist version="1.0">');
  const value = readValue(cursor);
  expect(cursor, '</plist>');
  if (next(cursor) !== undefined) throw new Error('something follows the property list');
  return value;
}

function readValue(cursor: Cursor): PlistValue {
  const tag = next(cursor) ?? 'the end';
  switch (tag) {
    case '<true/>':
      return true;
    case '<false/>':
      return false;
    case '<string>':
      return readText(cursor, '</string>');
    case '<integer>': {
      const text = readText(cursor, '</integer>');
      if (!/^\d+$/.test(text)) throw new Error(`${text} is no integer`);
      return Number(text);
    }
    case '<array>': {
      const values: PlistValue[] = [];
      while (!skips(cursor, '</array>')) values.push(readValue(cursor));
      return values;
    }
    case '<dict>': {
      const entries: [string, PlistValue][] = [];
      while (!skips(cursor, '</dict>')) {
        expect(cursor, '<key>');
        entries.push([readText(cursor, '</key>'), readValue(cursor)]);
      }
      return Object.fromEntries(entries);
    }
    default:
      throw new Error(`${tag} where a value should be`);
  }
}

/** The next tag; blanks between tags mean nothing. */
function next(cursor: Cursor): string | undefined {
  while (cursor.tokens[cursor.at]?.trim() === '') cursor.at += 1;
  return cursor.tokens[cursor.at++];
}

function skips(cursor: Cursor, tag: string): boolean {
  const { at } = cursor;
  if (next(cursor) === tag) return true;
  cursor.at = at;
  return false;
}

function expect(cursor: Cursor, tag: string): void {
  const found = next(cursor);
  if (found !== tag) throw new Error(`${found ?? 'the end'} where ${tag} should be`);
}

function readText(cursor: Cursor, end: string): string {
  let text = '';
  while (cursor.tokens[cursor.at]?.startsWith('<') === false) text += cursor.tokens[cursor.at++];
  expect(cursor, end);
  return text.replaceAll(/&[^;]*;?/g, (entity) => {
    const character = ENTITIES[entity];
    if (character === undefined) throw new Error(`${entity} is no entity`);
    return character;
  });
}
