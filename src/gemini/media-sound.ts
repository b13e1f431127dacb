import type { Measure, Probe } from './media-want.ts';
import { WANT_BYTES_MAX } from './media-want.ts';

/** What a size field holds where the writer could not go back to fill it in. */
const SIZE_UNKNOWN = 0xffff_ffff;

/** The byte rate of `fmt ` over the bytes of `data`, both of which recorders leave at odd sizes. */
export function* probeWav(): Probe {
  let bytesPerSecond = 0;
  let at = 12;
  for (;;) {
    const chunk: Buffer = yield { at, bytes: 20 };
    if (chunk.length < 8) return null;
    const id = chunk.toString('latin1', 0, 4);
    const size = chunk.readUInt32LE(4);
    if (id === 'data') {
      const bytes = size === 0 || size === SIZE_UNKNOWN ? Infinity : size;
      return rate({ from: at + 8, bytes, bytesPerSecond });
    }
    if (id === 'fmt ' && chunk.length === 20) bytesPerSecond = chunk.readUInt32LE(16);
    at += 8 + size + (size % 2);
  }
}

/** Frames and an 80-bit rate, both in COMM. */
export function* probeAiff(): Probe {
  let at = 12;
  for (;;) {
    const chunk: Buffer = yield { at, bytes: 26 };
    if (chunk.length < 26) return null;
    const size = chunk.readUInt32BE(4);
    if (chunk.toString('latin1', 0, 4) === 'COMM') {
      // An exponent with a bias of 16383, then the mantissa, of which the first half is enough.
      const exponent = (chunk.readUInt16BE(16) & 0x7fff) - 16_383 - 31;
      return time(chunk.readUInt32BE(10) / (chunk.readUInt32BE(18) * 2 ** exponent));
    }
    at += 8 + size + (size % 2);
  }
}

/** Microseconds per frame and frames of the main header, which has a fixed place. */
export function* probeAvi(): Probe {
  const head = yield { at: 0, bytes: 52 };
  if (head.length < 52 || head.toString('latin1', 24, 28) !== 'avih') return null;
  return time((head.readUInt32LE(32) * head.readUInt32LE(48)) / 1e6);
}

/** STREAMINFO is always the first block (RFC 9639, section 8.2). */
export function* probeFlac(): Probe {
  const head = yield { at: 0, bytes: 26 };
  if (head.length < 26) return null;
  const samplesPerSecond = head.readUIntBE(18, 3) >>> 4;
  const samples = ((head[21] ?? 0) & 0x0f) * 2 ** 32 + head.readUInt32BE(22);
  return time(samples / samplesPerSecond);
}

/** The position that the last page ends at, in samples (RFC 3533; RFC 7845 for Opus). */
export function* probeOgg(): Probe {
  const head = yield { at: 0, bytes: 128 };
  const packet = 27 + (head[26] ?? 0);
  if (head.length < packet + 19) return null;
  const isOpus = head.toString('latin1', packet, packet + 8) === 'OpusHead';
  if (!isOpus && head.toString('latin1', packet, packet + 7) !== '\x01vorbis') return null;
  // Opus counts at 48 kHz, whatever it was recorded at.
  const samplesPerSecond = isOpus ? 48_000 : head.readUInt32LE(packet + 12);
  const skipped = isOpus ? head.readUInt16LE(packet + 10) : 0;
  const tail = yield { at: -WANT_BYTES_MAX, bytes: WANT_BYTES_MAX };
  let page = tail.lastIndexOf('OggS');
  // A page on which no packet ends has the position -1.
  for (let pages = 0; page >= 0 && pages < OGG_PAGES_MAX; pages += 1) {
    if (page + 14 <= tail.length && tail[page + 4] === 0) {
      const samples = Number(tail.readBigInt64LE(page + 6));
      if (samples >= 0) return time((samples - skipped) / samplesPerSecond);
    }
    page = page === 0 ? -1 : tail.lastIndexOf('OggS', page - 1);
  }
  return null;
}

const OGG_PAGES_MAX = 16;

/**
 * The number of frames where the first one tells it (Xing, Info, VBRI); otherwise the bit rate, when
 * the first frames agree on it.
 */
