// @ts-expect-error The daemon serves this file from the package htm, which has no types for it.
import * as library from './vendor/preact.js';

/**
 * What a component answers with. Whatever stands between `${` and `}` of `html` becomes text or the
 * value of a property, never markup: names of agents, models and sessions are written by strangers.
 *
 * @typedef {object} View
 */

/**
 * What the page uses of Preact (https://preactjs.com/guide/v10/hooks) and htm.
 *
 * @typedef {object} Library
 * @property {(strings: TemplateStringsArray, ...values: unknown[]) => View} html
 * @property {(view: View, parent: Element) => void} render
 * @property {<T>(initial: T | (() => T)) => [T, (next: T | ((before: T) => T)) => void]} useState
 * @property {(effect: () => void | (() => void), inputs?: readonly unknown[]) => void} useEffect
 * @property {(effect: () => void | (() => void), inputs?: readonly unknown[]) => void} useLayoutEffect
 * @property {<T>(initial: T) => { current: T }} useRef
 * @property {<T>(make: () => T, inputs: readonly unknown[]) => T} useMemo
 */

const { html, render, useEffect, useLayoutEffect, useMemo, useRef, useState } =
  /** @type {Library} */ (/** @type {unknown} */ (library));

export { html, render, useEffect, useLayoutEffect, useMemo, useRef, useState };
