import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { loadConfig } from '../config/load.ts';
import { ConfigError } from '../config/problems.ts';
import type { StatusView } from '../http/views.ts';
import { CommandFailure, type CliContext, printJson, printLine } from './context.ts';
import {
  addClientOptions,
  type ClientFlags,
  connect,
  DEFAULT_URL,
  locateDaemon,
} from './daemon-client.ts';
import { checkConfig, checkNode, checkPort, checkStorage, checkZone } from './doctor-checks.ts';
import type { Finding, Patient } from './doctor-finding.ts';
import { checkLimiters, checkShell } from './doctor-shell.ts';
import { checkUpstream } from './doctor-upstream.ts';
import { styleFor } from './style.ts';
import { counted } from './words.ts';

interface DoctorFlags extends ClientFlags {
  readonly json?: boolean;
}

/** A daemon answers from memory; one that takes longer is worth a finding. */
const STATUS_MS_MAX = 3_000;

export function addDoctor(program: Command, context: CliContext): void {
  addClientOptions(
    program
      .command('doctor')
      .description('port, configuration, database, clock, upstream, key: each ok or a hint')
      .option('--json', 'print JSON'),
  )
    .addHelpText(
      'after',
      `
Examples:
  headgate doctor
  headgate doctor --config ./headgate.yaml
  headgate doctor --json | jq '.checks[] | select(.level != "ok")'

Works with a running daemon and without one. Costs no quota: it only asks for the list of models.
Exits with 1 when a check has failed; a warning is none.`,
    )
    .action((flags: DoctorFlags) => doctor(context, flags));
}

async function doctor(context: CliContext, flags: DoctorFlags): Promise<void> {
  const findings = await examine(context, flags);
  const failed = findings.filter(({ level }) => level === 'fail').length;
  const { stdout, env } = context;
  if (flags.json === true) printJson(stdout, { ok: failed === 0, checks: findings });
  else {
    const style = styleFor(stdout, env);
    const paint = { ok: style.green, warn: style.yellow, fail: style.red };
    const width = Math.max(...findings.map(({ check }) => check.length));
    for (const { check, level, message, hint } of findings) {
      const name = check.padEnd(width);
      const margin = ' '.repeat(6 + width + 2);
      const text = message.replaceAll('\n', `\n${margin}`);
      printLine(stdout, `${paint[level](level.padEnd(4))}  ${name}  ${text}`);
      if (hint !== null) printLine(stdout, `${margin}${style.dim(hint)}`);
    }
  }
  if (failed > 0) throw new CommandFailure('failed', `${counted(failed, 'check')} failed`);
}

async function examine(context: CliContext, flags: DoctorFlags): Promise<Finding[]> {
  const patient = await admit(context, flags);
  return [
    checkNode(),
    checkZone(),
    ...checkConfig(patient),
    await checkPort(patient),
    checkStorage(patient),
    ...(await checkUpstream(context, patient)),
    ...checkShell(context.env, patient.address.url),
    checkLimiters(),
  ];
}

async function admit(context: CliContext, flags: DoctorFlags): Promise<Patient> {
  const here = configOf(context, flags.config ?? null);
  // Without a configuration nothing but the usual address is known.
  const url = flags.url ?? context.env['HEADGATE_URL'];
  const isNamed = url !== undefined && url !== '';
  const named = here.config === null && !isNamed ? { ...flags, url: DEFAULT_URL } : flags;
  const address = { ...locateDaemon(context, named), isNamed };
  const client = connect(address, STATUS_MS_MAX);
  let status: StatusView | null = null;
  let trouble: CommandFailure | null = null;
  try {
    const answer = await client.ask<Partial<StatusView>>('GET', '/status');
    // Anything may answer at that port, and in JSON too.
    if (!isStatus(answer)) {
      throw new CommandFailure('unreachable', `what answers at ${address.url} is not headgate`);
    }
    status = answer;
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    trouble = error;
  } finally {
    await client.close();
  }
  // Of a daemon that runs with another file than would be found here, its own one counts.
  const theirs = status?.config.file ?? null;
  const isOther = flags.config === undefined && theirs !== null && existsSync(theirs);
  return { ...(isOther ? configOf(context, theirs) : here), address, status, trouble };
}

function isStatus(answer: Partial<StatusView>): answer is StatusView {
  const { version, config, upstream, database } = answer;
  return [version, config, upstream, database].every((part) => part !== undefined);
}

function configOf({ env, cwd }: CliContext, file: string | null) {
  try {
    return { config: loadConfig({ file, env, cwd, flags: {} }), problems: [] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { config: null, problems: error.problems };
  }
}
