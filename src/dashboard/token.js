const KEY = 'headgate-token';

/** The token that was given in this tab; null before. Nothing of it outlives the tab. */
export function readToken() {
  return sessionStorage.getItem(KEY);
}

/** @param {string} token */
export function keepToken(token) {
  sessionStorage.setItem(KEY, token);
}

export function forgetToken() {
  sessionStorage.removeItem(KEY);
}
