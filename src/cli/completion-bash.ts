import type { CompletedCommand, Values } from './completion.ts';

/**
 * A script for bash 3.2, which macOS has, and later. It asks no program: the answer to a key press
 * may not take as long as Node.js needs to start.
 */
export function bashScript(commands: readonly CompletedCommand[]): string {
  return `# Completion of headgate for bash: source <(headgate completion bash)

_headgate() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="" at="" i
  ((COMP_CWORD > 0)) && prev="\${COMP_WORDS[COMP_CWORD-1]}"
  COMPREPLY=()
  # Bash breaks --flag=value into three words.
  if [[ $cur == "=" ]]; then
    cur=""
  elif [[ $prev == "=" ]]; then
    prev="\${COMP_WORDS[COMP_CWORD-2]}"
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at \${COMP_WORDS[i]}" in
${stepsOf(commands, '_headgate_skip')}
    esac
  done
  if [[ $cur == -* ]]; then
    case "$at" in
${commands.map(flagCase).join('\n')}
    esac
    return
  fi
  case "$at $prev" in
${commands.flatMap(valueCases).join('\n')}
  esac
  case "$at" in
${commands.flatMap(argumentCase).join('\n')}
  esac
}

# Steps over a value, and over the sign between flag and value.
_headgate_skip() {
  i=$((i + 1))
  [[ \${COMP_WORDS[i]} == "=" ]] && i=$((i + 1))
}

_headgate_words() {
  local IFS=$' \\t\\n'
  COMPREPLY=($(compgen -W "$1" -- "$cur"))
}

_headgate_paths() {
  local one
  type compopt >/dev/null 2>&1 && compopt -o filenames 2>/dev/null
  while IFS= read -r one; do COMPREPLY+=("$one"); done < <(compgen "$1" -- "$cur")
}

complete -F _headgate headgate
`;
}

/**
 * The cases that walk from the program to the command whose flags are completed: values are stepped
 * over by \`skip\`, for an agent may well be called like a command. For bash and zsh.
 */
export function stepsOf(commands: readonly CompletedCommand[], skip: string): string {
  const steps = commands.flatMap(({ path, commands: below, flags }) => {
    const valued = flags.filter(({ value }) => value !== null).flatMap(({ names }) => names);
    return [
      ...(valued.length === 0
        ? []
        : [`      ${valued.map((name) => quoted(`${path} ${name}`)).join('|')}) ${skip} ;;`]),
      ...below.map(
        ({ name }) =>
          `      ${quoted(`${path} ${name}`)}) at=${quoted(`${path} ${name}`.trimStart())} ;;`,
      ),
    ];
  });
  return steps.join('\n');
}

/** As one word of a POSIX shell. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function flagCase({ path, flags }: CompletedCommand): string {
  const names = flags.flatMap((flag) => flag.names).join(' ');
  return `      ${quoted(path)}) _headgate_words ${quoted(names)} ;;`;
}

function valueCases({ path, flags }: CompletedCommand): string[] {
  return flags.flatMap(({ names, value }) =>
    value === null
      ? []
      : [
          `    ${names.map((name) => quoted(`${path} ${name}`)).join('|')}) ${action(value)}; return ;;`,
        ],
  );
}

function argumentCase({ path, commands, argument }: CompletedCommand): string[] {
  const names = commands.map(({ name }) => name);
  if (names.length > 0) {
    return [`    ${quoted(path)}) _headgate_words ${quoted(names.join(' '))} ;;`];
  }
  return argument === null ? [] : [`    ${quoted(path)}) ${action(argument)} ;;`];
}

function action(values: Values): string {
  switch (values.kind) {
    case 'words':
      return `_headgate_words ${quoted(values.words.join(' '))}`;
    case 'files':
      return '_headgate_paths -f';
    case 'directories':
      return '_headgate_paths -d';
    case 'any':
      return ':';
  }
}
