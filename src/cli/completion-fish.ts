import type { CompletedCommand, CompletedFlag, Values } from './completion.ts';

/** A script for fish: a file in its completions directory, or sourced. */
export function fishScript(commands: readonly CompletedCommand[]): string {
  return `# Completion of headgate for fish: headgate completion fish > ~/.config/fish/completions/headgate.fish

# The command that is written, without flags and their values.
function __headgate_at
    set -l words (commandline -opc)
    set -e words[1]
    set -l at ''
    while set -q words[1]
        switch "$at $words[1]"
${commands.flatMap(steps).join('\n')}
        end
        set -e words[1]
    end
    echo $at
end

function __headgate_is
    set -l at (__headgate_at)
    test "$at" = "$argv[1]"
end

complete -c headgate -e
complete -c headgate -f
${commands.flatMap(completions).join('\n')}
`;
}

function steps({ path, commands, flags }: CompletedCommand): string[] {
  const valued = flags.filter(({ value }) => value !== null).flatMap(({ names }) => names);
  return [
    ...(valued.length === 0
      ? []
      : [
          `            case ${valued.map((name) => quoted(`${path} ${name}`)).join(' ')}`,
          '                set -e words[1]',
        ]),
    ...commands.flatMap(({ name }) => [
      `            case ${quoted(`${path} ${name}`)}`,
      `                set at ${quoted(`${path} ${name}`.trimStart())}`,
    ]),
  ];
}

function completions({ path, commands, flags, argument }: CompletedCommand): string[] {
  const here = `complete -c headgate -n ${quoted(`__headgate_is ${quoted(path)}`)}`;
  return [
    ...commands.map(
      ({ name, description }) => `${here} -a ${quoted(name)} -d ${quoted(description)}`,
    ),
    ...(commands.length > 0 || argument === null ? [] : [`${here}${valueWords(argument)}`]),
    ...flags.map((flag) => `${here}${flagWords(flag)} -d ${quoted(flag.description)}`),
  ];
}

function flagWords({ names, value }: CompletedFlag): string {
  const spelled = names.map((name) =>
    name.startsWith('--') ? ` -l ${name.slice(2)}` : ` -s ${name.slice(1)}`,
  );
  return `${spelled.join('')}${value === null ? '' : ` -r${valueWords(value)}`}`;
}

function valueWords(values: Values): string {
  switch (values.kind) {
    case 'words':
      return ` -f -a ${quoted(values.words.join(' '))}`;
    case 'files':
      return ' -F';
    case 'directories':
      return " -f -a '(__fish_complete_directories)'";
    case 'any':
      return ' -f';
  }
}

/** As one word of fish, where a backslash and a quote are escaped inside quotes. */
function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
