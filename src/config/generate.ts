import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { TSchema } from 'typebox';
import { CONFIG_SCHEMA } from './schema.ts';
import type { SchemaNode } from './validate.ts';

// TypeBox's own types say too much for a walk over any schema.
const ROOT = anySchema(CONFIG_SCHEMA);

/** Files made from the schema, by path from the package's root. A test holds them up to date. */
export function generatedFiles(): ReadonlyMap<string, string> {
  return new Map([
    ['config/headgate.schema.json', `${JSON.stringify(editorSchema(), null, 2)}\n`],
    ['docs/configuration.md', configurationPage()],
  ]);
}

function anySchema(schema: TSchema): SchemaNode {
  return schema;
}

/** The schema as editors want it: nothing that has a default need be written. */
function editorSchema(): object {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    ...withoutDefaulted(ROOT),
  };
}

function withoutDefaulted(node: SchemaNode): SchemaNode {
  const { required, ...rest } = node;
  const mustBeWritten = (required ?? []).filter(
    (key) => node.properties?.[key]?.default === undefined,
  );
  const inEach = (nodes: Readonly<Record<string, SchemaNode>>) =>
    Object.fromEntries(Object.entries(nodes).map(([key, inner]) => [key, withoutDefaulted(inner)]));
  return {
    ...rest,
    ...(mustBeWritten.length > 0 && { required: mustBeWritten }),
    ...(node.properties && { properties: inEach(node.properties) }),
    ...(node.patternProperties && { patternProperties: inEach(node.patternProperties) }),
    ...(node.items && { items: withoutDefaulted(node.items) }),
  };
}

function configurationPage(): string {
  return `${PREFACE}
## Keys

${keyRows(ROOT, '').join('\n')}
`;
}

const PREFACE = `<!-- Made from src/config/schema.ts by \`npm run generate\`. -->

# Configuration

headgate needs none: without a file it takes the defaults below. The first of these is read, and only
that one:

1. the file that \`--config\` names
2. the file that \`$HEADGATE_CONFIG\` names
3. \`$XDG_CONFIG_HOME/headgate/config.yaml\`, by default \`~/.config/headgate/config.yaml\`
4. \`/etc/headgate/config.yaml\`

Never a file of the working directory: a repository that you check out must not be able to send your
key elsewhere. Flags of \`headgate serve\` win over the file. \`headgate check\` tests a file and prints
every limit with the place it comes from.

[config/headgate.yaml](../config/headgate.yaml) has every key with its default;
[config/examples](../config/examples) has files for MassGen, Gemini CLI, a team and a paid tier.
[config/headgate.schema.json](../config/headgate.schema.json) lets editors complete and check keys.
What is served at which path, and what \`tls\` and \`admin.token\` mean there: [Surfaces](surfaces.md).

## Rules of the file

- YAML 1.2, one document, UTF-8, at most 4 MiB. Unknown keys, and keys written twice, are errors. All
  mistakes are told at once, each with \`file:line:column\`, the key and what to do.
- \`\${NAME}\` in a string takes an environment variable, \`\${NAME:-default}\` takes the default when
  the variable is empty or not set. What a variable holds is never read as YAML, and is always a
  string.
- Durations are a number and \`ms\`, \`s\`, \`m\`, \`h\` or \`d\`: \`250ms\`, \`60s\`, \`1.5h\`, \`400d\`. Sizes
  are a number and \`B\`, \`KiB\`, \`MiB\`, \`GiB\`, \`KB\`, \`MB\` or \`GB\`.
- Paths start at the directory of the file, \`~\` is the home directory. Built-in session roots and
  paths in flags start at the working directory.
- The file, and every file it names, is watched. A good change applies at once; a bad one leaves the
  old configuration in force.

## Which limit holds

Limits have four sources, the most important first:

1. the project's own rows, \`projects.NAME.rate_limits.gemini\`
2. \`rate_limits.gemini\`
3. \`rate_limits.file\`, a MassGen rate_limits.yaml
4. \`rate_limits.profile\`

In one source, a model takes the row with its exact key; else the row with the longest key that matches
its name as a glob, or is contained in it. Each of \`rpm\`, \`tpm\`, \`rpd\`, \`windows\` and
\`max_concurrent\` is taken from the first source whose row names it, so a row with nothing but an \`rpm\`
leaves the other limits alone.

Only when no such row names a limit, the \`default\` rows are asked in the same order. A \`default\` in
\`rate_limits.gemini\` therefore does not change models that the profile knows; write \`"gemini-*"\`, or
\`profile: none\`, to change them all. A project is another quota: its rows, its \`default\` included,
come before everything outside it.

\`null\` switches a limit off, and \`0\` admits nothing. Each model counts apart, under the name that
\`aliases\` give it.

The keys of \`cooldown.startup\` and \`cooldown.starts_per_minute\` match in the same way.
`;

/** Plain keys before sections, so that none stands under the heading of a neighbour. */
function keyRows(node: SchemaNode, prefix: string): string[] {
  const plain: string[] = [];
  const sections: string[] = [];
  for (const [key, property] of Object.entries(node.properties ?? {})) {
    const field = prefix === '' ? key : `${prefix}.${key}`;
    if (property.properties === undefined) {
      plain.push(keyRow(field, property), ...innerRows(property, field));
    } else if (prefix === '') {
      sections.push('', `### ${field}`, '', property.description ?? '', '');
      sections.push(...keyRows(property, field));
    } else {
      plain.push(...keyRows(property, field));
    }
  }
  return [...plain, ...sections];
}

/** What the values of a map or the items of a list hold. */
function innerRows(node: SchemaNode, field: string): string[] {
  const isMap = node.patternProperties !== undefined;
  const inner = Object.values(node.patternProperties ?? {})[0] ?? node.items;
  if (inner?.properties === undefined) return [];
  const step = isMap ? `.${placeholder(field)}` : '[]';
  // A project's rows are those of rate_limits.gemini, which has told them.
  if (field.startsWith('projects.')) {
    return [`- **\`${field}${step}\`**: as in \`rate_limits.gemini\`.`];
  }
  return keyRows(inner, `${field}${step}`);
}

function placeholder(field: string): string {
  return field === 'projects' ? 'NAME' : 'MODEL';
}

function keyRow(field: string, node: SchemaNode): string {
  const values = node.enum === undefined ? (node.title ?? '') : node.enum.join(' \\| ');
  const fallback =
    node.default === undefined ? '' : ` Default: \`${JSON.stringify(node.default)}\`.`;
  return `- **\`${field}\`** (${values}): ${node.description ?? ''}${fallback}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [path, content] of generatedFiles()) {
    writeFileSync(new URL(`../../${path}`, import.meta.url), content);
  }
}
