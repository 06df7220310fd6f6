// The console's frame, the list of popups, a popup's page and statistics, in a real Chromium
// against real nodes: what they are for, by keys alone, under a node that dies, with three pages of
// popups (TEST_NUDGED_POPUPS=10000 for as many as a node takes), and with a script in every text.
// Prints what came of each test as one line of JSON; see console-harness.mjs.
import { gzipSync } from 'node:zlib';
import {
  accessible,
  equal,
  fits,
  HOSTILE,
  holds,
  keyTo,
  press,
  runConsole,
  steady,
  until,
} from './console-harness.mjs';

/** Three pages of the list; a node takes 10,000, and starts in seconds where nothing else runs. */
const MANY = Number(process.env.TEST_NUDGED_POPUPS ?? 150);
/** Of all that the first page loads, compressed. */
const FIRST_PAGE_BYTES_MAX = 150_000;
/** The page, its script and style, its icon, and what scripts of several pages share. */
const FIRST_PAGE_FILES_MAX = 6;
/** What the browser itself says of a node that is away. */
const AWAY = [/Failed to load resource/, /net::ERR/];

const row = (page, id) => page.locator(`[data-row="${id}"]`);
const heading = (page, name) => page.getByRole('heading', { name, exact: true });

/** Waits until an element has the focus. */
const focused = (locator, what) =>
  until(what, () => locator.evaluate((element) => element === document.activeElement));

