import type { Measure, Probe } from './media-want.ts';

/** The longest header and all of `mvhd` that matters; more always follows. */
const BOX_BYTES = 48;

/** Boxes whose children are looked at. */
const PARENTS: ReadonlySet<string> = new Set(['moov', 'mvex']);

/**
 * The duration of MP4, MOV, M4A and 3GP. `mvhd` lies in `moov`, which comes before the picture data
 * or after it; the boxes are skipped by their size, so its place is known beforehand. A fragmented
 * file says 0 there, and tells the truth in `mehd` or nowhere (ISO/IEC 14496-12, 8.2.2 and 8.8.2).
 */
export function* probeMp4(): Probe {
  let unitsPerSecond = 0;
  let at = 0;
  for (;;) {
    const box: Buffer = yield { at, bytes: BOX_BYTES };
    if (box.length < 16) return null;
    const type = box.toString('latin1', 4, 8);
    const size = box.readUInt32BE(0);
    const isLong = size === 1;
    const header = isLong ? 16 : 8;
    if (type === 'moof' || size === 0) return null;
    if ((type === 'mvhd' || type === 'mehd') && box.length === BOX_BYTES) {
      const body = box.subarray(header);
      // Version 1 has times of 64 bits: creation, modification, then the scale and the duration.
      const isWide = body[0] === 1;
      const isMain = type === 'mvhd';
      const place = isMain ? (isWide ? 24 : 16) : 4;
      if (isMain) unitsPerSecond = body.readUInt32BE(place - 4);
      const units = isWide ? Number(body.readBigUInt64BE(place)) : body.readUInt32BE(place);
      const isKnown = units > 0 && units < (isWide ? Number.MAX_SAFE_INTEGER : 0xffff_ffff);
      if (isKnown && unitsPerSecond > 0) return { of: 'time', seconds: units / unitsPerSecond };
    }
    const bytes = isLong ? Number(box.readBigUInt64BE(8)) : size;
    if (bytes < header) return null;
    at += PARENTS.has(type) ? header : bytes;
  }
}

const SEGMENT = 0x1853_8067;
const INFO = 0x1549_a966;
const CLUSTER = 0x1f43_b675;
const TIMESTAMP_SCALE = 0x2a_d7b1;
const DURATION = 0x4489;
/** Titles and the names of the programs that wrote it are all that is long in it. */
const INFO_BYTES_MAX = 4_096;

/** The duration of WebM and Matroska, in `Info`; browsers that record live leave it out (RFC 9559). */
export function* probeWebm(): Probe {
  let at = 0;
  for (;;) {
    const element = elementAt(yield { at, bytes: 12 }, 0);
    if (element === null || element.id === CLUSTER) return null;
    at += element.header;
    if (element.id === INFO) {
      return durationIn(yield { at, bytes: Math.min(element.size, INFO_BYTES_MAX) });
    }
    if (element.id !== SEGMENT) at += element.size;
  }
}

function durationIn(info: Buffer): Measure | null {
  let nanosecondsPerUnit = 1e6;
  let units = 0;
  for (let at = 0; at < info.length;) {
    const element = elementAt(info, at);
    if (element === null) break;
    const { id, size, header } = element;
    at += header;
    if (at + size > info.length) break;
    if (id === TIMESTAMP_SCALE && size >= 1 && size <= 6) {
      nanosecondsPerUnit = info.readUIntBE(at, size);
    } else if (id === DURATION && (size === 4 || size === 8)) {
      units = size === 4 ? info.readFloatBE(at) : info.readDoubleBE(at);
    }
    at += size;
  }
  const seconds = (units * nanosecondsPerUnit) / 1e9;
  return Number.isFinite(seconds) && seconds > 0 ? { of: 'time', seconds } : null;
}

/** An element's name and size are numbers of 1 to 8 bytes; zeros before the first 1 tell how many. */
function elementAt(bytes: Buffer, at: number): { id: number; size: number; header: number } | null {
  const idBytes = Math.clz32(bytes[at] ?? 0) - 23;
  if (idBytes > 4 || at + idBytes >= bytes.length) return null;
  const first = bytes[at + idBytes] ?? 0;
  const sizeBytes = Math.clz32(first) - 23;
  if (sizeBytes > 8 || at + idBytes + sizeBytes > bytes.length) return null;
  let size = first & (0xff >> sizeBytes);
  for (let next = 1; next < sizeBytes; next += 1) {
    size = size * 256 + (bytes[at + idBytes + next] ?? 0);
  }
  return { id: bytes.readUIntBE(at, idBytes), size, header: idBytes + sizeBytes };
}
