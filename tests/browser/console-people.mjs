// The console's pages of a user, of the system and of access, and its login, in a real Chromium
// against real nodes. Prints what came of each test as one line of JSON; see console-harness.mjs.
import { accessible, equal, fits, holds, runConsole } from './console-harness.mjs';

const tests = {
  async 'the harness sees what is wrong with a page'({ visitor }) {
    const { open, check, errors } = await visitor();
    const page = await open('/system');
    await page.evaluate(() => document.body.setAttribute('style', 'width: 2000px'));
    await page.evaluate(() => document.body.append(document.createElement('button')));
    holds(errors.length === 1 && /style/.test(errors[0]), `the policy: ${errors}`);
    const refused = (promise) => promise.then(() => null, (error) => error.message);
    holds(/button-name/.test(await refused(accessible(page))), 'axe');
    await page.evaluate(() => document.body.style.setProperty('width', '2000px'));
    holds(/wider/.test(await refused(fits(page))), 'what is too wide');
    equal(await refused((async () => check())()) === null, false);
    errors.length = 0;
  },
};

await runConsole(tests);
