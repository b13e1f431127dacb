import type { LimitsView } from '../http/views.ts';
import type { QuotaPolicy } from '../quota/policy.ts';

const USD_MICROS = 1_000_000;

/** `12,000`, `$5` or `no limit`; of a policy's own units, which for dollars are millionths. */
export function policyLimitText({ unit }: Pick<QuotaPolicy, 'unit'>, limit: number | null): string {
  return limitText(unit, limit === null || unit !== 'usd' ? limit : limit / USD_MICROS);
}

/**
 * What somebody has just changed by hand, as a line of the log: `limits of gemini-2.5-flash set live:
 * rpm is 14, was 9`.
 */
export function liveChangeText(done: 'set live' | 'reset', before: LimitsView, after: LimitsView) {
  const changes = after.windows.flatMap(({ policy, unit, limit }) => {
    const former = before.windows.find((window) => window.policy === policy)?.limit ?? null;
    if (former === limit) return [];
    return [`${policy} is ${limitText(unit, limit)}, was ${limitText(unit, former)}`];
  });
  const where = projectText(after.project);
  const said = changes.length === 0 ? 'they are what they were' : changes.join('; ');
  return `limits of ${after.model}${where} ${done}: ${said}`;
}

/** ` in team-b`; nothing for the project that everybody has. */
export function projectText(project: string): string {
  return project === 'default' ? '' : ` in ${project}`;
}

function limitText(unit: string, limit: number | null): string {
  if (limit === null) return 'no limit';
  return `${unit === 'usd' ? '$' : ''}${limit.toLocaleString('en-US')}`;
}
