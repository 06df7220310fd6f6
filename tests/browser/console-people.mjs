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
const shows = (page, words, how) => page.getByText(words).first().waitFor(how);

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
    for (const part of ['Resting', 'not again for 7 days', 'dismissed at', 'in 6 days'])
      holds(words.includes(part), `${part}: ${words}`);
    // What is not for here is a press away.
    equal(await row(page, 'cart-help').count(), 0);
    await button(page, /not live or elsewhere/).click();
    holds((await row(page, 'cart-help').innerText()).includes('It is for "cart"'), 'elsewhere');
    await shows(page, 'Not again for 7 days');
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
    equal(
      [pathname, search],
      ['/console/users/ann', '?placement=home&tz=Europe%2FVienna&attr.plan=pro'],
    );
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
    await page.getByLabel('User id').fill('..');
    await button(page, 'Look up').click();
    await shows(page, 'No browser asks for this id');
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

  async 'ids that an address has no room for as they are'({ node, visitor }) {
    const { open } = await visitor();
    const page = await open('/users');
    const ids = ['a/b ?#+%2F', '100%', '\\..', '...', '💥 نص', ' a', 'u/timeline', '%2e%2e'];
    for (const id of ids) {
      await node.visit(id, ['shown']);
      await page.getByLabel('User id').fill(id);
      await button(page, 'Look up').click();
      const isThere = async () =>
        (await page.locator('h1').textContent()) === id &&
        (await page.title()).startsWith(id.trim()) &&
        (await text(page)).includes('On screen');
      await until(`${id} is found`, isThere);
      await page.reload();
      await until(`${id} is found again`, isThere);
    }
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
    let seen = 0;
    while (seen < 60) if (await node.visit('frequent', [], { placement: 'often' })) seen += 1;
    const total = async () =>
      (await node.ask('GET', '/v1/users/frequent/timeline?limit=200')).timeline.length;
    // With what became of the popup meanwhile.
    await node.popup('often', { ...always, priority: 3 });
    await until('SQL has it', async () => (await total()) >= seen + 1);
    const { open } = await visitor();
    const page = await open('/users/frequent');
    const entries = page.locator('.timeline-entry');
    await until('a page', async () => (await entries.count()) === 50);
    await shows(page, 'changed: priority by admin');
    await keyTo(page, 'button', 'Show older', 'Enter');
    await until('the rest', async () => (await entries.count()) === (await total()));
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
    await shows(page, 'Not again for 7 days');
    // A shard that can't read the state is told of, too.
    await withoutSql(page, '**/v1/users/ben');
    await page.getByLabel('User id').fill('ben');
    await button(page, 'Look up').click();
    await shows(page, 'The state of this user can’t be read now');
  },
};

