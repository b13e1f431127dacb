import t from 'tap';
import { freePort } from '../support/daemon.ts';
import { barriersOf, BROWSER, browserFor, visit } from '../support/dashboard.ts';
import { call, GENERATE, limits, saying, startGate } from '../support/gate.ts';

const browser = browserFor(t);

t.test('the page asks for the token, and keeps it for the tab', BROWSER, async (t) => {
  const token = 'a-token-for-this-test';
  const gate = await startGate(t, { config: { admin: { token } } });
  const { page } = await visit(t, await browser(), gate.url);
  const field = page.getByRole('textbox', { name: 'Token' });
  await field.waitFor();
  await page.locator('#token:focus').waitFor();
  t.strictSame(await barriersOf(page), []);
  await field.fill('another');
  await page.getByRole('button', { name: 'Open' }).click();
  await page.getByRole('alert').filter({ hasText: 'not the value of admin.token' }).waitFor();
  await field.fill(token);
  await field.press('Enter');
  await page.getByText('No call has come yet').waitFor();
  await page.reload();
  await page.getByText('No call has come yet').waitFor();
  t.notMatch(await page.content(), token);
});

t.test('a lost connection is told, and comes back by itself', BROWSER, async (t) => {
  const listen = `127.0.0.1:${await freePort()}`;
  const gate = await startGate(t, { config: { listen, rate_limits: limits({ rpm: 10 }) } });
  await call(gate, GENERATE, { body: saying('Hello') });
  const { page } = await visit(t, await browser(), gate.url);
  const meter = page.getByRole('meter', { name: /^Requests per minute/ });
  await meter.waitFor();
  await gate.stop();
  await page.getByText('No connection.').waitFor();
  t.equal(await meter.count(), 1, 'what was last known is still there');
  t.strictSame(await barriersOf(page), []);
  await gate.restart();
  await page.getByText('No connection.').waitFor({ state: 'detached' });
  await call(gate, GENERATE, { body: saying('Hello') });
  await meter.and(page.locator('[aria-valuenow="2"]')).waitFor();
});

t.test('a reload that was not taken is told until the file is good again', BROWSER, async (t) => {
  const gate = await startGate(t);
  const { page } = await visit(t, await browser(), gate.url);
  const reload = page.getByRole('button', { name: 'Reload' });
  const said = page.locator('.reload .said');
  await reload.click();
  await said.filter({ hasText: 'nothing new' }).waitFor();
  gate.configure({ nonsense: true });
  await reload.click();
  await said.filter({ hasText: 'not taken' }).waitFor();
  await page.getByText('The last reload was not taken').waitFor();
  gate.configure({});
  await page.getByText('The last reload was not taken').waitFor({ state: 'detached' });
  t.equal(await said.innerText(), '');
});
