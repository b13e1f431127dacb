import type { Measure } from './media-want.ts';

/** By MIME type; `other` where it is missing or none of these. */
export type MediaKind = 'image' | 'audio' | 'video' | 'pdf' | 'other';

/** How closely a model looks. `ultra_high` exists per part only. */
export type Resolution = 'low' | 'medium' | 'high' | 'ultra_high';

/** The part of a video that is looked at; null where not said. */
export interface Clip {
  readonly startSeconds: number | null;
  readonly endSeconds: number | null;
  /** Frames per second; 1 by default. */
  readonly fps: number | null;
}

/** A medium and all that is known of it. */
export interface Medium {
  readonly kind: MediaKind;
  /** Its own, which only models from 3 on heed. */
  readonly resolution: Resolution | null;
  /** Of the file itself. */
  readonly bytes: number;
  /** Length of its base64 as written; 0 for a file elsewhere. */
  readonly base64Bytes: number;
  readonly measure: Measure | null;
  readonly clip: Clip;
}

/**
 * Media of one kind and resolution together, so that a body of a million thumbnails takes no memory.
 * What a model charges for: each as expected and as the most it can be.
 */
export interface MediaTotal {
  readonly kind: MediaKind;
  readonly resolution: Resolution | null;
  readonly items: number;
  readonly base64Bytes: number;
  readonly bytes: number;
  /** Squares that a 2.0 model cuts images into. */
  readonly tiles: number;
  readonly tilesMax: number;
  readonly pages: number;
  readonly pagesMax: number;
  readonly seconds: number;
  readonly secondsMax: number;
  readonly frames: number;
  readonly framesMax: number;
}

export const WHOLE: Clip = { startSeconds: null, endSeconds: null, fps: null };

/** Bytes of ordinary files and of the leanest, where the file itself does not tell. */
const PDF_PAGE_BYTES = 50_000;
const PDF_PAGE_BYTES_MIN = 2_000;
const AUDIO_SECOND_BYTES = 16_000;
const AUDIO_SECOND_BYTES_MIN = 1_000;
const VIDEO_SECOND_BYTES = 250_000;
const VIDEO_SECOND_BYTES_MIN = 10_000;
/** A tile is about this much JPEG. */
const TILE_BYTES = 80_000;

/** "A maximum of 1000 document pages" (document processing page). */
const PDF_PAGES_MAX = 1_000;
/** A day: far beyond every window, and it keeps a header that lies from spoiling a sum. */
const SECONDS_MAX = 86_400;
/** "fps: (0.0, 24.0]" (API reference, VideoMetadata). */
const FPS_MAX = 24;
/** Decoders pad, and containers round: a measured duration may be off by so much. */
const SECONDS_SLACK = 1;
const SLACK = 1.01;

/** An image is scaled down to 3072 pixels at most, so 12 by 2 tiles and the overview are the most. */
const IMAGE_PIXELS_MAX = 3_072;
const TILES_MAX = 25;
const SINGLE_TILE_PIXELS = 384;
const TILE_PIXELS_MIN = 256;
const TILE_PIXELS_MAX = 768;

/** What one medium amounts to. */
export function totalOf(medium: Medium): MediaTotal {
  const { kind, resolution, bytes, base64Bytes } = medium;
  const none = { tiles: 0, tilesMax: 0, pages: 0, pagesMax: 0 };
  const silent = { seconds: 0, secondsMax: 0, frames: 0, framesMax: 0 };
  const own =
    kind === 'image'
      ? imageTiles(medium)
      : kind === 'pdf'
        ? pdfPages(medium)
        : kind === 'other'
          ? {}
          : duration(medium);
  return { kind, resolution, items: 1, base64Bytes, bytes, ...none, ...silent, ...own };
}

/** Adds totals up by kind and resolution. */
export function addTotals(totals: Iterable<MediaTotal>): MediaTotal[] {
  const sums = new Map<string, MediaTotal>();
  for (const total of totals) {
    const key = `${total.kind} ${total.resolution ?? ''}`;
    const known = sums.get(key);
    sums.set(key, known === undefined ? total : sumOf(known, total));
  }
  return [...sums.values()];
}

/** Both of one kind and resolution. */
export function sumOf(a: MediaTotal, b: MediaTotal): MediaTotal {
  return {
    kind: a.kind,
    resolution: a.resolution,
    items: a.items + b.items,
    base64Bytes: a.base64Bytes + b.base64Bytes,
    bytes: a.bytes + b.bytes,
    tiles: a.tiles + b.tiles,
    tilesMax: a.tilesMax + b.tilesMax,
    pages: a.pages + b.pages,
    pagesMax: a.pagesMax + b.pagesMax,
    seconds: a.seconds + b.seconds,
    secondsMax: a.secondsMax + b.secondsMax,
    frames: a.frames + b.frames,
    framesMax: a.framesMax + b.framesMax,
  };
}

