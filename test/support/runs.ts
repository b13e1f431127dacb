/**
 * How many random cases each property tries. HEADGATE_PROPERTY_RUNS asks for more of them when
 * something is looked for by hand.
 */
export const PROPERTY_RUNS = Number(process.env['HEADGATE_PROPERTY_RUNS'] ?? 150);
