import type { Measure, Probe } from './media-want.ts';

/** IHDR is always the first chunk (PNG specification, section 5.6). */
export function* probePng(): Probe {
  const head = yield { at: 0, bytes: 24 };
  return head.length < 24 ? null : picture(head.readUInt32BE(16), head.readUInt32BE(20));
}

export function* probeGif(): Probe {
  const head = yield { at: 0, bytes: 10 };
  return head.length < 10 ? null : picture(head.readUInt16LE(6), head.readUInt16LE(8));
}

/** The three forms of a first chunk: VP8 lossy (RFC 6386, 9.1), VP8L lossless, VP8X extended. */
export function* probeWebp(): Probe {
  const head = yield { at: 0, bytes: 30 };
  if (head.length < 30) return null;
  switch (head.toString('latin1', 12, 16)) {
    case 'VP8 ':
      return picture(head.readUInt16LE(26) & 0x3fff, head.readUInt16LE(28) & 0x3fff);
    case 'VP8L': {
      const bits = head.readUInt32LE(21);
      return picture((bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1);
    }
    case 'VP8X':
      return picture(head.readUIntLE(24, 3) + 1, head.readUIntLE(27, 3) + 1);
    default:
      return null;
  }
}

/**
 * The frame header comes after previews and colour profiles, some hundred KB in at times, so segments
 * are skipped by their length rather than searched (ITU T.81, annex B).
 */
export function* probeJpeg(): Probe {
  let at = 2;
  for (;;) {
    const segment: Buffer = yield { at, bytes: 9 };
    if (segment.length < 9 || segment[0] !== 0xff) return null;
    const marker = segment[1] ?? 0;
    if (marker === 0xff) {
      at += 1;
    } else if (isFrame(marker)) {
      return picture(segment.readUInt16BE(7), segment.readUInt16BE(5));
    } else if (marker === START_OF_SCAN || marker === END_OF_IMAGE) {
      return null;
    } else {
      at += isBare(marker) ? 2 : 2 + Math.max(2, segment.readUInt16BE(2));
    }
  }
}

const START_OF_SCAN = 0xda;
const END_OF_IMAGE = 0xd9;

/** SOF0 to SOF15; C4, C8 and CC among them are tables and extensions. */
function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

/** Without a length: TEM and the restart marks. */
function isBare(marker: number): boolean {
  return marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7);
}

function picture(width: number, height: number): Measure | null {
  return width > 0 && height > 0 ? { of: 'picture', width, height } : null;
}
