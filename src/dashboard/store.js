import { useEffect, useState } from './view.js';

/**
 * A value that components follow.
 *
 * @template T
 */
export class Store {
  /** @type {T} */
  #value;
  /** @type {Set<() => void>} */
  #listeners = new Set();

  /** @param {T} value */
  constructor(value) {
    this.#value = value;
  }

  get value() {
    return this.#value;
  }

  /** @param {Partial<T>} change */
  set(change) {
    this.#value = { ...this.#value, ...change };
    for (const listener of this.#listeners) listener();
  }

  /**
   * Returns the way to stop.
   *
   * @param {() => void} listener
   */
  listen(listener) {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }
}

/**
 * @template T
 * @param {Store<T>} store
 * @returns {T}
 */
export function useStore(store) {
  const [, redraw] = useState(0);
  useEffect(() => store.listen(() => redraw((count) => count + 1)), [store]);
  return store.value;
}
