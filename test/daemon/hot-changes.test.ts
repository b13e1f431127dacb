import { writeFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import t from 'tap';
import type { Test } from 'tap';
import type { StatusView } from '../../src/http/views.ts';
import { checkArrivals } from '../support/arrivals.ts';
import { runInside } from '../support/cli.ts';
import { BROWSER, browserFor, visit } from '../support/dashboard.ts';
import { type EventSource, listenTo } from '../support/event-source.ts';
import {
  type Answer,
  call,
  type Gate,
  generate,
  saying,
  startGate,
  statusOf,
} from '../support/gate.ts';
import { ManualClock } from '../support/manual-clock.ts';

const FLASH = 'gemini-2.5-flash';
const PRO = 'gemini-2.5-pro';
const MODELS = [FLASH, FLASH, PRO];
const AGENTS = 10;
/** Calls that wait or run whenever something is changed. */
const OPEN = 100;
const MINUTE_MS = 60_000;
/** As long as a unit is kept in its window, and a little. */
const WINDOW_MS = MINUTE_MS + 1_500;
/** A status is told at most this often. */
const STATUS_MS = 600;
/** No call may wait longer; what is left at the end takes a few minutes. */
const DRAIN_MS_MAX = 20 * MINUTE_MS;
/** Asking without a pause would take the processor from what is waited for. */
const POLL_MS = 3;
/** What the upstream grants, to the unit. */
const GRANTED = {
  [FLASH]: { rpm: 30, tpm: 100_000, rpd: null },
  [PRO]: { rpm: 20, tpm: 100_000, rpd: null },
};

const browser = browserFor(t);

/** A change, and how each place tells of it. */
interface Change {
  readonly name: string;
  readonly take: () => Promise<unknown>;
  /** What `GET /events` tells the page. */
  readonly told: (status: StatusView) => boolean;
  readonly command: readonly string[];
  readonly printed: RegExp;
  readonly logged: RegExp;
  readonly metric: string | RegExp;
  /** What a person sees on the page. */
  readonly seen: (page: Page) => Promise<void>;
  /** Whether calls are held from now on. */
  readonly isEnforced?: boolean;
  /** Whether a minute passes under it, so that the upstream judges what goes out then. */
  readonly letsWindowPass?: boolean;
}

/** A hundred calls of ten agents for two models, and more of them as they are answered. */
class Crowd {
  readonly answers: Answer[] = [];
  readonly #gate: Gate;
  readonly #clock: ManualClock;
  #sent = 0;

  constructor(gate: Gate, clock: ManualClock) {
    this.#gate = gate;
    this.#clock = clock;
  }

  get open(): number {
    return this.#sent - this.answers.length;
  }

  get sent(): number {
    return this.#sent;
  }

  /** Sends until a hundred are open, and waits until each is in the queue or upstream. */
  async fill(): Promise<void> {
    while (this.open < OPEN) {
      const index = this.#sent;
      this.#sent += 1;
      void call(this.#gate, generate(MODELS[index % MODELS.length] ?? FLASH), {
        headers: { 'x-headgate-agent': `agent-${index % AGENTS}` },
        body: saying(`Call ${index}. [[tag:call-${index}]] [[out:5]]`),
      }).then((answer) => this.answers.push(answer));
    }
    await this.settled();
  }

  /** Resolves once every call that does not wait has reached the upstream. */
  async settled(): Promise<number> {
    for (;;) {
      const { totals } = await statusOf(this.#gate);
      if (totals.waiting + reached(this.#gate) === this.#sent) return totals.waiting;
      await setTimeout(POLL_MS);
    }
  }

  /** Lets time pass; what goes out arrives before the clock moves on. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += STATUS_MS) {
      this.#clock.advance(STATUS_MS);
      await this.settled();
    }
  }

  /** Lets time pass until everybody has an answer. */
  async drain(): Promise<void> {
    for (let passed = 0; this.open > 0; passed += STATUS_MS) {
      if (passed > DRAIN_MS_MAX) throw new Error(`${this.open} calls have no answer`);
      await this.pass(STATUS_MS);
    }
  }
}

/** Calls that took quota, refused ones too; tokens may have been counted ahead besides. */
function reached({ simulator }: Gate): number {
  return simulator.arrivals.filter(({ requests }) => requests > 0).length;
}

const limitMetric = (limit: number) =>
  `headgate_quota_limit_units{project="default",model="${FLASH}",policy="rpm"} ${limit}\n`;
const configMetric = (mode: string, profile: string) =>
  `headgate_config_info{mode="${mode}",profile="${profile}"} 1\n`;
const limitOf = ({ partitions }: StatusView) =>
  partitions.find(({ model }) => model === FLASH)?.windows.find(({ policy }) => policy === 'rpm')
    ?.limit;
const meterUpTo = (limit: number) => (page: Page) =>
  page
    .getByRole('meter', { name: `Requests per minute, ${FLASH}` })
    .and(page.locator(`[aria-valuemax="${limit}"]`))
    .waitFor();
const banner = (text: string) => (page: Page) =>
  page.locator('.banner', { hasText: text }).waitFor();
const noBanner = (text: string) => (page: Page) =>
  page.locator('.banner', { hasText: text }).waitFor({ state: 'detached' });

/** Nothing is said of a mode, or of a file. */
const CALM = /^[^!]*profile massgen[^!]*$/;
const LIST = ['limits', 'list'];
const STATUS = ['status'];
const own = (flash: number, more: object = {}) => ({
  rate_limits: { gemini: { [FLASH]: { rpm: flash, tpm: 100_000 }, [PRO]: { rpm: 5 } } },
  ...more,
});
/** Without the limits of a day, which this many calls would reach. */
const massgen = (more: object = {}) => ({
  rate_limits: { profile: 'massgen', gemini: { [FLASH]: { rpd: null }, [PRO]: { rpd: null } } },
  ...more,
});

/** Changes of limits: in the file, from the command line, and by another profile. */
function limitChanges(gate: Gate, t: Test): Change[] {
  const ask = (argv: string[]) => runInside(t, [...argv, '--url', gate.url]);
  const limit = (rpm: number): Pick<Change, 'told' | 'command' | 'metric' | 'seen'> => ({
    told: (status) => limitOf(status) === rpm,
    command: LIST,
    metric: limitMetric(rpm),
    seen: meterUpTo(rpm),
  });
  return [
    {
      ...limit(30),
      name: 'a limit goes up',
      take: () => reload(gate, own(30)),
      printed: /gemini-2\.5-flash +30 /,
      logged: /in force: rpm of gemini-2\.5-flash is 30, was 10"/,
    },
    {
      ...limit(12),
      name: 'a limit goes down',
      letsWindowPass: true,
      take: () => reload(gate, own(12)),
      printed: /gemini-2\.5-flash +12 /,
      logged: /in force: rpm of gemini-2\.5-flash is 12, was 30"/,
    },
    {
      ...limit(25),
      name: 'a limit is set live',
      take: () => ask(['limits', 'set', FLASH, 'rpm=25']),
      printed: /gemini-2\.5-flash +25 .*rpm set live/,
      logged: /limits of gemini-2\.5-flash set live: rpm is 25, was 12"/,
      seen: banner(`rpm of ${FLASH} is set live to 25`),
    },
    {
      ...limit(12),
      name: 'and reset',
      take: () => ask(['limits', 'reset', FLASH]),
      printed: /gemini-2\.5-flash +12 /,
      logged: /limits of gemini-2\.5-flash reset: rpm is 12, was 25"/,
      seen: noBanner('is set live'),
    },
    {
      ...limit(9),
      name: 'another profile',
      letsWindowPass: true,
      take: () => reload(gate, massgen()),
      command: STATUS,
      printed: CALM,
      logged: /in force: profile is massgen, was none; .*rpm of gemini-2\.5-flash is 9, was 12/,
      metric: configMetric('enforce', 'massgen'),
      seen: (page) => page.locator('.truth .note', { hasText: 'profile massgen' }).waitFor(),
    },
  ];
}

/** Changes of the mode, each there and back. */
function modeChanges(gate: Gate): Change[] {
  const back = {
    take: () => reload(gate, massgen()),
    command: STATUS,
    isEnforced: true,
    letsWindowPass: true,
  };
  const enforced: Pick<Change, 'told' | 'printed' | 'metric'> = {
    told: ({ mode }) => mode === 'enforce',
    printed: CALM,
    metric: configMetric('enforce', 'massgen'),
  };
  return [
    {
      name: 'shadow mode',
      take: () => reload(gate, massgen({ mode: 'shadow' })),
      told: ({ mode }) => mode === 'shadow',
      command: STATUS,
      printed: /! Shadow mode: calls are counted and never held/,
      logged: /in force: mode is shadow, was enforce"/,
      metric: configMetric('shadow', 'massgen'),
      seen: banner('Shadow mode: calls are counted and never held'),
      isEnforced: false,
    },
    {
      ...back,
      ...enforced,
      name: 'and its end',
      logged: /in force: mode is enforce, was shadow"/,
      seen: noBanner('Shadow mode'),
    },
    {
      name: 'the rate limit off',
      take: () => reload(gate, massgen({ enable_rate_limit: false })),
      told: ({ mode }) => mode === 'off',
      command: STATUS,
      printed: /! The rate limit is off: calls go out at once/,
      logged: /in force: mode is off, was enforce"/,
      metric: configMetric('off', 'massgen'),
      seen: banner('The rate limit is off: calls go out at once'),
      isEnforced: false,
    },
    {
      ...back,
      ...enforced,
      name: 'and on',
      logged: /in force: mode is enforce, was off"/,
      seen: noBanner('The rate limit is off'),
    },
  ];
}

/** A file that cannot be read, and the same as before again. */
function brokenFile(gate: Gate): Change[] {
  return [
    {
      name: 'a broken file',
      async take() {
        writeFileSync(gate.file, '{ "rate_limits": ');
        const { status } = await call(gate, '/reload', { method: 'POST' });
        if (status !== 422) throw new Error(`it was answered ${status}`);
      },
      told: ({ config }) => config.reload_error !== null,
      command: STATUS,
      printed: /! The last reload was not taken/,
      logged: /reload failed, the former configuration stays in force: /,
      // The file is watched besides.
      metric: /headgate_config_reloads_total\{result="failed"\} [1-9]/,
      seen: banner('The last reload was not taken'),
    },
    {
      name: 'and mended',
      take: () => reload(gate, massgen()),
      told: ({ config, banners }) => config.reload_error === null && banners.length === 0,
      command: STATUS,
      printed: CALM,
      logged: /the file is good again: configuration \w+ stays in force/,
      metric: /headgate_config_reloads_total\{result="unchanged"\} [1-9]/,
      seen: noBanner('The last reload was not taken'),
    },
  ];
}

async function reload(gate: Gate, config: Parameters<Gate['configure']>[0]): Promise<void> {
  gate.configure(config);
  const { status, text } = await call(gate, '/reload', { method: 'POST' });
  if (status !== 200) throw new Error(text);
}

/** Holds that a change which was just taken is told in every place. */
async function isToldEverywhere(
  t: Test,
  change: Change,
  known: {
    readonly gate: Gate;
    readonly crowd: Crowd;
    readonly source: EventSource;
    /** Lines and events before the change. */
    readonly lines: number;
    readonly events: number;
  },
): Promise<void> {
  const { gate, crowd, source, lines, events } = known;
  await crowd.pass(STATUS_MS);
  await source.find(
    (seen) =>
      source.events.indexOf(seen) >= events &&
      seen.event === 'status' &&
      // The event's name says what it holds.
      change.told(seen.data as StatusView),
  );
  t.match(gate.log.slice(lines).join(''), change.logged, 'a line of the log');
  const argv = [...change.command, '--url', gate.url];
  t.match(
    (await runInside(t, argv, { columns: 200 })).stdout,
    change.printed,
    change.command.join(' '),
  );
  t.match((await call(gate, '/metrics')).text, change.metric, 'the metrics');
}

t.test('nothing is lost by any change, and each is told everywhere', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, {
    clock,
    config: own(10),
    // Answers take their time, so that calls run while something is changed.
    scenario: { models: GRANTED, latency: { first_byte: [2_000, 5_000], per_chunk: 0 } },
  });
  const crowd = new Crowd(gate, clock);
  await crowd.fill();
  // A model is a label of the metrics once it has answered.
  await crowd.pass(6_000);
  const source = await listenTo(gate.url);
  const page = BROWSER.skip === false ? (await visit(t, await browser(), gate.url)).page : null;
  const changes = [...limitChanges(gate, t), ...modeChanges(gate), ...brokenFile(gate)];
  const shown: string[] = [];
  let rejections = 0;
  let isEnforced = true;
  for (const change of changes) {
    await crowd.fill();
    t.comment(change.name);
    if (isEnforced) t.equal(crowd.open, OPEN, `${OPEN} calls wait or run`);
    else rejections = gate.simulator.score().refusedByQuota;
    const before = { lines: gate.log.length, events: source.events.length };
    await change.take();
    await isToldEverywhere(t, change, { gate, crowd, source, ...before });
    if (page !== null) await change.seen(page).then(() => shown.push(change.name));
    isEnforced = change.isEnforced ?? isEnforced;
    if (!isEnforced) {
      t.equal(await crowd.settled(), 0, 'nobody is held');
      rejections = gate.simulator.score().refusedByQuota;
      t.ok(rejections > 0, 'and more go out than the upstream grants');
    } else if (change.letsWindowPass === true) await crowd.pass(WINDOW_MS);
    const { refusedByQuota } = gate.simulator.score();
    t.equal(refusedByQuota, rejections, 'the upstream refuses none that is held');
  }
  await crowd.fill();
  await reload(gate, { rate_limits: { gemini: GRANTED } });
  const fromMs = clock.monotonicMs();
  await crowd.drain();
  const last = gate.simulator.arrivals.filter(({ atMs }) => atMs >= fromMs);
  t.strictSame(checkArrivals(last, GRANTED, MINUTE_MS, 'arrival'), []);
  everybodyIsAnsweredOnce(t, gate, crowd, rejections);
  await t.test('the page has shown each of them', BROWSER, async (t) => {
    t.strictSame(
      shown,
      changes.map(({ name }) => name),
    );
  });
});

function everybodyIsAnsweredOnce(t: Test, gate: Gate, crowd: Crowd, rejections: number): void {
  const tags = gate.simulator.arrivals
    .filter(({ requests }) => requests > 0)
    .map(({ agentTag }) => agentTag);
  t.equal(new Set(tags).size, crowd.sent, 'every call has reached the upstream');
  t.equal(tags.length, crowd.sent, 'and none of them twice');
  const { answers } = crowd;
  t.equal(answers.length, crowd.sent, 'every call is answered');
  const ok = answers.filter(({ status }) => status === 200).length;
  const refused = answers.filter(({ status }) => status === 429).length;
  t.equal(refused, rejections, 'with a 429 only where headgate was told not to hold calls');
  t.equal(ok + refused, crowd.sent);
  t.equal(gate.simulator.score().refusedByQuota, rejections);
  t.comment(`${crowd.sent} calls, ${rejections} of them refused upstream while nothing was held`);
}
