import { readdirSync } from 'node:fs';
import t from 'tap';
import { FaultPlan } from '../../src/simulator/faults.ts';
import {
  loadScenario,
  makeScenario,
  parseScenario,
  resolvedModel,
  rowOf,
  ScenarioError,
} from '../../src/simulator/scenario.ts';

t.test('the strict scenario has the rows of the free tier and those of MassGen', async (t) => {
  const scenario = makeScenario();
  t.match(rowOf(scenario, 'gemini-2.5-flash'), { rpm: 10, tpm: 250_000, rpd: 250 });
  t.match(rowOf(scenario, 'gemini-2.5-pro'), { rpm: 2, tpm: 125_000, rpd: 50 });
  t.match(rowOf(scenario, 'gemini-3.8-flash'), { rpm: 5, tpm: 250_000, rpd: 20 });
  t.match(rowOf(scenario, 'gemini-3.5-flash-lite'), { rpm: 15, rpd: 500 }, 'the longest pattern');
  t.match(rowOf(scenario, 'constructor'), { rpm: 7, tpm: 100_000, rpd: 100 }, 'any other');
  t.equal(resolvedModel(scenario, 'gemini-flash-latest'), 'gemini-3.8-flash');
  t.equal(resolvedModel(makeScenario({ aliases: { a: 'b', b: 'a' } }), 'a'), 'b', 'a ring ends');
});

t.test('a file says only what differs', async (t) => {
  const scenario = parseScenario(
    'minute: utc\nmodels: { m: { rpm: 1 } }\nlatency: { chunks: 2 }\n',
  );
  t.equal(scenario.minute, 'utc');
  t.same(rowOf(scenario, 'm'), {
    rpm: 1,
    tpm: null,
    rpd: null,
    max_input_tokens: 1_048_576,
    live_sessions: null,
  });
  t.same(scenario.latency, { chunks: 2, per_chunk: 10, first_byte: [20, 80] });
  t.same(parseScenario(''), makeScenario());
});

t.test('every mistake is named with its place', async (t) => {
  const mistakes = (text: string): string => {
    try {
      parseScenario(text, 'f.yaml');
      return 'none';
    } catch (error) {
      if (!(error instanceof ScenarioError)) throw error;
      return error.message;
    }
  };
  t.equal(
    mistakes('models:\n  gemini-2.5-pro: { rpm: -1, foo: 2 }\nminute: utcc\n'),
    [
      'f.yaml:2:35: models.gemini-2.5-pro.foo is not a known key',
      'f.yaml:2:26: models.gemini-2.5-pro.rpm must be >= 0',
      'f.yaml:3:9: minute must be one of sliding, utc',
    ].join('\n'),
  );
  t.match(
    mistakes('faults:\n  - answer: 418\n'),
    /^f.yaml:2:13: faults\.0\.answer must be one of 429-minute/,
  );
  t.match(mistakes('faults:\n  - match: {}\n'), /faults\.0 must have required properties answer/);
  t.equal(
    mistakes('latency: { first_byte: [5, 1] }'),
    'f.yaml:1:24: latency.first_byte must be [smallest, largest]',
  );
  t.match(mistakes('minute: [1'), /^f.yaml:1:/);
  t.match(mistakes('[]'), /^f.yaml:1:1: scenario must be object/);
});

t.test('every shipped scenario loads', async (t) => {
  const folder = new URL('../../config/scenarios/', import.meta.url);
  const files = readdirSync(folder);
  t.ok(files.length >= 4);
  for (const file of files) {
    const scenario = loadScenario(new URL(file, folder).pathname);
    t.equal(`${scenario.name}.yaml`, file);
  }
  t.same(
    loadScenario(new URL('strict.yaml', folder).pathname),
    makeScenario(),
    'strict is the default',
  );
});

t.test('a fault answers the calls that all of its conditions match', async (t) => {
  const draw = (match: object, calls = 6, random = () => 0.5): string => {
    const scenario = makeScenario({ faults: [{ match, answer: '503' }] });
    const plan = new FaultPlan(scenario.faults, random);
    return Array.from({ length: calls }, (_, at) => (plan.next('pro', at * 10) ? 'x' : '.')).join(
      '',
    );
  };
  t.equal(draw({}), 'xxxxxx');
  t.equal(draw({ nth: [1, 4] }), 'x..x..');
  t.equal(draw({ every: 2 }), '.x.x.x');
  t.equal(draw({ rate: 0.5 }), '......');
  t.equal(draw({ rate: 0.51 }), 'xxxxxx');
  t.equal(draw({ model: 'p*' }), 'xxxxxx');
  t.equal(draw({ model: 'flash' }), '......');
  t.equal(draw({ after_ms: 20, until_ms: 40 }), '..xx..');
  t.equal(draw({ after_ms: 20, nth: [1] }), '..x...', 'only calls within the time are counted');
});
