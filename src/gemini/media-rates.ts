import type { MediaTotal, Resolution } from './media-total.ts';

/** Tokens of all of `total`, as expected and as the most it can be. */
export interface MediaTokens {
  readonly tokens: number;
  readonly most: number;
}

/**
 * What media cost, by generation of the model: measured on recorded calls where it could be, otherwise
 * Google's pages on media resolution and token counting.
 */
export function mediaTokens(
  total: MediaTotal,
  model: { readonly generation: number; readonly globally: Resolution | null },
): MediaTokens {
  const { generation, globally } = model;
  const { tokens, most } = tokensOf(total, generation, globally);
  // Of a model that cannot be told apart, the dearer of the two is the most.
  const isUnknown = generation === Infinity;
  const other = isUnknown ? tokensOf(total, 2.5, globally).most : 0;
  const window = total.items * WINDOW_TOKENS;
  return { tokens: Math.min(tokens, window), most: Math.min(Math.max(most, other), window) };
}

/** Google's largest context window: no single file fills more, nor does a cache. */
export const WINDOW_TOKENS = 1_048_576;

const OTHER_BYTES_PER_TOKEN = 4;

/** Recorded 258 for an image or page of default resolution up to 2.5: 256, and 2 around them. */
const SQUARE = 258;
const SQUARE_LOW = 66;
/** "Pan and scan ~2048" on top, where 2.5 is asked for high resolution. */
const ZOOM_MAX = 2_048;
/** Recorded 2893 for 11 frames and 15780 for 60: a timestamp comes with each. */
const TIMESTAMP = 5;

/** Recorded 1088 to 1102 of 1120, and 520 to 532 of 560 for a page. */
const IMAGE_3: Readonly<Record<Resolution, number>> = {
  low: 280,
  medium: 560,
  high: 1_120,
  ultra_high: 2_240,
};
/** Recorded 910 for 10 s of video with its sound. */
const FRAME_3 = 66;
const FRAME_3_MAX = 70;
const FRAME_3_HIGH = 280;

/**
 * The text within a PDF is said not to be charged, and was not in recorded calls; "native text" in the
 * tables of other pages leaves room for doubt, so the most has a full page of it.
 */
const PAGE_TEXT_MAX = 862;

const AUDIO_SECOND = 32;
const AUDIO_SECOND_3 = 25;

function tokensOf(total: MediaTotal, generation: number, globally: Resolution | null): MediaTokens {
  const isNew = generation >= 3;
  // "Per part (Gemini 3 only)".
  const resolution = isNew ? (total.resolution ?? globally) : globally;
  const audio = isNew ? AUDIO_SECOND_3 : AUDIO_SECOND;
  switch (total.kind) {
    case 'image':
      return isNew
        ? both(total.items * IMAGE_3[resolution ?? 'high'])
        : squares(total, generation, resolution);
    case 'pdf': {
      const page = isNew ? IMAGE_3[resolution ?? 'medium'] : squareOf(resolution);
      const text = total.pagesMax * PAGE_TEXT_MAX;
      return { tokens: total.pages * page, most: total.pagesMax * page + text };
    }
    case 'audio':
      return { tokens: total.seconds * audio, most: total.secondsMax * audio };
    case 'video': {
      const [frame, frameMax] = frameOf(isNew, resolution);
      return {
        tokens: total.frames * frame + total.seconds * audio,
        most: total.framesMax * frameMax + total.secondsMax * audio,
      };
    }
    case 'other':
      return { tokens: total.bytes / OTHER_BYTES_PER_TOKEN, most: total.bytes };
  }
}

/** Only 2.0 cuts images into tiles, and only where it is not told to look less closely. */
function squares(
  { items, tiles, tilesMax }: MediaTotal,
  generation: number,
  resolution: Resolution | null,
): MediaTokens {
  const isClose = resolution !== 'low' && resolution !== 'medium';
  if (generation < 2.5 && isClose) return { tokens: tiles * SQUARE, most: tilesMax * SQUARE };
  const one = squareOf(resolution);
  const isZoomed = resolution === 'high' || resolution === 'ultra_high';
  return { tokens: items * one, most: items * (one + (isZoomed ? ZOOM_MAX : 0)) };
}

function squareOf(resolution: Resolution | null): number {
  return resolution === 'low' ? SQUARE_LOW : SQUARE;
}

/** One frame, as expected and at most. */
function frameOf(isNew: boolean, resolution: Resolution | null): readonly [number, number] {
  if (!isNew) {
    const frame = squareOf(resolution) + TIMESTAMP;
    return [frame, frame];
  }
  const isHigh = resolution === 'high' || resolution === 'ultra_high';
  return isHigh ? [FRAME_3_HIGH, FRAME_3_HIGH + TIMESTAMP] : [FRAME_3, FRAME_3_MAX + TIMESTAMP];
}

function both(tokens: number): MediaTokens {
  return { tokens, most: tokens };
}