const system = {
  async 'the system: shards, stores and what is out of order, as it is now'({ node, visitor }) {
    const { open } = await visitor();
    const page = await open('/system');
    await shows(page, 'Takes records');
    await shows(page, 'of the last second, live');
    await until('a rate', async () => {
      await node.decide('somebody');
      return !/Requests\s*(–|0 \/s)/.test(await page.locator('.rates').innerText());
    });
    const words = await text(page);
    for (const part of ['Ready', 'Shard 0', 'Keeps up', 'Not used', 'this one', 'as here'])
      holds(words.includes(part), `${part}: ${words}`);
    await accessible(page);
    await fits(page);
    await steady(page);
    await keyTo(page, 'link', 'Host', 'Enter');
    await shows(page, 'Limits in effect');
    await shows(page, 'nudged.db');
    await accessible(page, 'host');
    await fits(page);
  },

  async 'live figures that are refused are missed aloud'({ visitor }) {
    const { open, context } = await visitor({ allow: [/status of 503/] });
    await withoutSql(context, '**/v1/live');
    const page = await open('/system');
    await shows(page, 'This node sends no live figures here');
    await accessible(page);
  },

  async 'the log comes by itself, is held, and is searched'({ node, visitor }) {
    const { open } = await visitor();
    const page = await open('/system?view=log');
    await shows(page, 'nudged is ready for requests');
    await page.getByLabel('Find in the log').fill('told-in-the-log');
    await shows(page, 'No line has this');
    await node.popup('told-in-the-log');
    await page.getByRole('log').getByText('popup_changed').waitFor();
    await page.getByLabel('Find in the log').fill('');
    await page.getByRole('radio', { name: 'Errors' }).check();
    await shows(page, 'No lines of this level');
    await keyTo(page, 'button', 'Hold', 'Enter');
    await button(page, 'Go on').waitFor();
    await accessible(page);
    await fits(page);
  },

  async 'the audit says who changed what'({ node, visitor }) {
    await node.popup('audited');
    await node.ask('POST', '/v1/popups/audited/pause');
    const { open } = await visitor();
    const page = await open('/system?view=audit');
    await page.getByRole('link', { name: 'audited' }).first().waitFor();
    const words = await text(page);
    for (const part of ['Paused', 'Made', '127.0.0.1'])
      holds(words.includes(part), `${part}: ${words}`);
    await accessible(page);
    await fits(page);
  },

  async 'doctor looks when it is asked, and its commands are to be copied'({ visitor }) {
    const { open, context } = await visitor();
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    const page = await open('/system?view=doctor');
    await keyTo(page, 'button', 'Look now', 'Enter');
    await shows(page, 'io_uring', { state: 'attached' });
    await accessible(page);
    await fits(page);
    const copy = button(page, /^Copy /).first();
    if (await copy.count()) {
      await copy.click();
      const kept = await page.evaluate(() => navigator.clipboard.readText());
      equal(`Copy ${kept}`, await copy.getAttribute('aria-label'));
    }
  },

  async 'a reload says what it did'({ visitor }) {
    const { open } = await visitor();
    const page = await open('/system');
    await keyTo(page, 'button', 'Reload', 'Enter');
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Reload' }).focus();
    await press(page, 'Enter');
    await shows(page, 'No popup changed.');
    await accessible(page);
    await press(page, 'Escape');
    await dialog.waitFor({ state: 'detached' });
    // The focus is back where it came from.
    const focused = () => page.evaluate(() => document.activeElement.innerText);
    equal(await focused(), 'Reload');
  },

  async 'a node that dies and comes back'({ start, visitor }) {
    const node = await start();
    const { open } = await visitor({ node, allow: [/Failed to load resource/, /ERR_/] });
    const page = await open('/system');
    await shows(page, 'of the last second, live');
    await node.kill();
    await shows(page, 'The node does not answer');
    await shows(page, 'waiting for live figures');
    await node.start();
    await page.getByText('The node does not answer').waitFor({ state: 'detached' });
    await shows(page, 'of the last second, live');
    await until('its new life', async () => /up \d s/.test(await text(page)));
  },
};

