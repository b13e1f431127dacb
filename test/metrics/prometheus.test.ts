import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parse } from 'yaml';
import { createMetrics } from '../../src/metrics/metrics.ts';
import { missing, queriesOf, readDashboard, RULES } from '../support/prometheus.ts';

interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface RuleFile {
  readonly groups: readonly { readonly rules: readonly Rule[] }[];
}

const ROOT = new URL('../../', import.meta.url);
const UNIT_TESTS = fileURLToPath(new URL('test/fixtures/prometheus/alerts.test.yaml', ROOT));
const RULE_FILES = ['rules.yaml', 'alerts.yaml'].map((name) => join(RULES, name));
const rules = RULE_FILES.flatMap((file) => {
  const { groups }: RuleFile = parse(readFileSync(file, 'utf8'));
  return groups.flatMap((group) => group.rules);
});
const alerts = rules.filter(({ alert }) => alert !== undefined);
const dashboard = readDashboard();
const panels = dashboard.panels.filter(({ type }) => type !== 'row');

/** Every name of a metric or of a recorded rule. No label of headgate's begins like one. */
function namesIn(expr: string): string[] {
  const names = expr.match(/\b(?:[a-z]+:)?(?:headgate|process|nodejs)[_:][a-z0-9_:]+/g) ?? [];
  return names.map((name) => name.replace(/(?<!:.*)_(?:bucket|sum|count)$/, ''));
}

/** Names of headgate and of Node's defaults, as Prometheus sees them. */
async function exposed(): Promise<Set<string>> {
  const text = await createMetrics({ version: '1', snapshot: () => [] }).render();
  return new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name));
}

t.test('dashboard and rules name no metric that is not there, and leave out none', async (t) => {
  t.strictSame(namesIn('a(headgate_x_bucket{le="1"}) / process_y_z > headgate:q_sum:w'), [
    'headgate_x',
    'process_y_z',
    'headgate:q_sum:w',
  ]);
  const known = await exposed();
  const recorded = new Set(rules.flatMap(({ record }) => record ?? []));
  const used = new Set([...queriesOf(dashboard), ...rules].flatMap(({ expr }) => namesIn(expr)));
  t.strictSame(
    [...used].filter((name) => !known.has(name) && !recorded.has(name)),
    [],
    'all that is used exists',
  );
  const ours = [...known].filter((name) => name.startsWith('headgate_'));
  t.ok(ours.length >= 15, 'the exposition text was read');
  const shown = new Set(queriesOf(dashboard).flatMap(({ expr }) => namesIn(expr)));
  t.strictSame(
    ours.filter((name) => !shown.has(name)),
    [],
    'the dashboard shows every metric of headgate',
  );
});

t.test('the dashboard can be imported anywhere', async (t) => {
  const { list } = dashboard.templating;
  t.strictSame(
    list.map(({ name, type }) => [name, type]),
    [
      ['datasource', 'datasource'],
      ['project', 'query'],
      ['model', 'query'],
    ],
  );
  for (const { title, description = '', datasource, targets = [] } of panels) {
    t.equal(datasource?.uid, '${datasource}', `${title} asks the chosen data source`);
    t.not(description, '', `${title} is described`);
    t.ok(targets.length > 0, `${title} asks something`);
  }
  t.equal(new Set(panels.map(({ title }) => title)).size, panels.length, 'titles are unique');
});

t.test('every alert says what is wrong and where it is told what to do', async (t) => {
  t.ok(alerts.length >= 6);
  for (const { alert = '', labels, annotations = {} } of alerts) {
    t.match(labels?.['severity'], /^(?:critical|warning|info)$/, alert);
    t.ok(annotations['summary'] && annotations['description'], `${alert} is described`);
    const [page = '', anchor] = annotations['runbook']?.split('#') ?? [];
    const headings = readFileSync(new URL(page, ROOT), 'utf8').match(/^#+ .+$/gm) ?? [];
    const anchors = headings.map((heading) =>
      heading.replace(/^#+ /, '').toLowerCase().replaceAll(' ', '-'),
    );
    t.ok(anchors.includes(anchor ?? ''), `${alert}: ${page} has a heading for ${anchor}`);
  }
});

const skip = missing('promtool');

function promtool(...argv: string[]) {
  const { status, stdout, stderr } = spawnSync('promtool', argv, { encoding: 'utf8' });
  return { status, said: stdout + stderr };
}

t.test('promtool finds nothing wrong with the rules and the queries', { skip }, async (t) => {
  const checked = promtool('check', 'rules', ...RULE_FILES);
  t.equal(checked.status, 0, checked.said);
  const scrape = promtool('check', 'config', '--syntax-only', join(RULES, 'prometheus.yml'));
  t.equal(scrape.status, 0, scrape.said);

  // As rules, queries are read by the parser of Prometheus.
  const file = join(t.testdir(), 'queries.json');
  const asRules = queriesOf(dashboard).map(({ expr }, index) => ({
    record: `query:${index}`,
    expr,
  }));
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules: asRules }] }));
  const queries = promtool('check', 'rules', file);
  t.equal(queries.status, 0, queries.said);
});

t.test('each alert fires when it should, and not before', { skip }, async (t) => {
  const { status, said } = promtool('test', 'rules', UNIT_TESTS);
  t.equal(status, 0, said);
  const unitTests = readFileSync(UNIT_TESTS, 'utf8');
  for (const { alert } of alerts) {
    t.match(unitTests, `alertname: ${alert}`, `${alert} is tried`);
  }
  t.strictSame(
    readdirSync(RULES).sort(),
    ['alerts.yaml', 'prometheus.yml', 'rules.yaml'],
    'no file of rules is left out',
  );
});