/** The kind that a MIME type names; OpenAI's input_audio gives the bare format. */
export function kindOf(mime: string | null): MediaKind {
  const type = (mime ?? '').toLowerCase().trim();
  if (type.startsWith('image/')) return 'image';
  if (type.startsWith('audio/') || type === 'wav' || type === 'mp3') return 'audio';
  if (type.startsWith('video/')) return 'video';
  return /^application\/pdf\b/.test(type) ? 'pdf' : 'other';
}

/** Both spellings: `MEDIA_RESOLUTION_HIGH` and `high`; null for the default and anything else. */
export function resolutionOf(written: string): Resolution | null {
  return RESOLUTIONS.get(written.toLowerCase().replace(/^media_resolution_/, '')) ?? null;
}

const RESOLUTIONS: ReadonlyMap<string, Resolution> = new Map<string, Resolution>([
  ['low', 'low'],
  ['medium', 'medium'],
  ['high', 'high'],
  ['ultra_high', 'ultra_high'],
  // As protobuf's JSON also takes an enum.
  ['1', 'low'],
  ['2', 'medium'],
  ['3', 'high'],
  ['4', 'ultra_high'],
]);

/**
 * Up to 384 pixels both ways one; otherwise squares of two thirds of the shorter side, 256 to 768
 * pixels, and one of the whole (token counting page; recorded 1806 = 7 and 3354 = 13 tiles).
 */
export function tilesOf(width: number, height: number): number {
  if (width <= SINGLE_TILE_PIXELS && height <= SINGLE_TILE_PIXELS) return 1;
  const scale = Math.min(1, IMAGE_PIXELS_MAX / Math.max(width, height));
  const wide = width * scale;
  const high = height * scale;
  const unit = Math.min(
    Math.max(Math.floor(Math.min(wide, high) / 1.5), TILE_PIXELS_MIN),
    TILE_PIXELS_MAX,
  );
  return Math.min(TILES_MAX, 1 + Math.ceil(wide / unit) * Math.ceil(high / unit));
}

function imageTiles({ measure, bytes }: Medium): Partial<MediaTotal> {
  if (measure?.of === 'picture') {
    const tiles = tilesOf(measure.width, measure.height);
    return { tiles, tilesMax: tiles };
  }
  const tiles = Math.min(Math.max(1, Math.ceil(bytes / TILE_BYTES)), TILES_MAX);
  return { tiles, tilesMax: TILES_MAX };
}

function pdfPages({ measure, bytes }: Medium): Partial<MediaTotal> {
  if (measure?.of === 'pages') return { pages: measure.pages, pagesMax: measure.pages };
  return {
    pages: Math.min(PDF_PAGES_MAX, 1 + bytes / PDF_PAGE_BYTES),
    pagesMax: Math.min(PDF_PAGES_MAX, 1 + bytes / PDF_PAGE_BYTES_MIN),
  };
}

function duration({ kind, measure, bytes, clip }: Medium): Partial<MediaTotal> {
  const isVideo = kind === 'video';
  const measured = secondsOf(measure, bytes);
  const [usual, least] = isVideo
    ? [VIDEO_SECOND_BYTES, VIDEO_SECOND_BYTES_MIN]
    : [AUDIO_SECOND_BYTES, AUDIO_SECOND_BYTES_MIN];
  const whole = measured ?? 1 + bytes / usual;
  const wholeMax = measured === null ? 1 + bytes / least : measured * SLACK + SECONDS_SLACK;
  if (!isVideo) return { seconds: cut(whole, WHOLE), secondsMax: cut(wholeMax, WHOLE) };
  const seconds = cut(whole, clip);
  const secondsMax = cut(wholeMax, clip);
  const fps = clip.fps === null || clip.fps <= 0 ? 1 : Math.min(clip.fps, FPS_MAX);
  return {
    seconds,
    secondsMax,
    frames: Math.max(1, Math.ceil(seconds * fps)),
    framesMax: Math.ceil(secondsMax * fps) + 1,
  };
}

function secondsOf(measure: Measure | null, bytes: number): number | null {
  if (measure?.of === 'time') return measure.seconds;
  if (measure?.of !== 'rate') return null;
  return Math.max(0, Math.min(measure.bytes, bytes - measure.from)) / measure.bytesPerSecond;
}

function cut(seconds: number, { startSeconds, endSeconds }: Clip): number {
  const end = Math.min(seconds, endSeconds ?? Infinity, SECONDS_MAX);
  return Math.max(0, end - (startSeconds ?? 0));
}
