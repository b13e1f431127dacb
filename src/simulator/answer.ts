import type { Asked } from './asked.ts';
import type { GoogleError } from './google-error.ts';

/** An answer, cut into the pieces that leave one after another. */
export interface Answer {
  readonly contentType: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly pieces: readonly string[];
  readonly isStream: boolean;
}

export interface AnswerFacts {
  /** Unique to this answer. */
  readonly id: string;
  /** What an alias stands for. */
  readonly model: string;
  /** Wall ms. */
  readonly createdMs: number;
  /** Pieces of a stream. */
  readonly chunks: number;
}

/** The native surface's content type. */
export const JSON_TYPE = 'application/json; charset=UTF-8';

/** One JSON answer, indented as Google's are. */
export function whole(value: unknown): Answer {
  const pieces = [`${JSON.stringify(value, null, 2)}\n`];
  return { contentType: JSON_TYPE, pieces, isStream: false };
}

/**
 * An answer that goes wrong after `kept` good pieces: an error event, or, `isRaw`, an error without
 * any framing, as was seen when the provider shed load.
 */
export function brokenBy(error: GoogleError, answer: Answer, isRaw: boolean): Answer {
  const kept = Math.max(1, Math.floor(answer.pieces.length / 2));
  const isArray = answer.contentType === JSON_TYPE;
  const piece = isRaw
    ? `${JSON.stringify({ error }, null, 2)}\n`
    : isArray
      ? `\r\n,${JSON.stringify({ error })}]`
      : `data: ${JSON.stringify({ error })}\r\n\r\n`;
  return { ...answer, pieces: [...answer.pieces.slice(0, kept), piece] };
}

/** As many words as the answer has tokens: those of the prompt's last text, over and over, from a place the seed tells. */
export function words(asked: Asked): string[] {
  const own = asked.lastText.slice(0, 4000).match(/[\p{L}\p{N}]+/gu) ?? ['silence'];
  const from = asked.seed % own.length;
  return Array.from(
    { length: asked.outputTokens },
    (_, index) => own[(from + index) % own.length] ?? '',
  );
}

/** The words in `parts` runs, each but the first beginning with a blank; never fewer than one run. */
export function runs(all: readonly string[], parts: number): string[] {
  const count = Math.max(1, Math.min(parts, all.length));
  return Array.from({ length: count }, (_, index) => {
    const from = Math.floor((all.length * index) / count);
    const run = all.slice(from, Math.floor((all.length * (index + 1)) / count)).join(' ');
    return index === 0 ? run : ` ${run}`;
  });
}

/** A unit-free vector that looks like an embedding; the same for the same seed. */
export function vector(seed: number, length: number): number[] {
  let state = seed | 1;
  return Array.from({ length }, () => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
    return ((state >>> 8) % 20_001) / 100_000 - 0.1;
  });
}

/** One transparent pixel as PNG. */
export const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=';
