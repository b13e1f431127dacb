import { makeScenario, type Scenario } from '../simulator/scenario.ts';

/** A minute of the demonstration, in ms: everything that counts by the minute is ten times faster. */
export const MINUTE_MS = 6_000;
export const TIME_DIVISOR = 60_000 / MINUTE_MS;

/** The limits that both the simulated Gemini and headgate know. MassGen's own numbers. */
export const DEMO_LIMITS = {
  'gemini-2.5-flash': { rpm: 9, tpm: 240_000, rpd: 245 },
  'gemini-2.5-pro': { rpm: 2, tpm: 120_000, rpd: 48 },
} as const;

export type DemoModel = keyof typeof DEMO_LIMITS;

export const DEMO_MODELS: readonly DemoModel[] = ['gemini-2.5-flash', 'gemini-2.5-pro'];

/** One call of an agent. */
export interface PlannedCall {
  readonly agent: string;
  readonly model: DemoModel;
  readonly text: string;
}

/** Calls of one agent, in order; it has up to `CALLS_AT_ONCE` of them open. */
export interface PlannedAgent {
  readonly name: string;
  readonly calls: readonly PlannedCall[];
}

/** An agent asks several things at once, as coding agents do. */
export const CALLS_AT_ONCE = 3;

/** Four agents, 48 calls: 36 for Flash and 12 for Pro, several times what one minute allows. */
export function planFleet(): readonly PlannedAgent[] {
  return ['planner', 'coder', 'critic', 'tester'].map((name) => ({
    name,
    calls: TASKS.map((task, index) => ({
      agent: name,
      model: index % 4 === 0 ? 'gemini-2.5-pro' : 'gemini-2.5-flash',
      text: `You are the ${name} of a small team. Step ${index + 1}: ${task}`,
    })),
  }));
}

/** A Gemini with the quota above, enforced to the millisecond over any span of a short minute. */
export function demoScenario(): Scenario {
  return makeScenario({
    name: 'demo',
    models: DEMO_LIMITS,
    minute_span_ms: MINUTE_MS,
    latency: { first_byte: [150, 400] },
  });
}

/** The configuration of the demonstration, as one would write it. */
export function demoConfig(): string {
  const rows = DEMO_MODELS.map((model) => {
    const { rpm, tpm, rpd } = DEMO_LIMITS[model];
    return `    ${model}: { rpm: ${rpm}, tpm: ${tpm}, rpd: ${rpd} }`;
  });
  return `listen: 127.0.0.1:0
rate_limits:
  minute_span: ${MINUTE_MS}ms
  window_guard: ${GUARD_MS}ms
  gemini:
${rows.join('\n')}
cooldown:
  startup: { gemini-2.5-flash: ${STARTUP_MS.flash}ms, gemini-2.5-pro: ${STARTUP_MS.pro}ms }
  starts_per_minute: null
storage: { path: demo.db }
log: { level: error }
`;
}

/** A tenth of a second is plenty within one machine. */
const GUARD_MS = 100;
/** 3 s and 10 s, ten times faster. */
export const STARTUP_MS = { flash: 3_000 / TIME_DIVISOR, pro: 10_000 / TIME_DIVISOR } as const;

const TASKS = [
  'read the request and say what is missing in it.',
  'list the files that will change.',
  'write the interface first.',
  'name three inputs that could break it.',
  'weigh two designs against each other and choose one.',
  'write the parser.',
  'write the test for the empty input.',
  'explain the last failure in one sentence.',
  'review the whole change as if it were not ours.',
  'shorten the longest function.',
  'write the paragraph for the manual.',
  'say what should be measured next.',
];
