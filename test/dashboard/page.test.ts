import t from 'tap';
import type { Page } from 'playwright-core';
import { barriersOf, BROWSER, browserFor, isTooWide, visit } from '../support/dashboard.ts';
import {
  call,
  GENERATE,
  generate,
  type Gate,
  limitOf,
  limits,
  MODEL,
  saying,
  send,
  startGate,
  waiting,
} from '../support/gate.ts';

const browser = browserFor(t);

const meterOf = (page: Page, model = MODEL) =>
  page.getByRole('meter', { name: `Requests per minute, ${model}` });

/** Somebody's call, answered. */
async function ask(gate: Gate, agent: string, model = MODEL): Promise<void> {
  const headers = { 'x-headgate-agent': agent };
  const { status, text } = await call(gate, generate(model), { headers, body: saying('Hello') });
  if (status !== 200) throw new Error(`${agent} was answered ${status}: ${text}`);
}

t.test('before the first call the page says how to point a client here', BROWSER, async (t) => {
  const gate = await startGate(t);
  const { page, faults } = await visit(t, await browser(), gate.url);
  const steps = page.getByRole('region', { name: 'No call has come yet' });
  await steps.waitFor();
  const text = await steps.innerText();
  t.match(text, `curl '${gate.url}/v1beta/models/`);
  t.match(text, `export GOOGLE_GEMINI_BASE_URL='${gate.url}'`);
  t.strictSame(await barriersOf(page), []);
  await ask(gate, 'first');
  await page.getByRole('cell', { name: 'first' }).waitFor();
  t.equal(await steps.count(), 0, 'they go away with the first call');
  t.strictSame(faults, []);
});

t.test('bars and rows move while calls run, and nothing else is asked for', BROWSER, async (t) => {
  const gate = await startGate(t, { config: { rate_limits: limits({ rpm: 10 }) } });
  await ask(gate, 'one');
  const { page, faults } = await visit(t, await browser(), gate.url);
  await meterOf(page).and(page.locator('[aria-valuenow="1"]')).waitFor();
  await Promise.all([ask(gate, 'two'), ask(gate, 'two'), ask(gate, 'three')]);
  await meterOf(page).and(page.locator('[aria-valuenow="4"]')).waitFor();
  const rows = page.getByRole('region', { name: 'The last calls' }).locator('tbody tr');
  await rows.nth(3).waitFor();
  await page.getByLabel('Agent').selectOption('two');
  await page.getByText('2 of 4').waitFor();
  t.equal(await rows.count(), 2, 'only those that are asked for are shown');
  await page.getByRole('img', { name: /^Requests: \d calls$/ }).waitFor();
  await page.getByRole('button', { name: 'Last day' }).click();
  await page.getByRole('img', { name: 'Requests: 4 calls' }).waitFor();
  t.strictSame(faults, []);
});

t.test('a waiting call is cancelled from the page, and its client is told', BROWSER, async (t) => {
  const gate = await startGate(t, { config: { rate_limits: limits({ rpm: 1 }) } });
  await ask(gate, 'quick');
  const sent = send(gate, GENERATE, {
    headers: { 'x-headgate-agent': 'slow' },
    body: saying('Hello'),
  });
  await waiting(gate, 1);
  const { page, faults } = await visit(t, await browser(), gate.url);
  const row = page.getByRole('row').filter({ hasText: 'requests per minute' });
  await row.getByRole('cell', { name: 'slow', exact: true }).waitFor();
  await row.getByRole('button', { name: 'Cancel the call of slow', exact: true }).click();
  await row.getByRole('button', { name: 'Sure? Cancel the call of slow' }).click();
  const answer = await sent.answer;
  t.equal(answer.headers['x-headgate-refused'], 'CANCELLED');
  await page.locator('#waiting-title:focus').waitFor();
  await page.getByText('Nobody waits.').waitFor();
  const refused = page.locator('.recent .outcome').filter({ hasText: 'refused CANCELLED' });
  await refused.locator('summary').press('Enter');
  await refused.getByText(/was taken out of the queue/).waitFor();
  t.strictSame(await barriersOf(page), []);
  t.strictSame(faults, []);
});

t.test('of all who wait, who goes next comes first, with reason and time', BROWSER, async (t) => {
  const open = { rpm: null, tpm: null, rpd: null };
  const windows = [{ name: 'slow', unit: 'requests', limit: 1, per: '10m' }];
  const gemini = { default: open, 'a-model': { ...open, windows }, 'b-model': { ...open, rpm: 1 } };
  const gate = await startGate(t, { config: { rate_limits: { gemini } } });
  for (const [count, model] of ['a-model', 'b-model'].entries()) {
    await ask(gate, 'quick', model);
    const headers = { 'x-headgate-agent': `waits-for-${model}` };
    send(gate, generate(model), { headers, body: saying('Hello') });
    await waiting(gate, count + 1);
  }
  const { page, faults } = await visit(t, await browser(), gate.url);
  const rows = page.locator('.waiting tbody tr');
  await rows.nth(1).waitFor();
  t.match(await rows.nth(0).innerText(), 'waits-for-b-model');
  t.match(
    await rows.nth(0).locator('.reason').innerText(),
    /^requests per minute: needs 1, 1 of 1 used, room at \d\d:\d\d:\d\d$/,
  );
  t.match(await rows.nth(1).innerText(), 'waits-for-a-model');
  await page.getByText('next slot in 9 min').waitFor();
  t.equal(await page.getByText('/ no limit').count(), 5, 'three of one and two of the other');
  t.equal(await page.locator('.gauge-next time').count(), 2, 'what has no limit frees no slot');
  await page.setViewportSize({ width: 390, height: 844 });
  t.equal(await rows.nth(0).locator('.place').isVisible(), true, 'on a phone, too');
  t.strictSame(faults, []);
});