export function* probeMp3(): Probe {
  const head = yield { at: 0, bytes: 10 };
  const from = head.toString('latin1', 0, 3) === 'ID3' ? tagBytes(head) : 0;
  const frames = yield { at: from, bytes: MP3_BYTES };
  const first = mp3Frame(frames, 0);
  if (first === null) return null;
  const count = frameCount(frames, first);
  if (count !== null) return time((count * first.samples) / first.samplesPerSecond);
  let seen = 0;
  for (let at = 0; at + 4 <= frames.length; seen += 1) {
    const frame = mp3Frame(frames, at);
    if (frame === null) break;
    if (frame.bitsPerSecond !== first.bitsPerSecond) return null;
    at += frame.bytes;
  }
  const isSure = seen >= 2;
  return isSure ? rate({ from, bytes: Infinity, bytesPerSecond: first.bitsPerSecond / 8 }) : null;
}

/** Some ten frames. */
const MP3_BYTES = 8_192;

/** Seven bits in each byte, so that no sync word occurs in them (ID3v2.4, 3.1); 10 for its header. */
function tagBytes(head: Buffer): number {
  let size = 0;
  for (const byte of head.subarray(6, 10)) size = size * 128 + (byte & 0x7f);
  const hasFooter = ((head[5] ?? 0) & 0x10) !== 0;
  return 10 + size + (hasFooter ? 10 : 0);
}

interface Mp3Frame {
  readonly isMpeg1: boolean;
  readonly isMono: boolean;
  readonly bitsPerSecond: number;
  readonly samplesPerSecond: number;
  readonly samples: number;
  readonly bytes: number;
}

/** kbit/s by the header's index: MPEG 1 layer III, MPEG 2 layer III, and layers I and II. */
const KBITS_1_3 = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const KBITS_2_3 = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
const KBITS_1_2 = [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384];
const SAMPLE_RATES = [44_100, 48_000, 32_000];

/** Layers II and III; null for anything else, ADTS with its layer 0 included. */
function mp3Frame(frames: Buffer, at: number): Mp3Frame | null {
  if (at + 4 > frames.length || frames[at] !== 0xff) return null;
  const head = frames.readUInt32BE(at);
  const version = (head >>> 19) & 3;
  const layer = (head >>> 17) & 3;
  const base = SAMPLE_RATES[(head >>> 10) & 3];
  if (head >>> 21 !== 0x7ff || version === 1 || (layer !== 1 && layer !== 2)) return null;
  const isMpeg1 = version === 3;
  const isLayer3 = layer === 1;
  const table = isMpeg1 ? (isLayer3 ? KBITS_1_3 : KBITS_1_2) : KBITS_2_3;
  const bitsPerSecond = (table[(head >>> 12) & 15] ?? 0) * 1_000;
  if (bitsPerSecond === 0 || base === undefined) return null;
  const samplesPerSecond = isMpeg1 ? base : version === 2 ? base / 2 : base / 4;
  const samples = isLayer3 && !isMpeg1 ? 576 : 1_152;
  const bytes = Math.floor((samples * bitsPerSecond) / 8 / samplesPerSecond) + ((head >>> 9) & 1);
  const isMono = ((head >>> 6) & 3) === 3;
  return { isMpeg1, isMono, bitsPerSecond, samplesPerSecond, samples, bytes };
}

function frameCount(frames: Buffer, { isMpeg1, isMono }: Mp3Frame): number | null {
  const at = 4 + (isMpeg1 ? (isMono ? 17 : 32) : isMono ? 9 : 17);
  const name = frames.toString('latin1', at, at + 4);
  if ((name === 'Xing' || name === 'Info') && at + 12 <= frames.length) {
    return (frames.readUInt32BE(at + 4) & 1) === 1 ? frames.readUInt32BE(at + 8) : null;
  }
  const isVbri = frames.toString('latin1', 36, 40) === 'VBRI' && frames.length >= 54;
  return isVbri ? frames.readUInt32BE(50) : null;
}

function time(seconds: number): Measure | null {
  return Number.isFinite(seconds) && seconds > 0 ? { of: 'time', seconds } : null;
}

function rate(found: { from: number; bytes: number; bytesPerSecond: number }): Measure | null {
  return found.bytesPerSecond > 0 ? { of: 'rate', ...found } : null;
}
