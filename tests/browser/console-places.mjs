// The console where it stands in earnest, in a real Chromium: on one of two nodes that share Redis
// and MariaDB, behind a TLS listener, behind a proxy with TLS. Prints what came of each test as one
// line of JSON.
//
//   node console-places.mjs CHROMIUM http://ADMIN http://DATA --mariadb PID
//   node console-places.mjs CHROMIUM https://ADMIN http://DATA --token TOKEN
import { equal, holds, press, runConsole, until } from './console-harness.mjs';

const flag = (name) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? null : process.argv.splice(at, 2)[1];
};
const [mariadb, token] = [flag('--mariadb'), flag('--token')];
const shows = (page, words) => page.getByText(words).first().waitFor();
const heading = (page, name) => page.getByRole('heading', { name, exact: true });

/** Pauses or resumes by the button of a popup's page; gives the dialog, when all is done. */
async function switchBy(page, name, done) {
  await page.getByRole('button', { name, exact: true }).first().click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name, exact: true }).click();
  await heading(dialog, `${done} welcome`).waitFor();
  return dialog;
}

const cluster = {
  async 'a pause is seen by the other node, in Redis and in the database'({ visitor }) {
    const { open, check } = await visitor();
    const page = await open('/popups/welcome');
    const dialog = await switchBy(page, 'Pause', 'Paused');
    const line = (name) => dialog.locator('.progress-line').filter({ hasText: name });
    equal(await line('Other nodes').locator('.mark-done').count(), 1, 'the other node');
    for (const place of ['in Redis', 'in the database, for good'])
      holds((await line('Stored').textContent()).includes(`${place}, done`), place);
    await press(page, 'Escape');
    await switchBy(page, 'Resume', 'Resumed');
    check();
  },

  async 'each node is in the table, and decides by the same popups'({ visitor }) {
    const { open, check } = await visitor();
    const page = await open('/system');
    const rows = page.getByRole('table', { name: 'Nodes that share these stores' });
    const words = () => rows.innerText();
    await until('both', async () => (await words()).split('as here').length === 3);
    holds((await words()).includes('this one'), await words());
    check();
  },

  async 'while SQL stands still, it is said, and a pause works'({ visitor }) {
    const { open, check } = await visitor({ allow: [/status of 50[34]/] });
    const page = await open('/popups/welcome');
    process.kill(Number(mariadb), 'SIGSTOP');
    try {
      const dialog = await switchBy(page, 'Pause', 'Paused');
      await dialog.getByText('It holds as far as it is stored above.').waitFor();
      await press(page, 'Escape');
      await page.locator('.page-title').getByText('Paused').waitFor();
      const list = await open('/popups');
      await list.locator('[data-row=welcome]').getByText('Paused', { exact: true }).waitFor();
      const user = await open('/users/ann');
      await shows(user, 'What they would see');
      await shows(user, /SQL does not answer|could not be loaded|is slow/);
    } finally {
      process.kill(Number(mariadb), 'SIGCONT');
    }
    await page.reload();
    await until('it is resumed', async () => {
      await switchBy(page, 'Resume', 'Resumed');
      return true;
    });
    check();
  },
};

const withTls = {
  async 'who signs in is kept to TLS, sees live figures, pauses, and signs out'({ visitor }) {
    const { open, context, check } = await visitor({ ignoreHTTPSErrors: true });
    const page = await open('/popups/welcome');
    equal(await page.locator('h1').innerText(), 'Sign in to nudged');
    await page.getByLabel('Token').fill(token);
    await press(page, 'Enter');
    await heading(page, 'welcome').waitFor();
    const [cookie] = await context.cookies();
    holds(cookie.name.startsWith('__Host-nudged_session'), cookie.name);
    equal([cookie.secure, cookie.httpOnly, cookie.sameSite], [true, true, 'Strict']);
    await switchBy(page, 'Pause', 'Paused');
    await press(page, 'Escape');
    await switchBy(page, 'Resume', 'Resumed');
    await press(page, 'Escape');
    const system = await open('/system');
    await shows(system, 'of the last second, live');
    await system.getByRole('button', { name: /Sign out/ }).click();
    await shows(system, 'Sign in to nudged');
    equal(await context.cookies(), []);
    check();
  },
};

// One after the other: one of them stops what all share.
await runConsole(token ? withTls : cluster, undefined, 1);