t.test('a limit is set and reset from the page', BROWSER, async (t) => {
  const gate = await startGate(t, { config: { rate_limits: limits({ rpm: 5, tpm: 1000 }) } });
  await ask(gate, 'one');
  const { page, faults } = await visit(t, await browser(), gate.url);
  const card = page.getByRole('article', { name: MODEL });
  const open = card.getByRole('button', { name: `Limits of ${MODEL}` });
  await open.click();
  await card.getByLabel('Requests per minute').fill('7');
  await card.getByRole('button', { name: 'Set', exact: true }).click();
  await card.getByText('set live').waitFor();
  t.match(await limitOf(gate, 'rpm'), { limit: 7, override: 7, configured: 5 });
  t.match(await limitOf(gate, 'tpm'), { limit: 1000, override: null }, 'the other stays');
  await page.getByText('rpm of gemini-2.5-flash is set live to 7').waitFor();
  await meterOf(page).and(page.locator('[aria-valuemax="7"]')).waitFor();

  await open.and(page.locator(':focus')).waitFor();
  await open.click();
  await card.getByText('set 7').waitFor();
  t.strictSame(await barriersOf(page), [], 'the form is for everybody');
  await card.getByLabel('Requests per minute').fill('');
  await card.getByLabel('Input tokens per minute').fill('2000');
  await card.getByRole('button', { name: 'Set', exact: true }).press('Enter');
  await meterOf(page).and(page.locator('[aria-valuemax="5"]')).waitFor();
  t.match(await limitOf(gate, 'rpm'), { limit: 5, override: null }, 'one is taken back');
  t.match(await limitOf(gate, 'tpm'), { limit: 2000, override: 2000 });

  await open.click();
  await card.getByRole('button', { name: 'Reset to configured' }).click();
  await card.getByRole('meter').first().waitFor();
  await card.getByText('set live').waitFor({ state: 'detached' });
  t.match(await limitOf(gate, 'tpm'), { limit: 1000, override: null });
  t.strictSame(faults, []);
});

t.test('what strangers name is shown as text, never as markup', BROWSER, async (t) => {
  const gate = await startGate(t, { config: { rate_limits: limits({ rpm: 1 }) } });
  await ask(gate, 'agent-one');
  send(gate, GENERATE, { headers: { 'x-headgate-agent': 'agent-two' }, body: saying('Hello') });
  await waiting(gate, 1);
  // headgate lets no such names in; the page must not depend on that.
  const markup = '<img src=x onerror=globalThis.broken=1>';
  const marked = (text: string) => text.replaceAll(/gemini-2\.5-flash|agent-(one|two)/g, markup);
  const status = marked((await call(gate, '/status')).text);
  const exchanges = marked((await call(gate, '/exchanges')).text);
  const { page, faults } = await visit(t, await browser(), gate.url, {}, async (page) => {
    const body = `event: status\ndata: ${status}\n\n`;
    await page.route('**/events', (route) =>
      route.fulfill({ contentType: 'text/event-stream', body }),
    );
    await page.route('**/exchanges', (route) => route.fulfill({ json: JSON.parse(exchanges) }));
  });
  await page.getByRole('heading', { name: markup }).waitFor();
  await page.locator('.waiting .agent', { hasText: markup }).waitFor();
  await page.locator('.recent .agent', { hasText: markup }).waitFor();
  t.equal(await page.locator('#page main img').count(), 0);
  t.equal(await page.evaluate('globalThis.broken'), undefined);
  t.strictSame(faults, []);
});

t.test('a busy page is for everybody, in light, in dark and on a phone', BROWSER, async (t) => {
  const gate = await startGate(t, { config: { rate_limits: limits({ rpm: 2 }) } });
  await Promise.all([ask(gate, 'a'), ask(gate, 'b'), ask(gate, 'c', 'gemini-2.5-pro')]);
  for (const agent of ['d', 'e']) {
    send(gate, GENERATE, { headers: { 'x-headgate-agent': agent }, body: saying('Hello') });
  }
  await call(gate, '/limits/gemini-2.5-pro', { method: 'PATCH', body: { rpm: 1 } });
  await waiting(gate, 2);
  const { page, faults } = await visit(t, await browser(), gate.url, { colorScheme: 'light' });
  await page.getByRole('cell', { name: 'e', exact: true }).waitFor();
  await page.locator('.plot canvas').last().waitFor();
  t.strictSame(await barriersOf(page), [], 'light');
  await page.emulateMedia({ colorScheme: 'dark' });
  t.strictSame(await barriersOf(page), [], 'dark');
  t.equal(await isTooWide(page), false);
  await page.setViewportSize({ width: 390, height: 844 });
  t.strictSame(await barriersOf(page), [], 'a phone');
  t.equal(await isTooWide(page), false, 'nothing has to be pushed sideways');
  t.strictSame(faults, []);
});
