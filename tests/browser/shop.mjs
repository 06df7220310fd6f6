// The shop of docs/examples as somebody sees it who comes for the first time.
//
//   node shop.mjs CHROMIUM URL
import { equal, runAll, until } from './harness.mjs';

const [executablePath, url] = process.argv.slice(2);

const tests = {
  async 'a popup on the first view, others by a button'({ visitor }) {
    const { open, errors } = await visitor();
    const page = await open(url);
    const title = page.locator('nudge-popup .title');
    await title.waitFor();
    equal(await title.textContent(), 'The spring harvest is here');
    await page.getByRole('button', { name: 'Not now' }).click();
    await until('it is gone', async () => (await title.count()) === 0);
    await page.getByRole('button', { name: 'modal', exact: true }).click();
    await page.getByRole('dialog', { name: 'Ten per cent off your first tin' }).waitFor();
    await page.keyboard.press('Escape');
    await until('it is gone', async () => (await title.count()) === 0);
    await page.getByRole('button', { name: 'modal', exact: true }).click();
    const said = page.locator('#said');
    await until('the gap', async () =>
      /^nothing: (gap|waiting), ask/.test(await said.textContent()),
    );
    equal(errors, []);
  },
};

console.log(JSON.stringify(await runAll(executablePath, tests, 1, {})));
