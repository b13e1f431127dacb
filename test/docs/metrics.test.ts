import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import t from 'tap';
import { createCatalogue } from '../../src/metrics/catalogue.ts';
import { ROOT } from '../support/doc-pages.ts';

t.test(
  'the table in docs/operating.md has every metric as it is exported, and no other',
  async (t) => {
    const registry = new Registry();
    const known = Object.values(createCatalogue(registry)).map((metric) => {
      // What a metric is made of is not in its type.
      const { name, help, type, labelNames } = metric as unknown as {
        name: string;
        help: string;
        type: string;
        labelNames: readonly string[];
      };
      return `| \`${name}\` | ${type} | ${labelNames.map((one) => `\`${one}\``).join(', ')} | ${help} |`;
    });
    const page = readFileSync(join(ROOT, 'docs/operating.md'), 'utf8');
    const rows = page.split('\n').filter((line) => line.startsWith('| `headgate_'));
    t.strictSame(
      rows,
      known.map((row) => row.replace('|  |', '| |')),
    );
  },
);
