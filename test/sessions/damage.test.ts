import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { distance } from 'fastest-levenshtein';
import t, { type Test } from 'tap';
import { readSession } from '../../src/sessions/read-session.ts';
import type { Session, SessionLog, Turn } from '../../src/sessions/session.ts';
import { expectedLogs, LOGS, NO_LOGS } from '../support/recorded-logs.ts';

const ENTRIES = ['v0.1.8-three-turns', 'v0.1.12-continued', 'v0.1.5-inter'];

interface Sample {
  /** Absolute path of the copy of the entry. */
  readonly entry: string;
  readonly log: SessionLog;
  /** Regular files of log and store, relative to the entry. */
  readonly files: readonly string[];
  readonly whole: Session;
}

type Damage = readonly [kind: string, damage: (path: string, bytes: Buffer) => void];

/** Where a byte is flipped, as parts of the file's length. */
const FLIPS = [0.02, 0.2, 0.45, 0.7, 0.9];

/** Root may read everything, so for root a pipe stands for what cannot be read. */
const UNREADABLE: Damage =
  process.getuid?.() === 0
    ? ['made a pipe', (path) => void spawnSync('mkfifo', [path])]
    : [
        'made unreadable',
        (path, bytes) => {
          writeFileSync(path, bytes);
          chmodSync(path, 0);
        },
      ];

const DAMAGES: readonly Damage[] = [
  ['deleted', () => {}],
  ['emptied', (path) => writeFileSync(path, '')],
  ['made a directory', (path) => mkdirSync(path)],
  ['made a link', (path) => symlinkSync('/etc/passwd', path)],
  UNREADABLE,
  ...Array.from({ length: 10 }, (_, tenth): Damage => [
    `cut at ${tenth * 10 + 5} %`,
    (path, bytes) =>
      writeFileSync(path, bytes.subarray(0, Math.floor((bytes.length * (tenth * 2 + 1)) / 20))),
  ]),
  ...FLIPS.map((part, index): Damage => [
    `flipped at ${part}`,
    (path, bytes) => writeFlipped(path, bytes, Math.floor(bytes.length * part), index),
  ]),
];

for (const entry of ENTRIES) {
  t.test(
    `${entry} with its session store survives damage to each of its files`,
    { skip: NO_LOGS },
    async (t) => {
      const sample = copyOf(t, entry, true);
      t.equal(sample.whole.turns.length, 3);
      const problems = sample.files.flatMap((file) => damageEach(sample, file, DAMAGES));
      t.strictSame(problems, []);
      t.strictSame(readSession(sample.log), sample.whole, 'the log is whole again');
    },
  );

  t.test(
    `${entry} without its session store survives damage to each of its files`,
    { skip: NO_LOGS },
    async (t) => {
      const sample = copyOf(t, entry, false);
      const fewer = DAMAGES.filter((_, index) => index % 3 === 0);
      const problems = sample.files.flatMap((file) => damageEach(sample, file, fewer));
      t.strictSame(problems, []);
    },
  );
}

function copyOf(t: Test, name: string, withStore: boolean): Sample {
  const [path, expected] = expectedLogs().find(([, log]) => log.entry === name) ?? [];
  if (path === undefined || typeof expected?.session_dir !== 'string') {
    throw new Error(`${name} is not there`);
  }
  const base = t.testdir();
  const entry = join(base, name);
  const store = join(entry, expected.session_dir);
  cpSync(join(LOGS, path), join(base, path), { recursive: true, verbatimSymlinks: true });
  if (withStore) cpSync(join(LOGS, name, expected.session_dir), store, { recursive: true });
  const log: SessionLog = {
    name: path,
    root: null,
    directory: join(base, path),
    file: null,
    format: 'massgen',
    store: withStore ? store : null,
    beside: join(base, 'beside'),
  };
  const files = readdirSync(entry, { recursive: true, withFileTypes: true })
    .filter((one) => one.isFile())
    .map((one) => relative(entry, join(one.parentPath, one.name)))
    .toSorted();
  for (const file of files) chmodSync(join(entry, file), 0o600);
  for (const one of readdirSync(base, { recursive: true, withFileTypes: true })) {
    if (one.isDirectory()) chmodSync(join(one.parentPath, one.name), 0o700);
  }
  return { entry, log, files, whole: readSession(log) };
}