const access = {
  async 'a token is made, shown once, used and revoked'({ node, visitor }) {
    const { open, context } = await visitor({ allow: [/status of 409/] });
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    const page = await open('/access');
    await node.token('already there', 'viewer');
    await keyTo(page, 'button', 'Make a token', 'Enter');
    await page.getByRole('dialog').waitFor();
    await press(page, 'Enter');
    await shows(page, 'Give it a name.');
    await press(page, { type: 'already there' });
    await press(page, 'Enter');
    await until('refused beside its field', async () => {
      const invalid = await page.getByLabel('Name').getAttribute('aria-invalid');
      return invalid === 'true' && !(await text(page)).includes('Give it a name.');
    });
    await accessible(page, 'the form');
    await page.getByLabel('Name').fill(HOSTILE.slice(0, 60));
    await keyTo(page, 'radio', /viewer/, 'ArrowDown', 'Enter');
    await shows(page, 'Keep it now');
    await accessible(page, 'the secret');
    await fits(page);
    await keyTo(page, 'button', 'Copy the token', 'Enter');
    const secret = await page.evaluate(() => navigator.clipboard.readText());
    holds(/^nudged_[0-9a-f]{64}$/.test(secret), secret);
    await keyTo(page, 'button', 'I have kept it', 'Enter');
    const made = page.locator('tr', { hasText: HOSTILE.slice(0, 60) });
    await made.waitFor();
    holds((await made.innerText()).includes('editor'), 'its role');
    holds(!(await page.content()).includes(secret), 'it is nowhere any more');
    const asked = () =>
      fetch(`${node.admin}/v1/status`, { headers: { Authorization: `Bearer ${secret}` } });
    equal((await asked()).status, 200);
    await made.getByRole('button').click();
    await accessible(page, 'the warning');
    await button(page, 'Revoke it').click();
    await made.waitFor({ state: 'detached' });
    equal((await asked()).status, 401);
    await accessible(page);
    await fits(page);
  },

  async 'a token that ends is told of before, and after'({ node, visitor }) {
    const token = await node.token('an ending admin', 'admin', '2d');
    const over = await node.token('an ended one', 'viewer', '1s');
    const { open } = await visitor({ token, allow: [/status of 401/] });
    const page = await open('/access');
    await shows(page, 'Your token ends soon');
    await shows(page, 'It lets you in until');
    await until('it is named', async () =>
      /A token ends soon\s+an ending admin: /.test(await text(page)),
    );
    await button(page, 'Make a token').click();
    await page.getByLabel('Name').fill('a visiting one');
    await page.getByLabel('It lets in for').selectOption('Another time');
    await page.getByLabel('How long').fill('soon');
    await press(page, 'Enter');
    await shows(page, 'Type a time from 1s to 3653d');
    await accessible(page, 'a wrong time');
    await page.getByLabel('How long').fill('45d');
    await shows(page, /Until \d+ \w+ \d+/);
    await press(page, 'Enter');
    await shows(page, /may do what the role viewer may, until \d+/);
    await button(page, 'I have kept it').click();
    const made = page.locator('tr', { hasText: 'a visiting one' });
    await until('its end', async () => /in 4\d days/.test(await made.innerText()));
    await until('the end', async () => {
      const { tokens } = await node.ask('GET', '/v1/tokens');
      return tokens.find(({ name }) => name === 'an ended one').expired;
    });
    await page.reload();
    const ended = page.locator('tr', { hasText: 'an ended one' });
    await until('it is marked', async () => (await ended.innerText()).includes('expired'));
    await accessible(page);
    await fits(page);
    await page.goto('/console/login');
    await page.getByLabel('Token').fill(over);
    await press(page, 'Enter');
    await shows(page, 'The time of this token is up');
  },

  async 'a viewer is refused what a viewer may not'({ node, visitor }) {
    const token = await node.token('a viewer', 'viewer');
    const { open, context } = await visitor({ token, allow: [/status of 403/] });
    const page = await open('/access');
    await shows(page, 'which has the role viewer');
    await shows(page, 'Tokens are for admins');
    equal(await button(page, 'Make a token').count(), 0);
    await accessible(page);
    await page.goto('/console/users/ann');
    await until('off', () => button(page, 'Erase this user').isDisabled());
    await shows(page, 'This needs the role admin; yours is viewer.');
    await page.goto('/console/system?view=doctor');
    await until('off', () => button(page, 'Look now').isDisabled());
    await until('off', () => button(page, 'Reload').isDisabled());
    await accessible(page);
    await fits(page);
    // The API holds what the page shows.
    const headers = { Origin: node.console };
    const asked = [
      context.request.delete('/v1/users/ann', { headers }),
      context.request.post('/v1/reload', { headers }),
      context.request.get('/v1/tokens'),
      context.request.get('/v1/doctor'),
    ];
    equal(
      (await Promise.all(asked)).map((answer) => answer.status()),
      [403, 403, 403, 403],
    );
  },

  async 'what the API refuses is told where it was pressed'({ node, visitor }) {
    const token = await node.token('a former admin', 'admin');
    const { open } = await visitor({ token, allow: [/status of 403/] });
    const page = await open('/users/ann');
    await button(page, 'Erase this user').click();
    const line = 'the token "x" has the role viewer: needed is admin';
    const body = JSON.stringify({ error: { code: 'role_required' }, errors: [line] });
    const answer = { status: 403, contentType: 'application/json', body };
    await page.route('**/v1/users/ann', (route) => route.fulfill(answer));
    await page.getByLabel('Type ann to confirm').fill('ann');
    await button(page, 'Erase for good').click();
    await shows(page, line);
    await accessible(page);
  },
};

const OWNER = 'owner-token-0123456789abcdef';

