// The editor of popups, in a real Chromium against real nodes: form and JSON as one text, what is
// kept and what meets, and that nothing of a popup ever runs. Prints what came of each test as one
// line of JSON; see console-harness.mjs.
import {
  accessible,
  equal,
  fits,
  holds,
  keyTo,
  press,
  runConsole,
  steady,
  until,
} from './console-harness.mjs';

/** Whether an id is free is asked by looking for it; the browser's console has a line for that. */
const FREE = [/status of 404/];
const MET = [...FREE, /status of 409/, /status of 412/];
const EVIL = '<script>window.hurt = 1</script><img src=x onerror="window.hurt = 1">';

const tab = (page, name) => page.getByRole('tab', { name }).click();
const code = (page) => page.locator('.cm-content');
const field = (page, name) => page.locator(`[data-field="${name}"]`).first();
const control = (page, name) => field(page, name).locator('input, textarea, select').first();
const publish = (page) => page.getByRole('button', { name: 'Publish' }).click();

/** The JSON as it stands in the editor. */
async function jsonOf(page) {
  await tab(page, 'JSON');
  await code(page).waitFor();
  return code(page).evaluate(
    (element) => element.cmTile?.view.state.doc.toString() ?? element.innerText,
  );
}

/** Types another JSON over all that is there. */
async function typeJson(page, text) {
  await tab(page, 'JSON');
  await code(page).click();
  await page.keyboard.press('Control+a');
  await page.keyboard.insertText(text);
}

const value = (page, name) => until(`a value of ${name}`, () => control(page, name).inputValue());
const becomes = (page, name, wanted) =>
  until(`${name} is ${wanted}`, async () => (await control(page, name).inputValue()) === wanted);
const contains = (page, wanted) =>
  until(`JSON with ${wanted}`, async () => (await jsonOf(page)).includes(wanted));

/** Closes a tab as its user does; what it does then is done. */
const closeTab = (page) =>
  Promise.all([page.waitForEvent('close'), page.close({ runBeforeUnload: true })]);

/** A popup at a placement of its own, so that no other wins. */
function seedPopup(node, id, more = {}) {
  return node.popup(id, {
    placement: [id],
    content: { title: id, text: 'Text', mine: [1.5] },
    ...more,
  });
}

