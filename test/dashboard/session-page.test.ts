import t from 'tap';
import { barriersOf, BROWSER, browserFor, isTooWide, visit } from '../support/dashboard.ts';
import { answered, chunkOf, eventOf, LOG, stage, textsOf } from '../support/session-stage.ts';

const browser = browserFor(t);

t.test('a session is shown without its texts until they are asked for', BROWSER, async (t) => {
  const { gate } = await stage(t, answered('Blue.'));
  const { page, faults } = await visit(t, await browser(), gate.url);
  await page.getByRole('link', { name: LOG }).click();
  await page.getByText('Hidden: question of 21 characters, answer of 13 characters.').waitFor();
  t.notMatch(await page.content(), /lake/, 'nor on the page before');
  t.strictSame(await barriersOf(page), []);
  const show = page.getByRole('button', { name: 'Show the texts' });
  await show.click();
  await page.getByText('How deep is the lake?').waitFor();
  await page.getByText('Forty metres.').waitFor();
  t.equal(await show.getAttribute('aria-pressed'), 'true');
  t.strictSame(await barriersOf(page), []);
  await page.setViewportSize({ width: 390, height: 844 });
  t.equal(await isTooWide(page), false, 'nothing has to be pushed sideways on a phone');
  await show.click();
  await page.getByText('How deep is the lake?').waitFor({ state: 'detached' });
  await page.getByRole('link', { name: 'All of headgate' }).click();
  await page.getByRole('link', { name: LOG }).waitFor();
  t.strictSame(faults, []);
});

t.test('a session is continued, and its answer is shown as it comes', BROWSER, async (t) => {
  const rest: (() => void)[] = [];
  const { gate, asked } = await stage(t, (response) => {
    response.setHeader('content-type', 'text/event-stream');
    response.write(eventOf(chunkOf('As blue ', false)));
    rest.push(() => response.end(eventOf(chunkOf('as <b>the sky</b>.'))));
  });
  const { page, faults } = await visit(t, await browser(), `${gate.url}/#/sessions/${LOG}`);
  await page.getByLabel('Continue with turn 3').fill('And how blue?');
  await page.getByRole('combobox', { name: 'Who answers' }).selectOption('scout');
  await page.getByRole('button', { name: 'Send' }).click();
  await page.getByText('As blue', { exact: true }).waitFor();
  await page.getByRole('button', { name: 'Stop' }).waitFor();
  t.equal(rest.length, 1, 'before the model has said the rest');
  for (const say of rest) say();
  await page.getByLabel('Continue with turn 4').waitFor();
  await page.getByRole('listitem').filter({ hasText: 'Turn 3 answered by scout' }).waitFor();
  await page.getByText('As blue as <b>the sky</b>.').waitFor();
  t.equal(asked.length, 1);
  t.strictSame(
    asked.map(({ body }) => textsOf(body).at(-1)),
    ['user: And how blue?'],
  );
  t.strictSame(faults, []);
});

t.test('a turn that fails is told, and the message is kept', BROWSER, async (t) => {
  const { gate } = await stage(t, (response) => {
    response.statusCode = 400;
    response.setHeader('content-type', 'application/json');
    response.end('{"error":{"code":400,"message":"Not like that.","status":"INVALID_ARGUMENT"}}');
  });
  const { page } = await visit(t, await browser(), `${gate.url}/#/sessions/${LOG}`);
  const box = page.getByLabel('Continue with turn 3');
  await box.fill('And how blue?');
  await box.press('Control+Enter');
  await page.getByRole('alert').waitFor();
  t.match(await page.getByRole('alert').innerText(), /Not like that/);
  t.equal(await box.inputValue(), 'And how blue?');
});

t.test('a session that is not there is told of', BROWSER, async (t) => {
  const { gate } = await stage(t, answered('Blue.'));
  const { page } = await visit(t, await browser(), `${gate.url}/#/sessions/no-such-log`);
  await page.getByRole('alert').filter({ hasText: 'no-such-log' }).waitFor();
  t.strictSame(await barriersOf(page), []);
});
