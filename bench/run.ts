/**
 * Runs the benches named on the command line, or all of them, and writes docs/benchmarks.md.
 *
 * A bench is a file in this folder that prints Markdown on stdout and its progress on stderr. Each
 * runs in a process of its own, so that none meets the heap or the compiled code of another.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

const PAGE = new URL('../docs/benchmarks.md', import.meta.url);

const known = readdirSync(new URL('.', import.meta.url))
  .filter((name) => name.endsWith('.ts') && name !== 'run.ts')
  .map((name) => name.replace(/\.ts$/, ''))
  .toSorted();

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !known.includes(name));
if (unknown.length > 0) {
  console.error(`No bench named ${unknown.join(', ')}; there are: ${known.join(', ')}`);
  process.exit(2);
}

const sections = new Map(Object.entries(readSections()));
for (const name of wanted.length > 0 ? wanted : known) sections.set(name, run(name));
writeFileSync(PAGE, render());
console.error('wrote docs/benchmarks.md');

/** One bench's Markdown, headed by what it ran on. */
function run(name: string): string {
  console.error(`bench ${name}`);
  const file = fileURLToPath(new URL(`${name}.ts`, import.meta.url));
  const { status, stdout } = spawnSync(process.execPath, [...process.execArgv, file], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  });
  if (status !== 0) {
    console.error(`bench ${name} failed`);
    process.exit(1);
  }
  return `${machine()}\n\n${stdout.trim()}\n`;
}

function machine(): string {
  const processor = cpus()[0]?.model ?? 'an unknown processor';
  const memoryGiB = Math.round(totalmem() / 2 ** 30);
  const day = new Date().toISOString().slice(0, 10);
  return `${day}, Node ${process.version}, ${processor}, ${availableParallelism()} cores, ${memoryGiB} GiB.`;
}

function render(): string {
  const body = [...sections]
    .filter(([name]) => known.includes(name))
    .toSorted(([a], [b]) => a.localeCompare(b))
    .map(([name, text]) => `## ${name}\n\n${text.trim()}\n`)
    .join('\n');
  return `# Benchmarks\n\nWritten by \`npm run bench\`; do not edit. \`npm run bench -- NAME\` renews one section.\n\n${body}`;
}

/** What earlier runs left, so that renewing one section keeps the others. */
function readSections(): Record<string, string> {
  let page: string;
  try {
    page = readFileSync(PAGE, 'utf8');
  } catch {
    return {};
  }
  const [, ...parts] = page.split(/^## /m);
  return Object.fromEntries(
    parts.map((part) => [part.slice(0, part.indexOf('\n')), part.slice(part.indexOf('\n') + 1)]),
  );
}
