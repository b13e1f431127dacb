import { effectiveLimits, rulesFor } from '../config/limits.ts';
import type { LoadedConfig } from '../config/loaded.ts';
import type { QuotaPolicy } from '../quota/policy.ts';
import { policyLimitText, projectText } from './limit-words.ts';

/** The key that stands for every model without a row of its own. */
const DEFAULT_KEY = 'default';
/** Another profile changes dozens of limits; a line of the log is read by people. */
const CHANGES_TOLD_MAX = 10;

/**
 * What another configuration changes of what holds calls, for the log: `mode is shadow, was enforce;
 * rpm of gemini-2.5-flash is 35, was 10`. Empty where it is neither mode, profile nor limits.
 */
export function changesText(from: LoadedConfig, to: LoadedConfig): string {
  const changes = [
    ...changed('mode', from.mode, to.mode),
    ...changed('profile', from.profile, to.profile),
    ...limitChanges(from, to),
  ];
  const untold = changes.length - CHANGES_TOLD_MAX;
  const told = changes.slice(0, CHANGES_TOLD_MAX);
  return [...told, ...(untold > 0 ? [`${untold} more`] : [])].join('; ');
}

function limitChanges(from: LoadedConfig, to: LoadedConfig): string[] {
  const rows = new Map(
    [...effectiveLimits(from), ...effectiveLimits(to)].map(({ project, key }) => [
      `${project}\n${key}`,
      { project, key },
    ]),
  );
  return [...rows.values()].flatMap(({ project, key }) => {
    const former = rulesFor(from, project, key);
    const next = rulesFor(to, project, key);
    const model = key === DEFAULT_KEY ? 'any other model' : key;
    const of = (name: string) => `${name} of ${model}${projectText(project)}`;
    const names = new Set([...next.policies, ...former.policies].map(({ name }) => name));
    return [
      ...[...names].flatMap((name) =>
        changed(of(name), limitOf(former.policies, name), limitOf(next.policies, name)),
      ),
      ...changed(
        of('max_concurrent'),
        `${former.maxConcurrent ?? 'no limit'}`,
        `${next.maxConcurrent ?? 'no limit'}`,
      ),
    ];
  });
}

function limitOf(policies: readonly QuotaPolicy[], name: string): string {
  const policy = policies.find((candidate) => candidate.name === name);
  return policy === undefined ? 'no limit' : policyLimitText(policy, policy.limit);
}

function changed(what: string, from: string, to: string): string[] {
  return from === to ? [] : [`${what} is ${to}, was ${from}`];
}
