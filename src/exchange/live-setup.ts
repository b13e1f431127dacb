import { ProxyError } from '../errors.ts';
import { asObject, asString, parseJson } from '../gemini/json-value.ts';

/** A system instruction of a whole Live context (128 k tokens) is about half of it; it is parsed at once. */
const SETUP_BYTES_MAX = 2_097_152;
/** English text has four characters per token (https://ai.google.dev/gemini-api/docs/tokens). */
const BYTES_PER_TOKEN = 4;

/** The first message of a Live session. */
export interface LiveSetup {
  /** Without `models/`. */
  readonly model: string;
  /** Tokens that the setup itself adds to the first turn, roughly. */
  readonly inputTokens: number;
}

/**
 * Reads `{"setup": {"model": ...}}`, from a text or a binary message. Throws BODY_TOO_LARGE, BAD_JSON
 * or MODEL_MISSING; nothing has been sent to the upstream then.
 */
export function readSetup(data: Buffer): LiveSetup {
  if (data.length > SETUP_BYTES_MAX) {
    throw new ProxyError('BODY_TOO_LARGE', `a setup has at most ${SETUP_BYTES_MAX} bytes.`, {
      where: 'setup',
    });
  }
  const setup = asObject(asObject(parseJson(data.toString('utf8')))?.['setup']);
  if (setup === null) {
    throw new ProxyError(
      'BAD_JSON',
      'the first message of a Live session must be {"setup": ...}.',
      {
        where: 'setup',
      },
    );
  }
  const model = (asString(setup['model']) ?? '').replace(/^models\//, '');
  if (model === '') {
    throw new ProxyError('MODEL_MISSING', 'setup.model is missing; say "models/NAME".', {
      where: 'setup.model',
    });
  }
  return { model, inputTokens: Math.ceil(data.length / BYTES_PER_TOKEN) };
}