const tests = {
  async 'a popup is made by keyboard alone, published, and decided'({ node, visitor }) {
    const { open, check } = await visitor({ allow: FREE });
    const page = await open('/new');
    await keyTo(page, 'link', /^Corner/, 'Enter');
    await page.getByRole('heading', { name: /^New popup/ }).waitFor();
    await keyTo(page, 'textbox', 'Id', 'Control+a', { type: 'by-keys' });
    await keyTo(page, 'combobox', /^Placements/, { type: 'keys' }, 'Enter');
    await keyTo(page, 'textbox', 'Title', 'Control+a', { type: 'Made by keys' });
    await keyTo(page, 'button', 'Target users by attributes', 'Enter');
    await keyTo(page, 'textbox', 'Attribute', { type: 'plan' });
    await keyTo(page, 'textbox', 'Value of plan', { type: 'pro' });
    await keyTo(page, 'button', 'Exception', 'Enter');
    const inner = page.getByRole('textbox', { name: 'Attribute' }).nth(1);
    await inner.focus();
    await press(page, { type: 'country' });
    await keyTo(page, 'textbox', 'Value of country', { type: 'DE' });
    await keyTo(page, 'button', 'Cap', 'Enter');
    await page.getByRole('heading', { name: /^New popup/ }).waitFor();
    await page.keyboard.press('Home');
    await page.locator('#page').focus();
    await keyTo(page, 'button', 'Publish', 'Enter');
    await page.waitForURL('**/console/popups/by-keys');
    const ask = (attrs) => node.decide('somebody', { placement: 'keys', attrs });
    equal(await ask({ plan: 'free', country: 'AT' }), null, 'another plan');
    equal(await ask({ plan: 'pro', country: 'DE' }), null, 'the exception');
    const shown = await ask({ plan: 'pro', country: 'AT' });
    equal(shown?.popup.content.title, 'Made by keys');
    check();
  },

  async 'a first popup takes three clicks'({ node, visitor }) {
    const { open, check } = await visitor({ allow: FREE });
    const page = await open('/popups');
    await page
      .getByRole('link', { name: /New popup/ })
      .first()
      .click();
    await page.getByRole('link', { name: /^Banner/ }).click();
    await publish(page);
    await page.waitForURL('**/console/popups/notice');
    const { definition, status } = await node.ask('GET', '/v1/popups/notice');
    equal([status, definition.content.style], ['live', 'banner']);
    check();
  },

  async 'each change in one is in the other, and what no form knows stays'({ node, visitor }) {
    await seedPopup(node, 'both', { after_dismissed: '14d' });
    const { open, check } = await visitor({ allow: FREE });
    const page = await open('/popups/both/edit');
    await contains(page, '"after_dismissed": "14d"');
    await control(page, 'content.title').fill('From the form');
    await control(page, 'priority').fill('9223372036854775807');
    await contains(page, '"title": "From the form"');
    const text = await jsonOf(page);
    holds(text.includes('"mine": [1.5]') && text.includes('9223372036854775807'), text);
    await typeJson(page, text.replace('From the form', 'From the JSON').replace('"14d"', '"3w"'));
    await becomes(page, 'content.title', 'From the JSON');
    await becomes(page, 'after_dismissed', '3');
    holds(await page.getByText('after a dismissal not for 3 weeks').isVisible(), 'in words');
    // A text that is no JSON leaves the form as it was, and says where.
    await typeJson(page, text.replace('"mine"', '"mine'));
    await page.getByText('The JSON is incomplete').waitFor();
    equal(await value(page, 'content.title'), 'From the JSON');
    holds(await control(page, 'content.title').isDisabled(), 'the form waits');
    holds(await page.getByRole('button', { name: 'Publish' }).isDisabled(), 'nothing is published');
    await page.keyboard.press('Control+z');
    await page.getByText('The JSON is incomplete').waitFor({ state: 'detached' });
    check();
  },

  async 'what is wrong stands beside its field and at its line'({ node, visitor }) {
    await seedPopup(node, 'wrong');
    const { open, check } = await visitor({ allow: FREE });
    const page = await open('/popups/wrong/edit');
    const text = JSON.stringify(
      { id: 'wrong', placement: ['wrong'], caps: [{ n: 17, per: '24h' }], rollout: 'half' },
      null,
      2,
    );
    await typeJson(page, text);
    const cap = page.locator('.editor-cap .field-error');
    await cap.filter({ hasText: '16' }).waitFor();
    await field(page, 'rollout').locator('.field-error').waitFor();
    const lines = page.getByRole('list', { name: 'What is wrong' }).getByRole('listitem');
    await until('both lines', async () => (await lines.count()) === 2);
    equal(
      (await lines.allInnerTexts()).map((line) => line.split(/\s+/).slice(0, 2).join(' ')),
      ['Line 8', 'Line 12'],
    );
    await page.locator('.cm-lint-marker-error').first().waitFor();
    holds(await page.getByRole('button', { name: 'Save draft' }).isDisabled(), 'not saved');
    await page.getByRole('button', { name: '2 problems' }).click();
    await until('the field has the focus', () =>
      page.evaluate(() => document.activeElement?.getAttribute('aria-label') === 'Cap 1: shows'),
    );
    await page.keyboard.press('Control+a');
    await page.keyboard.type('2');
    await control(page, 'rollout').fill('50.5');
    await page.getByText('Valid JSON, and a valid popup.').waitFor();
    await contains(page, '"rollout": 50.5');
    // What the node alone can tell: a name that no popup has, and what can't be meant.
    await typeJson(page, '{\n"id": "wrong",\n"placment": ["x"],\n"caps": []\n}');
    await lines.filter({ hasText: 'did you mean placement' }).getByText('Line 3').waitFor();
    const target = { attr: 'build', op: 'lt', value: '10' };
    await typeJson(page, JSON.stringify({ id: 'wrong', target }, null, 2));
    await page.locator('.cm-lint-marker-warning').first().waitFor();
    await field(page, 'target')
      .getByText(/letter by letter/)
      .waitFor();
    check();
  },

  async 'a closed tab keeps what was typed'({ node, visitor }) {
    await seedPopup(node, 'kept');
    const { open, check } = await visitor({ allow: FREE });
    const page = await open('/popups/kept/edit');
    await control(page, 'content.title').fill('Not saved');
    await closeTab(page);
    let again = await open('/popups/kept/edit');
    await again.getByText('You have unsaved changes from before').waitFor();
    equal(await value(again, 'content.title'), 'kept');
    // Whoever types without an answer writes over nothing.
    await control(again, 'content.title').fill('Typed second');
    await closeTab(again);
    again = await open('/popups/kept/edit');
    await again.getByRole('button', { name: 'Restore them' }).click();
    await becomes(again, 'content.title', 'Typed second');
    await again.getByRole('button', { name: 'Restore them' }).click();
    await becomes(again, 'content.title', 'Not saved');
    await again.getByRole('button', { name: 'Save draft' }).click();
    await again.getByText(/^Draft saved/).waitFor();
    const { definition } = await node.ask('GET', '/v1/popups/kept/draft');
    equal(definition.content, { title: 'Not saved', text: 'Text', mine: [1.5] });
    // What was typed second is not saved, and still there.
    await again.reload();
    await again.getByRole('button', { name: 'Discard them' }).click();
    await again.getByRole('button', { name: 'Discard them' }).waitFor({ state: 'detached' });
    const keys = await again.evaluate(() => Object.keys(localStorage));
    equal(
      keys.filter((key) => key.includes('kept')),
      [],
      'nothing is kept',
    );
    check();
  },

  async 'a node that dies takes nothing of what was typed with it'({ start, visitor }) {
    const node = await start();
    await seedPopup(node, 'dies');
    const { open, check } = await visitor({
      node,
      allow: [...FREE, /ERR_CONNECTION_REFUSED/, /ERR_EMPTY/],
    });
    const page = await open('/popups/dies/edit');
    await control(page, 'content.title').fill('Typed before');
    await node.kill();
    const save = page.getByRole('button', { name: 'Save draft' });
    await save.click();
    await page
      .getByRole('alert')
      .getByText(/does not answer/)
      .waitFor();
    await control(page, 'content.text').fill('Typed while it was away');
    await node.start();
    await page.getByText('The node did not answer; now it does.').waitFor();
    await until('it is saved', async () => {
      if (await save.isEnabled()) await save.click();
      return page.getByText(/^Draft saved/).isVisible();
    });
    const { definition } = await node.ask('GET', '/v1/popups/dies/draft');
    equal(
      [definition.content.title, definition.content.text],
      ['Typed before', 'Typed while it was away'],
    );
    check();
  },

  async 'two editors meet in both texts, and nothing is lost'({ node, visitor }) {
    await seedPopup(node, 'met');
    const { open, check } = await visitor({ allow: MET });
    const [ann, ben] = [await open('/popups/met/edit'), await open('/popups/met/edit')];
    await control(ann, 'content.title').fill('Of Ann');
    await control(ann, 'max_shows').fill('7');
    await ann.getByRole('button', { name: 'Save draft' }).click();
    await ann.getByText(/^Draft saved/).waitFor();
    await control(ben, 'content.title').fill('Of Ben');
    await control(ben, 'priority').fill('5');
    await ben.getByRole('button', { name: 'Save draft' }).click();
    const dialog = ben.getByRole('dialog');
    await dialog.getByText('both changed it').waitFor();
    await dialog.getByLabel('Three texts').check();
    const texts = await dialog.locator('pre').allInnerTexts();
    equal(
      texts.map((text) => /"title": "([^"]*)"/.exec(text)?.[1]),
      ['met', 'Of Ann', 'Of Ben'],
    );
    await accessible(ben, 'the conflict');
    await dialog.getByLabel('By field').check();
    const save = dialog.getByRole('button', { name: 'Save this as the draft' });
    holds(await save.isDisabled(), 'it is chosen first');
    await dialog
      .getByRole('group', { name: /content.title/ })
      .getByLabel(/^Yours/)
      .check();
    await save.click();
    await dialog.waitFor({ state: 'detached' });
    await until('both are in the draft', async () => {
      const { definition } = await node.ask('GET', '/v1/popups/met/draft');
      const { content, max_shows, priority } = definition;
      return content.title === 'Of Ben' && max_shows === 7 && priority === 5;
    });
    // The popup itself changes under the draft.
    await node.ask('PATCH', '/v1/popups/met', { max_shows: 3, after_shown: '1h' });
    await publish(ben);
    await dialog.getByText(/was published since this draft was started/).waitFor();
    await dialog
      .getByRole('group', { name: /max_shows/ })
      .getByLabel(/^Theirs/)
      .check();
    await dialog.getByRole('button', { name: 'Save and publish this' }).click();
    await until('both are live', async () => {
      const { definition } = await node.ask('GET', '/v1/popups/met');
      const { content, max_shows, after_shown, priority } = definition;
      return (
        content.title === 'Of Ben' && max_shows === 3 && after_shown === '1h' && priority === 5
      );
    });
    check();
  },

  async 'a text of the file is looked at, and copied'({ node, visitor }) {
    const { popups } = await node.ask('GET', '/v1/popups?limit=100');
    const { id } = popups.find(({ origin }) => origin === 'file');
    const { open, check } = await visitor({ allow: FREE });
    const page = await open(`/popups/${id}/edit`);
    await page.getByText("comes from the node's popups file").waitFor();
    holds(await control(page, 'priority').isDisabled(), 'read-only');
    equal(await page.getByRole('button', { name: 'Publish' }).count(), 0, 'no way to publish');
    await page.getByRole('link', { name: 'Copy as a new popup' }).click();
    await page.getByRole('heading', { name: `New popup ${id}-copy` }).waitFor();
    holds(await control(page, 'priority').isEnabled(), 'the copy is edited');
    check();
  },

  async "a viewer's token looks, and can't save"({ node, visitor }) {
    await seedPopup(node, 'viewed');
    const token = await node.token('viewer-of-editor', 'viewer');
    const { open, check, context } = await visitor({ token, allow: FREE });
    const page = await open('/popups/viewed/edit');
    await page.getByText('You can look, but not edit').waitFor();
    holds(await control(page, 'content.title').isDisabled(), 'read-only');
    equal(await page.getByRole('button', { name: /Save|Publish/ }).count(), 0, 'nothing to press');
    const headers = { Origin: node.console };
    const put = await context.request.put('/v1/popups/viewed/draft', {
      data: { priority: 1 },
      headers,
    });
    equal(put.status(), 403, 'nor by hand');
    check();
  },

  async 'the preview draws as the snippet does, and nothing in it runs'({ node, visitor }) {
    const texts = Object.fromEntries(
      [
        'title',
        'text',
        'button',
        'url',
        'dismiss',
        'image',
        'image_alt',
        'close',
        'style',
        'position',
        'theme',
        'dir',
        'lang',
      ].map((name) => [name, name === 'image' ? 'https://127.0.0.1:9/x.png' : `${name} ${EVIL}`]),
    );
    await node.ask('PUT', '/v1/popups/evil', {
      placement: [`evil ${EVIL}`],
      target: { all: [{ attr: `attr ${EVIL}`, op: 'in', value: [EVIL] }] },
      variants: [
        {
          key: 'a',
          content: { ...texts, url: 'javascript:window.hurt=1', [EVIL]: EVIL },
          locales: { de: { title: 'Auf Deutsch' } },
        },
        { key: 'b', content: { title: 'Of b', style: 'modal' } },
      ],
    });
    const { open, check } = await visitor({ allow: [...FREE, /ERR_CONNECTION_REFUSED/, /ERR_/] });
    const page = await open('/popups/evil/edit');
    await tab(page, 'Preview');
    const frame = page.frameLocator('iframe[title="Preview of the popup"]');
    const box = frame.locator('nudge-popup .box');
    await box.getByText('title <script>').waitFor();
    equal(await box.locator('a[href^="javascript"]').count(), 0, 'no link that runs');
    const size = () => page.locator('iframe').evaluate((element) => element.clientWidth);
    const phone = await size();
    await page.getByLabel('Desktop').check();
    holds((await size()) > phone, 'a desktop is wider');
    await page.getByLabel('Dark').check();
    await frame.locator('html[data-scheme=dark]').waitFor();
    await page.getByLabel('Language of the visitor').fill('de-AT');
    await box.getByText('Auf Deutsch').waitFor();
    await page.getByLabel('Language of the visitor').fill('');
    await page.getByLabel('Variant', { exact: true }).selectOption('1');
    await box.getByText('Of b').waitFor();
    // A modal takes the focus of its page, and not that of the form.
    await control(page, 'variants[1].content.title').press('End');
    await page.keyboard.type(' typed');
    await box.getByText('Of b typed').waitFor();
    for (const name of ['JSON', 'Who sees it', 'Changes']) await tab(page, name);
    const hurt = await Promise.all(page.frames().map((one) => one.evaluate(() => window.hurt)));
    equal(hurt.filter(Boolean), [], 'something ran');
    check();
  },

  async 'who would see it, and why not'({ node, visitor }) {
    await seedPopup(node, 'who', {
      target: { attr: 'plan', op: 'eq', value: 'pro' },
      starts_at: '2020-01-01T00:00:00Z',
    });
    await node.decide('seen', { placement: 'who', attrs: { plan: 'pro' } });
    const { open, check } = await visitor({ allow: FREE });
    const page = await open('/popups/who/edit');
    await tab(page, 'Who sees it');
    const held = (name) => page.locator('.gate-held').filter({ hasText: name });
    await held('Target matches').waitFor();
    await page.getByLabel('Attribute plan').fill('pro');
    await page.getByText(/^Would see it/).waitFor();
    await page.getByLabel('User', { exact: true }).fill('seen');
    await held('Gap since the last show')
      .getByText(/not|shown/)
      .first()
      .waitFor();
    // Against the text that is edited, not the popup that is live.
    await control(page, 'after_shown').fill('0');
    await page.getByText(/^Would see it/).waitFor();
    await control(page, 'starts_at').fill('2035-01-01T00:00');
    await held('Within its dates').waitFor();
    check();
  },

  async 'an earlier version is looked at, and made live again'({ node, visitor }) {
    await seedPopup(node, 'back', { priority: 1 });
    await node.ask('PATCH', '/v1/popups/back', { priority: 2 });
    const { open, check } = await visitor({ allow: FREE });
    const page = await open('/popups/back/edit');
    await page.getByRole('button', { name: 'Versions' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: /^Version 1/ }).click();
    await dialog.getByRole('rowheader', { name: 'priority' }).waitFor();
    await dialog.getByRole('button', { name: 'Make version 1 live again' }).click();
    await dialog.waitFor({ state: 'detached' });
    await becomes(page, 'priority', '1');
    const { version, definition } = await node.ask('GET', '/v1/popups/back');
    equal([version, definition.priority], [3, 1]);
    check();
  },

  async 'windows stand on a time line with the change of the clock'({ node, visitor }) {
    await seedPopup(node, 'when', {
      tz: 'Europe/Berlin',
      windows: [{ from: '01:00', to: '04:00' }],
    });
    const { open, check } = await visitor({ allow: FREE });
    const page = await open('/popups/when/edit');
    await page.getByRole('button', { name: 'Clock change' }).click();
    await page
      .getByText(/The clock skips 02:00 to 03:00|02:00 to 03:00 happens twice/)
      .first()
      .waitFor();
    equal(await page.locator('.timeline-row').count(), 7);
    check();
  },

  async 'axe finds nothing, it fits 360 px, and nothing moves'({ node, visitor }) {
    await seedPopup(node, 'looks', {
      tz: 'Europe/Berlin',
      windows: [{ days: ['mon'], from: '09:00', to: '18:00' }],
      caps: [{ n: 1, per: '24h' }],
      locales: { de: { title: 'D' } },
      target: {
        all: [
          { attr: 'a', op: 'in', value: ['x'] },
          { any: [{ not: { attr: 'b', op: 'exists', value: true } }] },
        ],
      },
    });
    const { open, check } = await visitor({ allow: FREE });
    const fresh = await open('/new');
    await accessible(fresh, 'templates');
    await fits(fresh);
    const page = await open('/popups/looks/edit');
    await page.locator('iframe').waitFor();
    await steady(page);
    await tab(page, 'JSON');
    await code(page).waitFor();
    await control(page, 'rollout').fill('x');
    await page.getByText('1 problem').waitFor();
    await accessible(page, 'form and JSON, with an error');
    await page.setViewportSize({ width: 360, height: 740 });
    // Without the form beside it each is looked at in a moment.
    for (const name of ['Preview', 'Who sees it']) {
      await tab(page, name);
      await accessible(page, name);
    }
    for (const name of ['Form', 'JSON', 'Preview', 'Who sees it', 'Changes']) {
      await tab(page, name);
      await fits(page);
    }
    check();
  },
};

await runConsole(tests);
