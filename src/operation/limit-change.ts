import type { LoadedConfig } from '../config/loaded.ts';
import { DEFAULT_KEY, isGlob } from '../config/patterns.ts';
import { ProxyError } from '../errors.ts';
import type { QuotaRules } from '../quota/policy.ts';

const USD_MICROS = 1_000_000;

/**
 * Throws BAD_REQUEST for the key of a row that holds for several models: limits are set of one model,
 * and set of such a key they would hold for nobody.
 */
export function checkModel(model: string): void {
  if (model !== DEFAULT_KEY && !isGlob(model)) return;
  throw new ProxyError(
    'BAD_REQUEST',
    `"${model}" stands for several models in the configuration, and each of them counts apart: set the limits of one by its name, or change the row and reload.`,
    { where: 'model' },
  );
}

/** Throws BAD_REQUEST for a project that is not configured. */
export function checkProject({ projects }: LoadedConfig, project: string): void {
  if (projects.has(project)) return;
  const known = [...projects.keys()].join(' or ');
  throw new ProxyError('BAD_REQUEST', `${project} is no project; use ${known}.`, {
    where: 'project',
  });
}

/** A limit as the ledger takes it, dollars in millionths. Throws BAD_REQUEST for one that is none. */
export function checkLimit(
  rules: QuotaRules,
  name: string,
  limit: number | null,
): { policy: string; limit: number | null } {
  const policy = rules.policies.find((candidate) => candidate.name === name);
  if (policy === undefined) {
    const known = rules.policies.map((candidate) => candidate.name).join(', ');
    throw new ProxyError(
      'BAD_REQUEST',
      `${name} is no limit of ${rules.partition.model}; use ${known}.`,
      {
        where: name,
      },
    );
  }
  if (limit === null) return { policy: name, limit };
  const units = policy.unit === 'usd' ? Math.round(limit * USD_MICROS) : limit;
  if (!Number.isSafeInteger(units) || units < 0) {
    throw new ProxyError(
      'BAD_REQUEST',
      `${name} is ${limit}; use a whole number from 0, or null.`,
      {
        where: name,
      },
    );
  }
  return { policy: name, limit: units };
}
