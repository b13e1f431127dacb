import type { Arrival } from './arrival.ts';
import type { Bookkeeping, Peak, QuotaName } from './bookkeeping.ts';

/** What became of calls. Every call with a quota is in exactly one of the outcomes, or still open. */
export interface Tallies {
  readonly calls: number;
  readonly answered: number;
  /** 429s because a window was full: what a client that keeps to its quota never draws. */
  readonly refusedByQuota: number;
  /** 429s that the scenario asked for. */
  readonly refusedByFault: number;
  /** Other errors, and answers that broke off. */
  readonly failed: number;
  /** The client left. */
  readonly aborted: number;
  readonly open: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

export interface ModelScore extends Tallies {
  readonly model: string;
  /** The most that each window held of admitted calls. */
  readonly peaks: Readonly<Record<QuotaName, Peak>>;
}

export interface Score extends Tallies {
  readonly scenario: string;
  /** Since the start or the last reset, ms. */
  readonly elapsedMs: number;
  /** By name. */
  readonly models: readonly ModelScore[];
  /** Requests without a model's quota: countTokens, models, files and the like. */
  readonly uncounted: number;
}

export function scoreOf(
  arrivals: readonly Arrival[],
  books: Bookkeeping,
  facts: { readonly scenario: string; readonly elapsedMs: number },
): Score {
  const total = blank();
  const byModel = new Map<string, OpenTallies>();
  let uncounted = 0;
  for (const arrival of arrivals) {
    const { model } = arrival;
    if (model === null || arrival.requests === 0) {
      uncounted += 1;
      continue;
    }
    const own = byModel.get(model) ?? blank();
    byModel.set(model, own);
    for (const tallies of [total, own]) {
      tallies.calls += 1;
      tallies[outcomeOf(arrival)] += 1;
      tallies.inputTokens += arrival.inputTokens;
      tallies.outputTokens += arrival.outputTokens;
    }
  }
  const names = [...byModel.keys()].sort();
  const models = names.map((model) => ({
    model,
    ...(byModel.get(model) ?? blank()),
    peaks: books.peaks(model),
  }));
  return { ...facts, ...total, models, uncounted };
}

/** The score as a page for people. */
export function scorePage(score: Score): string {
  const rows = score.models.map((model) => {
    const peaks = (['rpm', 'tpm', 'rpd'] as const).map((quota) => {
      const { peak, limit } = model.peaks[quota];
      return `<td>${peak} / ${limit ?? 'no limit'}</td>`;
    });
    const { calls, answered, refusedByQuota, refusedByFault, failed, aborted, open } = model;
    const cells = [calls, answered, refusedByQuota, refusedByFault, failed, aborted, open];
    return `<tr><th>${escaped(model.model)}</th>${cells.map((cell) => `<td>${cell}</td>`).join('')}${peaks.join('')}</tr>`;
  });
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="2">
<title>Simulated Gemini</title>
<style>body{font:15px system-ui;margin:2em}td,th{padding:.2em .8em;text-align:right}th:first-child{text-align:left}</style>
<h1>Simulated Gemini</h1>
<p>Scenario ${escaped(score.scenario)}, ${(score.elapsedMs / 1000).toFixed(1)} s:
${score.calls} calls, ${score.answered} answered, <b>${score.refusedByQuota} refused by quota</b>.</p>
<table><tr><th>Model<th>Calls<th>Answered<th>Refused by quota<th>By fault<th>Failed<th>Left<th>Open<th>Peak RPM<th>Peak TPM<th>Peak RPD</tr>
${rows.join('\n')}
</table></html>
`;
}

type OpenTallies = { -readonly [Key in keyof Tallies]: Tallies[Key] };

function blank(): OpenTallies {
  return {
    calls: 0,
    answered: 0,
    refusedByQuota: 0,
    refusedByFault: 0,
    failed: 0,
    aborted: 0,
    open: 0,
    inputTokens: 0,
    outputTokens: 0,
  };
}

type Outcome = 'answered' | 'refusedByQuota' | 'refusedByFault' | 'failed' | 'aborted' | 'open';

function outcomeOf(arrival: Arrival): Outcome {
  if (arrival.aborted) return 'aborted';
  if (arrival.status === 429) {
    return arrival.refusedBy?.startsWith('fault:') === true ? 'refusedByFault' : 'refusedByQuota';
  }
  if (arrival.refusedBy !== null) return 'failed';
  if (arrival.status === null) return 'open';
  return arrival.status < 400 ? 'answered' : 'failed';
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