const sessions = {
  async 'who comes from elsewhere signs in, goes on where they were, and out'({ start, visitor }) {
    const node = await start({ token: OWNER });
    node.allowed.push('admin_refused');
    await node.visit('ann', ['shown']);
    const { open, context } = await visitor({ node, allow: [/status of 401/, /status of 429/] });
    const page = await open('/users/ann?placement=cart');
    equal(await page.locator('h1').innerText(), 'Sign in to nudged');
    await accessible(page);
    await fits(page);
    await tabTo(page, 'textbox', 'Token');
    await press(page, 'Enter');
    await shows(page, 'Paste your token.');
    await press(page, { type: 'nudged_wrong' });
    await press(page, 'Enter');
    await shows(page, 'This token is not known here');
    await accessible(page, 'a wrong token');
    // One that is slow is waited for, and said to be.
    let answer;
    const asked = new Promise((resolve) => (answer = resolve));
    await page.route('**/v1/session', async (route) => {
      if (route.request().method() === 'POST') await asked;
      await route.continue();
    });
    await page.getByLabel('Token').fill(await node.token('an editor', 'editor'));
    await press(page, 'Enter');
    await shows(page, 'It is still being asked');
    answer();
    await until('where they were', async () => (await page.locator('h1').innerText()) === 'ann');
    equal(new URL(page.url()).search, '?placement=cart');
    const [cookie] = await context.cookies();
    equal([cookie.httpOnly, cookie.sameSite, cookie.path], [true, 'Strict', '/']);
    await shows(page, 'On screen');
    // The session ends elsewhere: the page is here again after the next.
    const { tokens } = await node.ask('GET', '/v1/tokens');
    await node.ask('DELETE', `/v1/tokens/${tokens[0].id}`);
    await button(page, 'Ask').click();
    await until('signed out', async () =>
      (await page.locator('h1').innerText()).includes('Sign in'),
    );
    await page.getByLabel('Token').fill(OWNER);
    await press(page, 'Enter');
    await until('back', async () => (await page.locator('h1').innerText()) === 'ann');
    await keyTo(page, 'button', 'Sign out', 'Enter');
    await until('out', async () => (await page.locator('h1').innerText()).includes('Sign in'));
    equal(await context.cookies(), []);
  },

  async 'a read-only console says so, and a token lifts it'({ start, visitor }) {
    const node = await start({ config: '[console]\naccess = "read-only"\n' });
    const token = await node.token('lifts it', 'admin');
    const { open, context } = await visitor({ node, allow: [/status of 403/] });
    const page = await open('/access');
    await shows(page, 'This console is read-only');
    await accessible(page);
    await fits(page);
    await page.goto('/console/users/ann');
    await until('off', () => button(page, 'Erase this user').isDisabled());
    await shows(page, 'This console is read-only.');
    const headers = { Origin: node.console };
    const refused = await context.request.delete('/v1/users/ann', { headers });
    equal([refused.status(), (await refused.json()).error.code], [403, 'read_only']);
    await page.goto('/console/access');
    await keyTo(page, 'link', 'Sign in with a token', 'Enter');
    await keyTo(page, 'textbox', 'Token', { type: token }, 'Enter');
    await page.waitForURL(/\/console\/popups/);
    await page.goto('/console/users/ann');
    await until('on', () => button(page, 'Erase this user').isEnabled());
  },
};

const tests = {
  async 'the harness sees what is wrong with a page'({ visitor }) {
    const { open, check, errors } = await visitor();
    const page = await open('/users');
    await page.evaluate(() => document.body.setAttribute('style', 'width: 2000px'));
    await page.evaluate(() => document.body.append(document.createElement('button')));
    holds(errors.length === 1 && /style/.test(errors[0]), `the policy: ${errors}`);
    const refused = (promise) =>
      promise.then(
        () => null,
        (error) => error.message,
      );
    holds(/button-name/.test(await refused(accessible(page))), 'axe');
    await page.evaluate(() => document.body.style.setProperty('width', '2000px'));
    holds(/wider/.test(await refused(fits(page))), 'what is too wide');
    holds((await refused((async () => check())())) !== null, 'what was said');
    errors.length = 0;
  },
  ...users,
  ...system,
  ...access,
  ...sessions,
};

await runConsole(tests);
