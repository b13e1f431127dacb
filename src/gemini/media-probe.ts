import { probeAiff, probeAvi, probeFlac, probeMp3, probeOgg, probeWav } from './media-sound.ts';
import { probeGif, probeJpeg, probePng, probeWebp } from './media-picture.ts';
import { probeMp4, probeWebm } from './media-movie.ts';
import { probePdf } from './media-pdf.ts';
import type { Probe } from './media-want.ts';

const SNIFFED_BYTES = 32;

/** Measures a file by what its first bytes say it is, whatever its MIME type claims. */
export function* probeMedia(): Probe {
  const head = yield { at: 0, bytes: SNIFFED_BYTES };
  const probe = probeOf(head);
  return probe === null ? null : yield* probe;
}

function probeOf(head: Buffer): Probe | null {
  const start = head.toString('latin1', 0, 12);
  const form = start.slice(8, 12);
  if (start.startsWith('\x89PNG')) return probePng();
  if (start.startsWith('\xff\xd8\xff')) return probeJpeg();
  if (start.startsWith('GIF8')) return probeGif();
  if (start.startsWith('%PDF')) return probePdf();
  if (start.startsWith('RIFF') || start.startsWith('RF64')) {
    if (form === 'WAVE') return probeWav();
    if (form === 'WEBP') return probeWebp();
    return form === 'AVI ' ? probeAvi() : null;
  }
  if (start.startsWith('FORM') && form.startsWith('AIF')) return probeAiff();
  if (start.startsWith('fLaC')) return probeFlac();
  if (start.startsWith('OggS')) return probeOgg();
  if (start.startsWith('\x1a\x45\xdf\xa3')) return probeWebm();
  if (start.startsWith('ID3')) return probeMp3();
  if (MP4_BOXES.has(start.slice(4, 8))) return STILL_BRANDS.test(form) ? null : probeMp4();
  const isMpegAudio = head[0] === 0xff && ((head[1] ?? 0) & 0xe0) === 0xe0;
  return isMpegAudio ? probeMp3() : null;
}

/** What a file of the MP4 family may begin with; old QuickTime has no ftyp. */
const MP4_BOXES: ReadonlySet<string> = new Set(['ftyp', 'moov', 'mdat', 'wide', 'free', 'skip']);
/** HEIC, HEIF and AVIF: their size lies too deep, and only 2.0 models would ask for it. */
const STILL_BRANDS = /^(?:hei|hev|mif1|msf1|avi[fs])/;
