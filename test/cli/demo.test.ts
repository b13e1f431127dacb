import t from 'tap';
import { runInside } from '../support/cli.ts';

t.test('the demo shows a fleet that draws no 429, and one that does', async (t) => {
  const { code, stdout, stderr } = await runInside(t, ['demo', '--plain']);
  t.equal(code, 0, 'none was drawn through headgate', { stdout, stderr });
  const rows = new Map(
    stdout.split('\n').map((line) => {
      const [name = '', ...columns] = line.split(/\s{2,}/);
      return [name, columns];
    }),
  );
  t.strictSame(rows.get('upstream 429s')?.[0], '0');
  t.strictSame(rows.get('calls answered')?.[0], '48 of 48');
  t.not(rows.get('calls answered')?.[1], '48 of 48', 'without it, the quota is in the way');
  t.not(rows.get('upstream 429s')?.[1], '0');
  t.match(stdout, /A past conversation goes on\n(.*\n)+ +written beside the old turns/);
  t.notMatch(stdout, /turn_2\/final/, 'a turn that was there is not written again');
});
