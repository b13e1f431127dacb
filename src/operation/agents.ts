import type { Clock } from '../clock.ts';
import type { ExchangeRecord } from '../exchange/call.ts';
import type { AgentView } from '../http/views.ts';

const USD_MICROS = 1_000_000;
/** Names come from callers, so that there may be any number; the one silent for longest is forgotten. */
const AGENTS_KEPT = 500;
/** As many as anybody reads; those with calls under way come first. */
const AGENTS_SHOWN = 100;
/** Who has been silent for longer has gone. */
const SHOWN_MS = 3_600_000;

/** What one agent has had since the daemon started. */
interface Tally {
  calls: number;
  refused: number;
  inputTokens: number;
  outputTokens: number;
  usdMicros: number;
  model: string;
  lastMs: number;
}

/** Who calls, and with what success. */
export class Agents {
  readonly #clock: Clock;
  /** The one whose call ended last at the end. */
  readonly #tallies = new Map<string, Tally>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes note of an ended counted exchange. */
  note(record: ExchangeRecord): void {
    const { agent, usage } = record;
    if (agent === '') return;
    const tally = this.#tallies.get(agent) ?? noCalls();
    tally.calls += 1;
    if (record.outcome === 'refused') tally.refused += 1;
    tally.inputTokens += usage?.inputTokens ?? 0;
    tally.outputTokens += usage?.outputTokens ?? 0;
    tally.usdMicros += record.usdMicros;
    tally.model = record.model;
    tally.lastMs = this.#clock.wallMs();
    this.#tallies.delete(agent);
    this.#tallies.set(agent, tally);
    for (const oldest of this.#tallies.keys()) {
      if (this.#tallies.size <= AGENTS_KEPT) break;
      this.#tallies.delete(oldest);
    }
  }

  /**
   * Agents with calls under way, then those whose last call ended within the hour, the latest first.
   * `busy` counts calls between receipt and end, `waiting` those of them in the queue.
   */
  view(busy: ReadonlyMap<string, number>, waiting: readonly string[]): AgentView[] {
    const waits = new Map<string, number>();
    for (const agent of waiting) waits.set(agent, (waits.get(agent) ?? 0) + 1);
    const nowMs = this.#clock.wallMs();
    const idle = [...this.#tallies]
      .filter(([agent, { lastMs }]) => !busy.has(agent) && nowMs - lastMs <= SHOWN_MS)
      .map(([agent]) => agent);
    return [...busy.keys(), ...idle.toReversed()].slice(0, AGENTS_SHOWN).map((agent) => {
      const tally = this.#tallies.get(agent);
      const { calls, refused, inputTokens, outputTokens, usdMicros } = tally ?? noCalls();
      const waitingCalls = waits.get(agent) ?? 0;
      return {
        agent,
        running: Math.max(0, (busy.get(agent) ?? 0) - waitingCalls),
        waiting: waitingCalls,
        calls,
        refused,
        input_tokens: inputTokens,
        output_tokens: outputTokens,
        usd: usdMicros / USD_MICROS,
        last_model: tally?.model ?? null,
        last_ended_at: tally === undefined ? null : new Date(tally.lastMs).toISOString(),
      };
    });
  }
}

function noCalls(): Tally {
  return {
    calls: 0,
    refused: 0,
    inputTokens: 0,
    outputTokens: 0,
    usdMicros: 0,
    model: '',
    lastMs: 0,
  };
}
