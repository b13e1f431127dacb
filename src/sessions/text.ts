export interface DecodedText {
  /** Without byte order mark, lines end in LF, every surrogate has its partner. */
  readonly text: string;
  readonly encoding: 'utf-8' | 'windows-1252';
}

/** Stands for what cannot be decoded. */
const REPLACEMENT = '\ufffd';

/** Windows-1252 from 0x80 to 0x9f; the five bytes without a character keep their number (WHATWG Encoding). */
const WINDOWS_1252_HIGH = '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ';

/**
 * Text in the encoding it was written in: UTF-8 where every byte is valid, else windows-1252, which
 * many tools still write on Windows. A file that was cut inside its last character stays UTF-8 when
 * it has another character beyond ASCII, so that one lost byte does not garble the whole text.
 */
export function decodeText(bytes: Uint8Array): DecodedText {
  try {
    return {
      text: cleanText(new TextDecoder('utf-8', { fatal: true }).decode(bytes)),
      encoding: 'utf-8',
    };
  } catch {
    const whole = withoutCutCharacter(bytes);
    if (whole !== null) return { text: cleanText(whole + REPLACEMENT), encoding: 'utf-8' };
    return {
      text: cleanText(decodeWindows1252(bytes)),
      encoding: 'windows-1252',
    };
  }
}

/**
 * LF line ends, and U+FFFD for each half of a surrogate pair that stands alone: JSON can carry one as
 * an escape, and no encoder takes it.
 */
export function cleanText(text: string): string {
  return text
    .replace(/^\ufeff/, '')
    .replaceAll('\r\n', '\n')
    .replace(/\p{Surrogate}/gu, REPLACEMENT);
}

/** By hand: TextDecoder of Node 20 takes windows-1252 for latin1 and answers with control characters. */
function decodeWindows1252(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('latin1')
    .replace(/[\u0080-\u009f]/g, (control) =>
      WINDOWS_1252_HIGH.charAt(control.charCodeAt(0) - 0x80),
    );
}

function withoutCutCharacter(bytes: Uint8Array): string | null {
  for (let cut = 1; cut <= 3 && cut < bytes.length; cut++) {
    const lead = bytes[bytes.length - cut] ?? 0;
    const needs = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
    if (needs <= cut) continue;
    try {
      const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, -cut));
      return /[^\0-\x7f]/.test(text) ? text : null;
    } catch {
      return null;
    }
  }
  return null;
}
