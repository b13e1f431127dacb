/**
 * What a secret looks like in running text. Clients bring keys of their own, which no list of known
 * secrets holds, and Google quotes them: "Consumer 'api_key:AIza...' has been suspended."
 */

const REDACTED = '[redacted]';

/**
 * Parameters of a URL whose values are secrets: credentials, and what opens an address to its holder
 * (an upload_id writes the file, headgate_pass gets past headgate). Spelled as people misspell them,
 * too: the API refuses `?api_key=`, but a key stands there all the same.
 */
const SECRET_PARAMETERS =
  'key|api[_-]?key|x-goog-api-key|access_token|token|auth|authorization|upload_id|headgate_pass';

const SHAPES: readonly [RegExp, string][] = [
  [/AIza[\w-]{20,}/g, REDACTED],
  [/\bAQ\.[\w-]{20,}/g, REDACTED],
  [/\bya29\.[\w.-]{8,}/g, REDACTED],
  // An ephemeral token is called by its name, which is the secret.
  [/\bauth_tokens(\/|%2f)[\w.~%-]+/gi, `auth_tokens$1${REDACTED}`],
  // At the start of a query and within it, also where the question mark was forgotten or escaped.
  [
    new RegExp(`([?&;#]|%3f|%26|%23)(${SECRET_PARAMETERS})(=|%3d)[^&\\s"'\\\\]+`, 'gi'),
    `$1$2$3${REDACTED}`,
  ],
  [/\b(Bearer|Token)\s+[\w.~+/-]{8,}=*/gi, `$1 ${REDACTED}`],
];

const SECRET_NAME = new RegExp(`^(?:${SECRET_PARAMETERS})$`, 'i');

/** Whether the value of a URL's parameter of this name, decoded, is a secret. */
export function isSecretParameter(name: string): boolean {
  return SECRET_NAME.test(name);
}

/** `text` with everything blacked out that looks like a key or a token, or stands where one stands. */
export function withoutSecrets(text: string): string {
  let clean = text;
  for (const [shape, replacement] of SHAPES) clean = clean.replace(shape, replacement);
  return clean;
}
