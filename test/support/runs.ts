import fc from 'fast-check';

/**
 * How many random cases each property tries. HEADGATE_PROPERTY_RUNS asks for more of them when
 * something is looked for by hand.
 */
export const PROPERTY_RUNS = Number(process.env['HEADGATE_PROPERTY_RUNS'] ?? 150);

/** HEADGATE_PROPERTY_SEED has the same cases tried again, and the first failure reported as it is. */
const seed = process.env['HEADGATE_PROPERTY_SEED'];
if (seed !== undefined) fc.configureGlobal({ seed: Number(seed), endOnFailure: true });
