// The console's pages of a user, of the system and of access, and its login, in a real Chromium
// against real nodes. Prints what came of each test as one line of JSON; see console-harness.mjs.
import {
  accessible,
  equal,
  fits,
  holds,
  HOSTILE,
  HOSTILE_USER,
  keyTo,
  press,
  runConsole,
  steady,
  tabTo,
  until,
} from './console-harness.mjs';

const text = (page) => page.locator('main').innerText();
const button = (page, name) => page.getByRole('button', { name });
const shows = (page, words) => page.getByText(words).first().waitFor();

/** The row of a table that is named so. */
const row = (page, name) => page.locator(`[data-row="${name}"]`);

/** What a page asked of the API meanwhile fails as if SQL were slow. */
async function withoutSql(page, ...paths) {
  const body = '{"error":{"code":"sql_busy"}}';
  const answer = { status: 503, contentType: 'application/json', body };
  for (const path of paths) await page.route(path, (route) => route.fulfill(answer));
}

const users = {
  async 'a user: what they would see and why not, their state, their past'({ visitor }) {
    const { open } = await visitor({ timezoneId: 'UTC' });
    const page = await open('/users/ann');
    await shows(page, 'Nothing would be shown');
    const welcome = row(page, 'welcome').first();
    const words = await welcome.innerText();
    for (const part of ['Resting', 'after_dismissed is 7d', 'dismissed at', 'in 6 days'])
      holds(words.includes(part), `${part}: ${words}`);
    // What is not for here is a press away.
    equal(await row(page, 'cart-help').count(), 0);
    await button(page, /not live or elsewhere/).click();
    holds((await row(page, 'cart-help').innerText()).includes('it is for "cart"'), 'elsewhere');
    await shows(page, 'it rests for 7d (after_dismissed)');
    holds((await text(page)).includes('1 popup'), 'the clocks');
    await accessible(page);
    await fits(page);
    await steady(page);
  },

  async 'a user is asked about elsewhere, and the question is in the address'({ visitor }) {
    const { open } = await visitor({ timezoneId: 'UTC' });
    const page = await open('/users');
    await keyTo(page, 'searchbox', 'User id', { type: 'ann' }, 'Enter');
    await shows(page, 'Nothing would be shown');
    await keyTo(page, 'combobox', 'Placement', { type: 'home' });
    await keyTo(page, 'button', 'Who they are', 'Enter');
    await keyTo(page, 'combobox', 'Time zone', { type: 'Europe/Vienna' });
    await keyTo(page, 'button', 'Add an attribute', 'Enter');
    await tabTo(page, 'combobox', 'Name of attribute 1', 'Shift+Tab');
    await press(page, { type: 'plan' });
    await keyTo(page, 'textbox', 'Value of attribute 1', { type: 'pro' }, 'Enter');
    await shows(page, 'spring-sale');
    await until('the answer', async () => (await text(page)).includes('would be shown'));
    const { search, pathname } = new URL(page.url());
    equal([pathname, search], ['/console/users/ann', '?placement=home&tz=Europe%2FVienna&attr.plan=pro']);
    // Whoever is sent it sees the same; the way back is the browser's.
    const other = await open(`/users/ann${search}`);
    await until('the same', async () => (await text(other)).includes('spring-sale'));
    equal(await other.getByLabel('Value of attribute 1').inputValue(), 'pro');
    await page.goBack();
    await shows(page, 'Nothing would be shown');
    await accessible(other);
    await fits(other);
  },

  async 'what is wrong with a question stands beside its field'({ visitor }) {
    const { open } = await visitor({ allow: [/status of 400/] });
    const page = await open(`/users/ann?locale=${'x'.repeat(300)}`);
    const field = page.getByLabel('Locale');
    await until('it is marked', async () => (await field.getAttribute('aria-invalid')) === 'true');
    const told = await field.getAttribute('aria-describedby');
    holds((await page.locator(`#${told.split(' ').at(-1)}`).innerText()).length > 0, 'in words');
    await accessible(page);
    // An id that can be none is told before anybody is asked.
    await page.goto('/console/users');
    await page.getByLabel('User id').fill('u'.repeat(129));
    await button(page, 'Look up').click();
    await shows(page, 'An id has at most 128 bytes; this one has 129.');
    await page.getByLabel('User id').fill('');
    await button(page, 'Look up').click();
    await shows(page, 'Type the id of a user.');
  },

  async 'an unknown user is told to be one'({ visitor }) {
    const { open } = await visitor();
    const page = await open('/users/nobody-at-all');
    await shows(page, 'Nothing is remembered of this user');
    await shows(page, 'Nothing yet: no popup was chosen for this user.');
    await until('as a new one', async () => (await text(page)).includes('welcome'));
    await accessible(page);
  },

  async 'script in an id, a question and a popup stays text'({ visitor }) {
    const { open } = await visitor();
    const at = encodeURIComponent(HOSTILE);
    const page = await open(
      `/users/${encodeURIComponent(HOSTILE_USER)}?placement=${at}&session=${at}&attr.plan=${at}`,
    );
    await until('the name', async () => (await page.locator('h1').innerText()) === HOSTILE_USER);
    await until('the answer', async () => (await text(page)).includes('would be shown'));
    await button(page, /not live or elsewhere/).click();
    holds((await row(page, 'hostile').innerText()).includes('onerror=alert(1)'), 'in words');
    equal(await page.locator('main img, main script').count(), 0);
    await fits(page);
  },

  async 'a user is erased by somebody who typed the id, and told what remains'({ node, visitor }) {
    await node.visit('to-be-erased', ['shown', 'dismissed']);
    const { open } = await visitor();
    const page = await open('/users/to-be-erased');
    await row(page, 'welcome').first().waitFor();
    await keyTo(page, 'button', 'Erase this user', 'Enter');
    await page.getByRole('dialog').waitFor();
    await accessible(page, 'the dialog');
    // Enter in the field is no way around it.
    await press(page, { type: 'to-be' });
    await press(page, 'Enter');
    await shows(page, 'This is not the id of the user.');
    await press(page, { type: '-erased' });
    await press(page, 'Enter');
    await shows(page, 'This user is erased');
    await shows(page, 'backups made earlier');
    await until('it is forgotten', async () => {
      const { popups } = await node.ask('GET', '/v1/users/to-be-erased');
      return popups.length === 0;
    });
    await shows(page, 'No popup was shown to this user.');
    // The focus is where the page goes on.
    await accessible(page);
  },

  async 'the timeline comes in pages, the newest first'({ node, visitor }) {
    const always = { after_shown: '0s', after_ignored: '0s', placement: ['often'] };
    await node.popup('often', always);
    for (let at = 0; at < 60; at += 1) await node.visit('frequent', [], { placement: 'often' });
    await until('SQL has it', async () => {
      const { timeline } = await node.ask('GET', '/v1/users/frequent/timeline?limit=100');
      return timeline.length >= 60;
    });
    const { open } = await visitor();
    const page = await open('/users/frequent');
    const entries = page.locator('.timeline-entry');
    await until('a page', async () => (await entries.count()) === 50);
    await keyTo(page, 'button', 'Show older', 'Enter');
    await until('the rest', async () => (await entries.count()) >= 61);
    await button(page, 'Show older').waitFor({ state: 'detached' });
  },

  async 'without SQL the page says so, and goes on'({ visitor }) {
    const { open } = await visitor({ allow: [/status of 503/] });
    const page = await open('/users');
    await withoutSql(page, '**/v1/users/ann/timeline?*');
    await page.route('**/v1/users/ann', async (route) => {
      const answer = await route.fetch();
      await route.fulfill({ json: { ...(await answer.json()), records: null } });
    });
    await page.getByLabel('User id').fill('ann');
    await button(page, 'Look up').click();
    await shows(page, 'SQL does not answer, or is slow');
    await shows(page, 'The timeline is in SQL, and is here again as soon as SQL is.');
    await row(page, 'welcome').first().waitFor();
    await accessible(page);
    await page.unrouteAll();
    await button(page, 'Try again').click();
    await shows(page, 'it rests for 7d (after_dismissed)');
    // A shard that can't read the state is told of, too.
    await withoutSql(page, '**/v1/users/ben');
    await page.getByLabel('User id').fill('ben');
    await button(page, 'Look up').click();
    await shows(page, 'The state of this user can’t be read now');
  },
};

const tests = {
  async 'the harness sees what is wrong with a page'({ visitor }) {
    const { open, check, errors } = await visitor();
    const page = await open('/users');
    await page.evaluate(() => document.body.setAttribute('style', 'width: 2000px'));
    await page.evaluate(() => document.body.append(document.createElement('button')));
    holds(errors.length === 1 && /style/.test(errors[0]), `the policy: ${errors}`);
    const refused = (promise) => promise.then(() => null, (error) => error.message);
    holds(/button-name/.test(await refused(accessible(page))), 'axe');
    await page.evaluate(() => document.body.style.setProperty('width', '2000px'));
    holds(/wider/.test(await refused(fits(page))), 'what is too wide');
    holds((await refused((async () => check())())) !== null, 'what was said');
    errors.length = 0;
  },
  ...users,
};

await runConsole(tests);
