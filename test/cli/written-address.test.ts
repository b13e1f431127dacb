import { writeFileSync } from 'node:fs';
import t from 'tap';
import { runInside } from '../support/cli.ts';
import { freePort } from '../support/daemon.ts';
import { startGate } from '../support/gate.ts';

t.test('A daemon is found by a configuration with mistakes, and says which.', async (t) => {
  const listen = `127.0.0.1:${await freePort()}`;
  const token = 'a-token-for-this-test';
  const gate = await startGate(t, { config: { listen, admin: { token } } });
  const ask = (command: string) => runInside(t, [command, '--config', gate.file]);
  t.match(await ask('status'), { code: 0, stderr: '' });
  for (const [text, what] of [
    [`listen: ${listen}\nadmin: { token: ${token} }\nnonsense: true\n`, /nonsense/],
    [`listen: ${listen}\nadmin: { token: ${token} }\nqueue: [\n`, /this is not YAML/],
  ] as const) {
    writeFileSync(gate.file, text);
    const reload = await ask('reload');
    t.equal(reload.code, 78);
    t.match(reload.stderr, what);
    const { code, stdout, stderr } = await ask('status');
    t.equal(code, 0);
    t.match(stdout.replaceAll(/\s+/g, ' '), /! The last reload was not taken/);
    t.match(stderr, `has mistakes (see headgate check); trying ${gate.url}`);
  }
  for (const text of ['nonsense: true\n', 'listen: ${NOBODY_SETS_THIS}\n', 'listen: elsewhere\n']) {
    writeFileSync(gate.file, text);
    const { stderr } = await ask('status');
    t.match(stderr, 'trying http://127.0.0.1:4290', 'what it does not say is as by default');
  }
});