const tests = {
  async 'the list finds, sorts and tells; its address leads back to what was looked for'(given) {
    const { visitor } = given;
    const { open, check } = await visitor();
    const page = await open('/popups');
    await row(page, 'welcome').getByText('Live', { exact: true }).waitFor();
    await row(page, 'asleep').getByText('Paused', { exact: true }).waitFor();
    await row(page, 'asleep').getByText('in its definition').waitFor();
    await row(page, 'last-year').getByText('Ended', { exact: true }).waitFor();
    await row(page, 'next-year').getByText('Not begun', { exact: true }).waitFor();
    await row(page, 'cart-help').getByText('cart · Any questions?').waitFor();
    await page.getByLabel('Search', { exact: true }).fill('zz-nothing');
    await heading(page, 'No popup is like that').waitFor();
    await page.getByRole('button', { name: 'Show all popups' }).click();
    await page.getByLabel('State').selectOption('paused');
    await until('only paused popups', async () => !(await row(page, 'welcome').count()));
    equal(new URL(page.url()).searchParams.get('status'), 'paused');
    await page.reload();
    await row(page, 'asleep').waitFor();
    equal(await row(page, 'welcome').count(), 0, 'after a reload');
    await page.goto('/console/popups?q=b-sort');
    await row(page, 'b-sort-two').waitFor();
    const rows = page.locator('[data-row]');
    const order = () => rows.evaluateAll((all) => all.map((at) => at.dataset.row));
    equal(await order(), ['b-sort-one', 'b-sort-two']);
    await page.getByLabel('Sorted by').selectOption('priority');
    await until('the highest priority first', async () => (await order())[0] === 'b-sort-two');
    await steady(page);
    check();
  },

  async 'a popup is paused and resumed by keys alone, and each shard says so'({ visitor }) {
    const { open, check } = await visitor();
    const page = await open('/popups?q=by-keys');
    await row(page, 'by-keys').waitFor();
    await page.keyboard.press('j');
    const link = row(page, 'by-keys').getByRole('link');
    await focused(link, 'the first row');
    await page.keyboard.press('p');
    const dialog = page.getByRole('dialog');
    await heading(dialog, 'Pause by-keys?').waitFor();
    await page.keyboard.press('Enter');
    await heading(dialog, 'Paused by-keys').waitFor();
    const marks = dialog.locator('.progress-line').first().locator('.mark-done');
    equal(await marks.count(), 2, 'shards that have said so');
    await dialog.getByText('Nobody is shown it any more.').waitFor();
    await dialog.getByText('in the database, for good, done').waitFor();
    await focused(dialog.getByRole('button', { name: 'Close' }).last(), 'what closes it');
    await page.keyboard.press('Enter');
    await row(page, 'by-keys').getByText('over live').waitFor();
    await focused(link, 'the row again');
    await press(page, 'Control+k');
    await press(page, { type: 'resume by-keys' });
    await page.getByRole('option', { name: 'Resume by-keys' }).waitFor();
    await page.keyboard.press('Enter');
    await heading(dialog, 'Resume by-keys?').waitFor();
    await page.keyboard.press('Enter');
    await heading(dialog, 'Resumed by-keys').waitFor();
    await page.keyboard.press('Escape');
    await page.locator('.page-title').getByText('Live').waitFor();
    await focused(page.locator('#page'), 'the page, as what opened the dialog is gone');
    check();
  },

  async 'keys lead to pages, and a list of them says which'({ visitor }) {
    const { open, check } = await visitor();
    const page = await open('/popups');
    await press(page, '?');
    await page.getByRole('dialog', { name: 'Keys' }).getByText('Next row').waitFor();
    await press(page, 'Escape');
    for (const key of ['g', 's']) await press(page, key);
    await heading(page, 'Statistics').waitFor();
    await press(page, '/');
    await press(page, { type: 'spring' });
    await page.getByRole('option', { name: /^spring-sale/ }).waitFor();
    await press(page, 'Enter');
    await heading(page, 'spring-sale').waitFor();
    await keyTo(page, 'link', 'Versions', 'Enter');
    await heading(page, 'Made · version 1').waitFor();
    equal(await page.title(), 'spring-sale · Popup · nudged');
    await page.goBack();
    await heading(page, 'When and how often').waitFor();
    await page.locator('dl').getByText('At home no live popup comes before it.').waitFor();
    await page.goto('/console/popups/welcome');
    await page.locator('dl').getByRole('link', { name: 'spring-sale' }).waitFor();
    // Who uses keys goes on at the beginning of what they opened.
    await page.goto('/console/popups');
    await row(page, 'welcome').getByText('priority 10').waitFor();
    await press(page, 'j');
    await press(page, 'n');
    await heading(page, 'New popup').waitFor();
    await focused(page.locator('#page'), 'the new page');
    check();
  },

  async 'the first page is small, and however many popups are a list like any other'(given) {
    const { visitor, start } = given;
    const popup = (at) => `[[popup]]\nid = "many-${at}"\ncontent = { title = "Number ${at}" }\n`;
    const popups = Array.from({ length: MANY }, (_, at) => popup(at)).join('');
    const node = await start({ popups });
    const { context, check } = await visitor({ baseURL: node.console });
    const page = await context.newPage();
    let bytes = 0;
    const asked = [];
    page.on('request', (request) => asked.push(new URL(request.url()).pathname));
    page.on('response', async (response) => {
      if (!/\.(js|css|svg)$|\/console\//.test(response.url())) return;
      bytes += gzipSync(await response.body().catch(() => '')).length;
    });
    await page.goto('/console/');
    const all = `of ${MANY.toLocaleString('en')} popups`;
    await page.getByText(`1 to 50 ${all}`).waitFor();
    const files = new Set(asked.filter((path) => !path.startsWith('/v1/')));
    holds(files.size <= FIRST_PAGE_FILES_MAX, `files: ${[...files]}`);
    // What it waited for; once there is a stream of changes, it looks whether it missed one.
    const before = asked.filter((path) => path.startsWith('/v1/') && path !== '/v1/live');
    equal(before.slice(0, 2), ['/v1/session', '/v1/popups'], 'what the list waited for');
    equal(new URL(page.url()).pathname, '/console/popups');
    await page.waitForLoadState('load');
    holds(bytes > 0 && bytes < FIRST_PAGE_BYTES_MAX, `the first page has ${bytes} bytes`);
    equal(await page.locator('[data-row]').count(), 50);
    await keyTo(page, 'button', 'Next', 'Enter');
    await page.getByText(`51 to 100 ${all}`).waitFor();
    await keyTo(page, 'button', 'Before', 'Enter');
    await page.getByText(`1 to 50 ${all}`).waitFor();
    await page.getByLabel('Search', { exact: true }).fill(`many-${MANY - 1}`);
    await row(page, `many-${MANY - 1}`).waitFor();
    await page.getByText('1 popup', { exact: true }).waitFor();
    await steady(page);
    check();
  },

  async 'a node that dies is told, and what is shown is new when it is back'({ visitor, start }) {
    const node = await start();
    await node.popup('dying', { content: { title: 'Before' } });
    const { open, check } = await visitor({ baseURL: node.console, allow: AWAY });
    const page = await open('/popups/dying');
    await page.getByText('Before', { exact: true }).waitFor();
    await node.kill();
    await page.getByText('The node does not answer.').waitFor();
    await page.getByText('Before', { exact: true }).waitFor();
    await node.start();
    await node.popup('dying', { content: { title: 'After' } });
    await page.getByText('After', { exact: true }).waitFor();
    await until('the bar is gone', async () => !(await page.locator('.connection-bar').count()));
    check();
  },

  async 'what is slow has its room kept, and what fails says why beside it'({ visitor }) {
    const { context, open, check } = await visitor({ allow: [/status of 503/] });
    let answer = () => {};
    const asked = new Promise((resolve) => (answer = resolve));
    await context.route('**/v1/popups?**', async (route) => {
      await asked;
      await route.continue();
    });
    const failed = { error: { code: 'sql_unavailable' }, errors: ['the database does not answer'] };
    await context.route('**/v1/stats?**', (route) => route.fulfill({ status: 503, json: failed }));
    const page = await open('/popups');
    await page.locator('.skeleton').waitFor();
    await page.getByRole('link', { name: 'Statistics' }).waitFor();
    answer();
    await row(page, 'welcome').waitFor();
    await steady(page);
    await press(page, 'g');
    await press(page, 's');
    await page.getByText('the database does not answer').waitFor();
    await accessible(page, 'a failure');
    check();
  },

  async 'a change by somebody else is shown without a reload'({ node, visitor }) {
    const { open, check } = await visitor();
    const page = await open('/popups/changing');
    await page.locator('.page-title').getByText('Live').waitFor();
    await node.ask('POST', '/v1/popups/changing/pause');
    await page.locator('.page-title').getByText('Paused').waitFor();
    await page.getByText('That wins over the definition').waitFor();
    check();
  },

  async 'versions are told, and one leads back'({ visitor }) {
    const { open, check } = await visitor();
    const page = await open('/popups/versioned/versions');
    await page.getByText('in force').waitFor();
    await page.locator('summary', { hasText: 'content' }).first().click();
    await page.getByRole('region', { name: 'Fields that differ' }).waitFor();
    await keyTo(page, 'button', 'Roll back to this version 1', 'Enter');
    const dialog = page.getByRole('dialog', { name: 'Roll versioned back to version 1?' });
    await dialog.getByText('First title').waitFor();
    await keyTo(page, 'button', /^Roll back$/, 'Enter');
    await heading(page, 'Rolled back · version 3').waitFor();
    check();
  },

  async 'what is deleted says so, and comes back'({ visitor }) {
    const { open, check } = await visitor();
    const page = await open('/popups/deletable');
    await keyTo(page, 'button', 'Delete', 'Enter');
    await heading(page, 'Delete deletable?').waitFor();
    // The way out has the focus.
    for (const key of ['Tab', 'Enter']) await press(page, key);
    await page.locator('.notice-title', { hasText: 'Deleted' }).waitFor();
    equal(await page.getByRole('button', { name: /^(Pause|Resume|Delete)$/ }).count(), 0);
    const list = await open('/popups?q=deletable');
    await row(list, 'deletable').getByText('Deleted', { exact: true }).waitFor();
    await list.close();
    await keyTo(page, 'button', 'Bring back', 'Enter');
    await page.getByRole('dialog', { name: 'Bring deletable back?' }).waitFor();
    for (const key of ['Tab', 'Enter']) await press(page, key);
    await page.locator('.page-title').getByText('Live').waitFor();
    await page.getByRole('button', { name: 'Pause' }).waitFor();
    check();
  },

  async 'statistics tell counts, variants and their intervals, and are a CSV too'({ visitor }) {
    const { open, context, check } = await visitor();
    const page = await open('/popups/counted/statistics');
    const figure = (label) => page.locator('.figure', { hasText: label }).locator('.figure-value');
    equal(await figure('Shows').first().textContent(), '40');
    equal(await figure('Clicks').textContent(), '20');
    await page.getByText('The last hour is not whole').waitFor();
    const variants = page.getByRole('table', { name: 'Variants, compared by clicks' });
    await variants.getByText('compared to this one').waitFor();
    await variants.getByRole('columnheader', { name: 'Lift over a' }).waitFor();
    await page.getByText('As a table').click();
    holds((await page.locator('.chart-table tbody tr').count()) >= 24, 'an hour each');
    const csv = await page.getByRole('link', { name: 'CSV' }).getAttribute('href');
    const text = await (await context.request.get(csv)).text();
    holds(text.startsWith('popup,variant,hour,local,span,decided'), text.slice(0, 80));
    await page.getByRole('radio', { name: '7 days' }).check();
    await heading(page, 'Shows by day').waitFor();
    equal(new URL(page.url()).searchParams.get('range'), '7d');
    await page.getByRole('radio', { name: 'From – to' }).check();
    await page.getByLabel('From', { exact: true }).fill('');
    await page.getByText('When does it begin?').waitFor();
    await page.goto('/console/statistics?popup=changing');
    await heading(page, 'Nothing was shown in this range').waitFor();
    check();
  },

  async 'who may only look is offered nothing else'({ node, visitor }) {
    const token = await node.token('looks', 'viewer');
    const { open, check } = await visitor({ token });
    const page = await open('/popups?q=by-keys');
    await row(page, 'by-keys').waitFor();
    equal(await page.getByRole('button', { name: /^(Pause|Resume)/ }).count(), 0);
    equal(await page.getByRole('link', { name: 'New popup' }).count(), 0);
    await page.goto('/console/popups/by-keys?do=pause');
    await heading(page, 'When and how often').waitFor();
    equal(await page.getByRole('button', { name: /^(Pause|Archive|Delete)/ }).count(), 0);
    equal(await page.getByRole('dialog').count(), 0);
    await page.getByText('looks, viewer').waitFor();
    check();
  },

  async 'a script stays a text, wherever it stands'({ visitor }) {
    const { open, check } = await visitor({ allow: [/status of 4\d\d/] });
    const page = await open('/popups?q=a-script');
    await row(page, 'a-script').getByText(HOSTILE).waitFor();
    for (const label of ['Search', 'Placement']) {
      await page.getByLabel(label, { exact: true }).fill(HOSTILE);
    }
    await heading(page, 'No popup is like that').waitFor();
    await press(page, 'Control+k');
    await press(page, { type: HOSTILE });
    await page.getByRole('option', { name: `User ${HOSTILE}` }).waitFor();
    await press(page, 'Escape');
    await page.goto('/console/popups/a-script');
    await page.getByText(HOSTILE).first().waitFor();
    await page.goto(`/console/statistics?popup=${encodeURIComponent(HOSTILE)}`);
    await heading(page, 'Statistics').waitFor();
    await page.getByLabel('Time zone').fill(HOSTILE);
    await page.getByText('No such time zone').waitFor();
    equal(await page.locator('img, body script').count(), 0, 'what a text has made');
    check();
  },

  async 'each page has nothing for axe, has room at 360 px, and stays still'({ visitor }) {
    const { open, check } = await visitor();
    const paths = ['/popups', '/popups/counted', '/popups/counted/statistics'];
    paths.push('/popups/versioned/versions', '/statistics');
    for (const path of paths) {
      const page = await open(path);
      const waits = page.locator('.skeleton, [aria-busy="true"]');
      await until('all is there', async () => !(await waits.count()));
      await steady(page);
      await accessible(page, path);
      await fits(page);
      await page.close();
    }
    const page = await open('/popups?q=counted');
    await press(page, '/');
    await page.locator('.palette-item').first().waitFor();
    await accessible(page, 'the palette');
    await press(page, 'Escape');
    await press(page, 'j');
    await press(page, 'p');
    await heading(page, 'Pause counted?').waitFor();
    await accessible(page, 'a dialog');
    check();
  },
};

await runConsole(tests, async (node) => {
  const variant = (key) => ({ key, content: { title: key } });
  await node.popup('b-sort-one', { priority: 1 });
  await node.popup('b-sort-two', { priority: 2 });
  await node.popup('by-keys', { placement: ['nowhere'] });
  await node.popup('deletable', { placement: ['nowhere'] });
  await node.popup('changing', { placement: ['nowhere'] });
  await node.popup('a-script', { content: { title: HOSTILE }, placement: ['nowhere'] });
  await node.popup('versioned', { content: { title: 'First title' }, placement: ['nowhere'] });
  await node.popup('versioned', { content: { title: 'Second title' }, placement: ['nowhere'] });
  await node.popup('counted', {
    placement: ['counted'],
    variants: [variant('a'), variant('b')],
    content: undefined,
  });
  const visits = Array.from({ length: 40 }, (_, at) => {
    const actions = at % 2 ? ['shown', 'clicked'] : ['shown'];
    return node.visit(`counted-${at}`, actions, { placement: 'counted' });
  });
  await Promise.all(visits);
  const told = async () => (await node.ask('GET', '/v1/stats?popup=counted')).totals;
  await until('what was counted', async () => (await told()).clicked === 20);
});
