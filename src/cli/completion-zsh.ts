import type { CompletedCommand, Values } from './completion.ts';
import { quoted, stepsOf } from './completion-bash.ts';

/** A script for zsh: a file in $fpath, or sourced behind compinit. */
export function zshScript(commands: readonly CompletedCommand[]): string {
  return `#compdef headgate
# Completion of headgate for zsh: headgate completion zsh > ~/.zfunc/_headgate, with ~/.zfunc in $fpath

_headgate() {
  local cur="\${words[CURRENT]}" prev="\${words[CURRENT-1]}" at="" i
  local -a found
  for ((i = 2; i < CURRENT; i++)); do
    case "$at \${words[i]}" in
${stepsOf(commands, '((i++))')}
    esac
  done
  if [[ $cur == --*=* ]]; then
    prev="\${cur%%=*}"
    compset -P '*='
  fi
  if [[ $cur == -* && $cur != --*=* ]]; then
    case "$at" in
${commands.map(flagCase).join('\n')}
    esac
    _describe -o flag found
    return
  fi
  case "$at $prev" in
${commands.flatMap(valueCases).join('\n')}
  esac
  case "$at" in
${commands.flatMap(argumentCase).join('\n')}
  esac
}

if [[ \${funcstack[1]} == _headgate ]]; then
  _headgate "$@"
else
  compdef _headgate headgate
fi
`;
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

function flagCase({ path, flags }: CompletedCommand): string {
  const entries = flags.flatMap(({ names, description }) =>
    names.map((name) => described(name, description)),
  );
  return `      ${quoted(path)}) found=(${entries.join(' ')}) ;;`;
}

function argumentCase({ path, commands, argument }: CompletedCommand): string[] {
  if (commands.length > 0) {
    const entries = commands.map(({ name, description }) => described(name, description));
    return [`    ${quoted(path)}) found=(${entries.join(' ')}); _describe command found ;;`];
  }
  return argument === null ? [] : [`    ${quoted(path)}) ${action(argument)} ;;`];
}

/** \`name:description\`, as _describe wants it. */
function described(name: string, description: string): string {
  return quoted(`${name.replaceAll(':', '\\:')}:${description}`);
}

function action(values: Values): string {
  switch (values.kind) {
    case 'words':
      return `compadd -- ${values.words.map(quoted).join(' ')}`;
    case 'files':
      return '_files';
    case 'directories':
      return '_files -/';
    case 'any':
      return ':';
  }
}
