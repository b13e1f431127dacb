import t from 'tap';
import { sampleSession } from '../../src/cli/sample-session.ts';
import { openConfined } from '../../src/sessions/confined-directory.ts';
import { massgenReader } from '../../src/sessions/readers/massgen.ts';

t.test('the sample session reads without a single warning', async (t) => {
  const directory = openConfined(sampleSession());
  t.ok(massgenReader.claims(directory));
  const session = massgenReader.read(directory);
  t.strictSame(session.warnings, []);
  t.strictSame(
    session.turns.map(({ number, winner, answered, degraded }) => ({
      number,
      winner,
      answered,
      degraded,
    })),
    [
      { number: 1, winner: 'agent_a', answered: true, degraded: false },
      { number: 2, winner: 'agent_b', answered: true, degraded: false },
    ],
  );
  t.strictSame(
    session.agents.map(({ type }) => type),
    ['gemini', 'gemini'],
  );
  t.equal(session.nextTurn, 3);
});
