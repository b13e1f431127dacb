/** How many calls each agent has between receipt and end, waiting ones included. */
export class BusyAgents {
  /** Without agents that have none, so that it is bounded by the calls under way. */
  readonly #calls = new Map<string, number>();

  get calls(): ReadonlyMap<string, number> {
    return this.#calls;
  }

  begin(agent: string): void {
    this.#calls.set(agent, (this.#calls.get(agent) ?? 0) + 1);
  }

  end(agent: string): void {
    const left = (this.#calls.get(agent) ?? 0) - 1;
    if (left > 0) this.#calls.set(agent, left);
    else this.#calls.delete(agent);
  }
}