/** Damages the file in every way, one at a time, and puts it right again; answers with what went wrong. */
function damageEach(sample: Sample, file: string, damages: readonly Damage[]): string[] {
  const path = join(sample.entry, file);
  const bytes = readFileSync(path);
  const problems: string[] = [];
  const inTexts = sample.whole.turns.flatMap(({ number, question, answer }): Damage[] => {
    const places = [question, answer].map((text) => (text === null ? -1 : bytes.indexOf(text)));
    return places
      .filter((at) => at >= 0)
      .map((at) => [
        `with a byte of turn ${number} flipped at ${at}`,
        (target, whole) => writeFlipped(target, whole, at, 0),
      ]);
  });
  for (const [kind, damage] of [...damages, ...inTexts]) {
    rmSync(path);
    damage(path, bytes);
    try {
      const found = problemsOf(readSession(sample.log), sample, path);
      problems.push(...found.map((one) => `${file} ${kind}: ${one}`));
    } catch (error) {
      problems.push(`${file} ${kind}: ${String(error)}`);
    }
    if (lstatSync(path, { throwIfNoEntry: false })) rmSync(path, { recursive: true });
    writeFileSync(path, bytes);
  }
  return problems;
}

function writeFlipped(path: string, bytes: Buffer, at: number, bit: number): void {
  const flipped = Buffer.from(bytes);
  flipped[at] = (flipped[at] ?? 0) ^ (1 << ((bit * 3) % 8));
  writeFileSync(path, flipped);
}

function problemsOf(found: Session, sample: Sample, damaged: string): string[] {
  const { whole, log } = sample;
  const problems: string[] = [];
  if (JSON.stringify(found).includes('root:')) problems.push('shows a file outside');
  let intact = 0;
  for (const turn of found.turns) {
    const truth = whole.turns.find((one) => one.number === turn.number);
    if (truth === undefined) problems.push(`turn ${turn.number} never was`);
    else if (turn.question === truth.question && turn.answer === truth.answer) intact++;
    else if (turn.question !== null && turn.answer !== null) {
      const shown = `${JSON.stringify(turn.question)} with ${JSON.stringify(turn.answer)}`;
      if (!isOf(turn, truth)) problems.push(`${shown} from ${turn.answerSource}`);
      const marked =
        turn.degraded ||
        !turn.answered ||
        found.warnings.some(
          (one) => one.file === turn.answerSource || one.file === turn.questionSource,
        );
      // Without a store nothing else has the answer, so nothing can tell that it is damaged.
      const only = log.store === null && join(log.directory, truth.answerSource ?? '') === damaged;
      if (!marked && !only) problems.push(`${shown} is not marked`);
    }
  }
  if (intact < 2) problems.push(`only ${intact} turns are whole`);
  if (found.nextTurn !== whole.nextTurn) problems.push(`the next turn is ${found.nextTurn}`);
  if (intact < 3 && found.warnings.length <= whole.warnings.length) {
    const lost = found.turns.find((one) => one.answer === null || one.question === null);
    if (lost !== undefined || found.turns.length < 3) problems.push('nothing is said of the loss');
  }
  return problems;
}

/** Whether the pair is of this turn: its own texts, cut or with one byte changed, or its draft. */
function isOf(turn: Turn, truth: Turn): boolean {
  const draft = `Draft answer to: ${truth.question} é中😀`;
  return (
    isNear(turn.question, truth.question) &&
    (isNear(turn.answer, truth.answer) || isNear(turn.answer, draft))
  );
}

/** A changed byte can turn characters beyond ASCII into several others, so only ASCII is compared. */
function isNear(found: string | null, truth: string | null): boolean {
  const [one, other] = [found, truth].map((text) => (text ?? '').replace(/[^\0-\x7f]/g, ''));
  return (
    one !== undefined && other !== undefined && (other.startsWith(one) || distance(one, other) <= 1)
  );
}
