import type { AddressPair } from './own-url.ts';
import { toOwnUrl } from './own-url.ts';

/**
 * The answer about an operation of Veo with its films' addresses leading to us: only
 * `response.generateVideoResponse.generatedSamples[].video.uri`, everything else byte for byte. The
 * AI SDK adds its key only to a film of its own base URL's origin, and is refused without it. The
 * same `body` where there is nothing to change.
 */
export function withOwnFilmUris(body: Buffer, addresses: AddressPair): Buffer {
  let text = body.toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return body;
  }
  const samples = at(value, 'response', 'generateVideoResponse', 'generatedSamples');
  if (!Array.isArray(samples)) return body;
  const uris = new Set(samples.map((sample) => at(sample, 'video', 'uri')));
  let isChanged = false;
  for (const uri of uris) {
    if (typeof uri !== 'string') continue;
    const own = toOwnUrl(uri, addresses);
    if (own === uri) continue;
    const changed = replaceUri(text, uri, own);
    isChanged ||= changed !== text;
    text = changed;
  }
  return isChanged ? Buffer.from(text) : body;
}

/** Replaces in the text, since writing the value anew would change spacing, escapes and numbers. */
function replaceUri(text: string, from: string, to: string): string {
  return text.replace(/("uri"\s*:\s*)("(?:[^"\\]|\\.)*")/g, (whole, key: string, raw: string) => {
    try {
      return JSON.parse(raw) === from ? `${key}${JSON.stringify(to)}` : whole;
    } catch {
      return whole;
    }
  });
}

function at(value: unknown, ...keys: readonly string[]): unknown {
  let inner: unknown = value;
  for (const key of keys) {
    if (typeof inner !== 'object' || inner === null) return undefined;
    inner = Reflect.get(inner, key);
  }
  return inner;
}
