import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { runInside } from '../support/cli.ts';

/** What the user has written, and how the last word can go on. */
type Cases = readonly (readonly [line: string, expected: readonly string[]])[];

/** The last word of each line is the one that is completed. */
const EXACT: Cases = [
  ['headgate us', ['usage']],
  ['headgate limits ', ['list', 'set', 'reset', 'help']],
  ['headgate usage --by ', ['model', 'agent', 'project', 'day']],
  ['headgate usage --by a', ['agent']],
  ['headgate usage --since 7d --cs', ['--csv']],
  ['headgate --log-level w', ['warn']],
  ['headgate serve --log-level w', ['warn']],
  ['headgate completion ', ['bash', 'zsh', 'fish']],
  ['headgate env genai', ['genai-js', 'genai-python']],
  // An agent that is called like a command is none.
  ['headgate explain m --agent limits --pro', ['--project']],
  ['headgate limits set m rpm=5 --pro', ['--project']],
  ['headgate check --config c.', ['c.yaml']],
  ['headgate sessions show lo', ['logs/']],
  ['headgate continue lo', ['logs/']],
  ['headgate simulate --scenario c.', ['c.yaml']],
  ['headgate usage --nothing', []],
];

/** A directory with the script in it, and something to complete. */
async function stage(t: Test, shell: string): Promise<{ directory: string; file: string }> {
  const directory = t.testdir({ 'c.yaml': '', 'other.txt': '' });
  mkdirSync(join(directory, 'logs'));
  const { code, stdout, stderr } = await runInside(t, ['completion', shell]);
  t.same([code, stderr], [0, '']);
  const file = join(directory, 'headgate-completion');
  writeFileSync(file, stdout);
  return { directory, file };
}

function absent(shell: string): string | false {
  const { error } = spawnSync(shell, ['-c', 'exit 0']);
  return error === undefined ? false : `${shell} is not installed`;
}

/** Some shells write the slash behind a directory, and some put it there when it is taken. */
function compared(words: readonly string[]): string[] {
  return words.map((word) => word.replace(/\/$/, '').trim()).toSorted();
}

t.test('bash completes commands, flags and values.', { skip: absent('bash') }, async (t) => {
  const { directory, file } = await stage(t, 'bash');
  const complete = (line: string): string[] => {
    // As bash itself would break the line.
    const words = line
      .split(' ')
      .flatMap((word) => word.split(/(=)/).filter((part, at) => part !== '' || at === 0));
    const script = `source ${file}
complete -p headgate >/dev/null || exit 1
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _headgate
[[ \${#COMPREPLY[@]} == 0 ]] || printf '%s\\n' "\${COMPREPLY[@]}"`;
    const args = ['--norc', '--noprofile', '-c', script, 'bash', ...words];
    const printed = execFileSync('bash', args, { cwd: directory, encoding: 'utf8' });
    return printed.split('\n').filter((word) => word !== '');
  };
  for (const [line, expected] of EXACT) t.same(compared(complete(line)), compared(expected), line);
  t.same(complete('headgate usage --by=a'), ['agent'], 'bash breaks a word at =');
  t.same(complete('headgate usage --by=agent --cs'), ['--csv']);
  const flags = complete('headgate serve --');
  for (const flag of ['--config', '--rate-limit', '--no-rate-limit', '--simulate', '--help']) {
    t.ok(flags.includes(flag), flag);
  }
});

t.test('zsh completes commands, flags and values.', { skip: absent('zsh') }, async (t) => {
  const { directory, file } = await stage(t, 'zsh');
  // zsh completes at a terminal only. One of its own presses Tab in another, whose compadd tells
  // what it is given.
  const inner = join(directory, 'inner.zsh');
  writeFileSync(
    inner,
    `PROMPT=; RPROMPT=; unsetopt prompt_sp
autoload -Uz compinit && compinit -u -D
source ${file}
compadd() {
  if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then builtin compadd "$@"; return; fi
  local -a hits
  builtin compadd -A hits "$@"
  (( \${#hits} )) && print -l -- "HIT:"\${^hits}:TIH
  builtin compadd "$@"
}
ended() { print ENDED; exit }
comppostfuncs=(ended)
bindkey '^I' complete-word
print READY
`,
  );
  const outer = `zmodload zsh/zpty || exit 1
cd ${directory}
zpty z zsh -f -i
zpty -w z "source ${inner}"
zpty -r z out '*READY*'
zpty -w -n z "$1"$'\\t'
zpty -r z out '*ENDED*'
print -r -- "$out"`;
  const complete = (line: string): string[] => {
    const env = { PATH: process.env['PATH'], HOME: directory, TERM: 'dumb' };
    const printed = execFileSync('zsh', ['-f', '-c', outer, 'zsh', line], {
      env,
      encoding: 'utf8',
      timeout: 20_000,
    });
    return [...printed.matchAll(/HIT:(.*?):TIH/g)].map(([, hit = '']) => hit);
  };
  for (const [line, expected] of EXACT) {
    t.same(compared([...new Set(complete(line))]), compared(expected), line);
  }
  t.same(complete('headgate usage --by=a'), ['agent']);
});

t.test('fish completes commands, flags and values.', { skip: absent('fish') }, async (t) => {
  const { directory, file } = await stage(t, 'fish');
  const complete = (line: string): string[] => {
    const printed = execFileSync(
      'fish',
      ['--no-config', '-c', `source ${file}; complete -C "$argv[1]"`, line],
      { cwd: directory, encoding: 'utf8', env: { PATH: process.env['PATH'], HOME: directory } },
    );
    // The description stands behind a tab.
    return printed.split('\n').flatMap((one) => (one === '' ? [] : [one.split('\t')[0] ?? '']));
  };
  for (const [line, expected] of EXACT) t.same(compared(complete(line)), compared(expected), line);
  t.same(complete('headgate usage --by=a'), ['--by=agent']);
});

t.test('A shell that is not known is refused with those that are.', async (t) => {
  const { code, stderr } = await runInside(t, ['completion', 'tcsh']);
  t.equal(code, 2);
  t.match(stderr, /bash, zsh, fish/);
});
