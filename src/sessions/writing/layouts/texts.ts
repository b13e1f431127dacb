/** JSON in ASCII, as MassGen writes it, so that it reads the same in every encoding. Ends in LF. */
export function asciiJson(value: unknown): Uint8Array {
  const text = JSON.stringify(value, null, 2).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return Buffer.from(`${text}\n`, 'ascii');
}

export function utf8(text: string): Uint8Array {
  return Buffer.from(text, 'utf8');
}

/** Local time as Python's `datetime.isoformat()` gives it, without a zone. */
export function localIso(atMs: number): string {
  const at = new Date(atMs);
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return `${day}T${time}.${String(at.getMilliseconds()).padStart(3, '0')}000`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
