// What a page has of the snippet, in a real Chromium against a real node. Prints what came of each
// test as one line of JSON.
//
//   node snippet.mjs CHROMIUM NODE ADMIN KEY [NAME]
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createNudge } from '../../src/snippet/dist/index.js';
import { bundleReact } from './react.mjs';
import { document_, equal, holds, runAll, servePages, tag, until } from './harness.mjs';

const [executablePath, node, admin, key, only] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const pages = await servePages();

/** A page with the tag, at a path of its own. */
function tagged(
  path,
  attributes,
  { main = '<h1>Home</h1><a href="/blank">Next</a>', head = '', headers, html } = {},
) {
  // A busy machine takes its time, and what went wrong is told with the test.
  const usual = { 'data-key': key, 'data-timeout': 60_000, 'data-debug': '' };
  const script = tag(node, { ...usual, ...attributes });
  return pages.add(path, document_(main, head + script, html), headers);
}

/** Those that do not answer, or by something that is no JSON. */
const NODES_AT_FAULT = ['silent', 'slow', 'reset', 'failing', 'html'];

const box = (page) => page.locator('nudge-popup .box');
const next = (page) => page.evaluate(() => JSON.parse(localStorage.getItem('nudge.next') || '{}'));
const queued = (page) =>
  page.evaluate(() => JSON.parse(localStorage.getItem('nudge.events') || '[]'));
const ask = (page, options) => page.evaluate((options) => nudge.ask(options), options);
const hasNudge = (page) => page.waitForFunction(() => typeof window.nudge?.ask === 'function');

/** The actions of a user's events that the node has remembered. */
async function actions(user) {
  const answer = await fetch(`${admin}/v1/users/${user}`);
  if (!answer.ok) return [];
  return (await answer.json()).records.map(({ action }) => action);
}
const arrived = (user, ...wanted) =>
  until(`${wanted} of ${user}`, async () => {
    const had = await actions(user);
    return wanted.every((action) => had.includes(action));
  });

async function findings(page) {
  await page.evaluate((axe) => window.axe ?? (0, eval)(axe) ?? null, axe);
  const { violations } = await page.evaluate(() => axe.run());
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}

const tests = {
  async 'shown once, and the gap is kept over page loads and tabs'({ visitor }) {
    const url = tagged('/once', { 'data-user': 'once' });
    const { context, open, asked } = await visitor();
    const page = await open(url);
    await box(page).waitFor();
    equal(await page.locator('nudge-popup .title').textContent(), 'Once');
    await page.locator('nudge-popup .close').click();
    await until('it is gone', async () => (await box(page).count()) === 0);
    await arrived('once', 'shown', 'dismissed');
    // The next view asks, and is told how long there is nothing.
    await page.reload();
    await until('the gap', async () => Object.keys(await next(page)).length);
    equal(asked.length, 2);
    const [ends] = Object.values(await next(page));
    const aheadS = (ends - Date.now()) / 1e3;
    holds(aheadS > 500 && aheadS <= 600, `at most ten minutes: ${aheadS}`);
    // From then on nobody does.
    await page.reload();
    await hasNudge(page);
    equal((await ask(page)).reason, 'waiting');
    const other = await open(url);
    await hasNudge(other);
    equal((await ask(other)).reason, 'waiting');
    equal(asked.length, 2);
    // Somebody else, elsewhere, and in another session: no gap of theirs.
    equal((await ask(other, { user: 'once-else' })).popup.id, 'once');
    await other.evaluate(() => nudge.close());
    equal((await ask(other, { placement: 'nowhere' })).reason, 'none');
    equal((await ask(other, { session: 's' })).reason, 'gap');
    equal((await ask(other, { attrs: { plan: 'x' } })).reason, 'gap');
    equal(asked.length, 6);
    holds(JSON.stringify(await next(other)).includes('once') === false, 'no user is kept in words');
    await context.close();
  },

  async 'two tabs at once show one'({ visitor }) {
    const url = tagged('/tabs', { 'data-user': 'tabs' });
    const { open, asked } = await visitor();
    const both = await Promise.all([open(url), open(url)]);
    await Promise.all(both.map(hasNudge));
    const counts = async () => (await Promise.all(both.map((page) => box(page).count()))).sort();
    await until('one', async () => (await counts()).join() === '0,1');
    await until('the other knows', async () => Object.keys(await next(both[0])).length);
    equal(await counts(), [0, 1]);
    holds(asked.length <= 2, `asked ${asked.length} times`);
  },

  async 'an id is kept for who has none'({ visitor }) {
    const url = tagged('/anon', {});
    const { open, asked } = await visitor();
    const page = await open(url);
    await box(page).waitFor();
    const anon = await page.evaluate(() => JSON.parse(localStorage.getItem('nudge.anon')));
    holds(anon.startsWith('anon-'), anon);
    await page.reload();
    await until('asked again', async () => asked.length === 2);
    equal([asked[0].user, asked[1].user], [undefined, anon]);
    // Where nothing may be kept, nothing is.
    const quiet = tagged('/anon-quiet', { 'data-storage': 'none' });
    const other = await visitor();
    const before = await other.open(quiet);
    await box(before).waitFor();
    equal(await before.evaluate(() => Object.keys(localStorage)), []);
    await before.evaluate(() => nudge.configure({ storage: 'local' }));
    await before.evaluate(() => nudge.close());
    await ask(before);
    holds(await before.evaluate(() => Object.keys(localStorage).length > 0), 'after consent');
    await before.evaluate(() => nudge.reset());
    equal(await before.evaluate(() => Object.keys(localStorage)), []);
  },

  async 'attributes, locale and time zone are told'({ visitor }) {
    const attributes = {
      'data-user': 'attrs',
      'data-placement': 'attributes',
      'data-attr-plan': 'guest',
      'data-attr-app_version': '5.3.0',
      'data-session': 'auto',
    };
    const url = tagged('/attrs', attributes, { html: 'lang="de-AT"' });
    const { open, asked } = await visitor({ timezoneId: 'Asia/Tokyo' });
    const page = await open(url);
    await box(page).waitFor();
    equal(await page.locator('nudge-popup .title').textContent(), 'Für Gäste');
    const { attrs, locale, tz, session } = asked[0];
    equal([attrs, locale, tz], [{ plan: 'guest', app_version: '5.3.0' }, 'de-AT', 'Asia/Tokyo']);
    holds(session.length > 10, session);
    await page.reload();
    await until('again', async () => asked.length === 2);
    equal(asked[1].session, session);
  },

  async 'events wait while there is no network'({ visitor }) {
    const url = tagged('/offline', { 'data-user': 'offline', 'data-placement': 'corner' });
    const { context, open } = await visitor();
    const page = await open(url);
    await box(page).waitFor();
    await arrived('offline', 'shown');
    await context.setOffline(true);
    await page.getByRole('button', { name: 'Not now' }).click();
    await until('it waits', async () => (await queued(page)).length === 1);
    equal(
      (await queued(page)).map(({ action }) => action),
      ['dismissed'],
    );
    await context.setOffline(false);
    await until('it left', async () => (await queued(page)).length === 0);
    await arrived('offline', 'dismissed');
    // Kept over page loads, once each and no more than fifty.
    await context.route('**/v1/events*', (route) => route.abort());
    equal((await ask(page)).popup.id, 'corner');
    await page.evaluate(() => {
      for (let round = 0; round < 3; round++) nudge.converted('corner');
    });
    equal(
      (await queued(page)).map(({ action }) => action),
      ['shown', 'converted'],
    );
    await page.evaluate(() => {
      const old = { decision: 'old', action: 'shown', ts: Date.now() - 8 * 86400e3 };
      const many = Array.from({ length: 80 }, (_, at) => ({
        decision: 'd' + at,
        action: 'shown',
        ts: Date.now(),
      }));
      const mine = JSON.parse(localStorage.getItem('nudge.events'));
      localStorage.setItem('nudge.events', JSON.stringify([old, ...many, 'x', null, ...mine]));
      nudge.converted('offline');
      nudge.close();
    });
    const waiting = await queued(page);
    equal([waiting.length, waiting.at(-1).action], [50, 'ignored']);
    await page.close();
    await context.unroute('**/v1/events*');
    const later = await open(
      pages.add('/offline-later', document_('', tag(node, { 'data-key': key, 'data-manual': '' }))),
    );
    await until('all left', async () => (await queued(later)).length === 0);
    await arrived('offline', 'converted', 'ignored');
  },

  async 'events are sent again until they are taken'({ visitor }) {
    const { context, open, events } = await visitor();
    const taken = (rejected) => JSON.stringify({ accepted: 1, duplicate: 0, rejected });
    const answers = [
      { status: 503, headers: { 'Retry-After': '1' }, body: '{"error":{"code":"journal_full"}}' },
      {
        status: 202,
        body: taken([
          { index: 0, code: 'overloaded' },
          { index: 1, code: 'too_late' },
        ]),
      },
      { status: 202, body: taken([]) },
    ];
    await context.route('**/v1/events*', (route) => {
      const answer = answers.shift() ?? { status: 400 };
      const open = {
        'Access-Control-Allow-Origin': '*',
        'Access-Control-Expose-Headers': 'Retry-After',
      };
      return route.fulfill({ ...answer, headers: { ...open, ...answer.headers } });
    });
    const page = await open(tagged('/again', { 'data-manual': '' }));
    await hasNudge(page);
    await page.evaluate(() => {
      const ts = Date.now();
      const waiting = ['a', 'b', 'c'].map((decision) => ({ decision, action: 'shown', ts }));
      localStorage.setItem('nudge.events', JSON.stringify(waiting));
      localStorage.setItem('nudge.shown', JSON.stringify([{ id: 'p', decision: 'd' }]));
      nudge.converted();
    });
    await until('all are taken', async () => answers.length === 0 && !(await queued(page)).length);
    const sent = events.map((batch) => batch.map(({ decision }) => decision).join(''));
    // What came while a batch was under way goes with the next; what is too late goes for good.
    equal(sent, ['abcd', 'abcd', 'a']);
    // What can't be better is given up, and so is nothing else.
    await page.evaluate(() => nudge.converted('p'));
    await until('given up', async () => events.length === 4 && !(await queued(page)).length);
  },

  async 'a page that is left tells by beacon'({ visitor }) {
    const url = tagged('/left', { 'data-user': 'left', 'data-placement': 'corner' });
    const { context, open } = await visitor();
    const page = await open(url);
    await box(page).waitFor();
    await arrived('left', 'shown');
    await page.close({ runBeforeUnload: false });
    await arrived('left', 'ignored');
    // A link takes the page along; the click is told all the same.
    const other = await open(
      tagged('/left-by-link', { 'data-user': 'link', 'data-placement': 'modal' }),
    );
    await box(other).waitFor();
    await other.getByRole('link', { name: 'Yes' }).click();
    await other.waitForURL('**/blank');
    await arrived('link', 'shown', 'clicked');
    holds(!(await actions('link')).includes('ignored'), 'clicked is not ignored');
    await context.close();
  },

  async 'a strict policy is kept to'({ visitor }) {
    const watch = `addEventListener('securitypolicyviolation', (event) => {
      (window.violations ??= []).push(event.violatedDirective + ' ' + event.blockedURI); });`;
    const policies = {
      listed: [`script-src ${node} 'sha256-HASH'`, {}],
      nonce: [`script-src 'nonce-abc' 'strict-dynamic' 'sha256-HASH'`, { nonce: 'abc' }],
      typed: [
        `script-src ${node} 'sha256-HASH'; require-trusted-types-for 'script'; trusted-types nudge`,
        {},
      ],
    };
    const bytes = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(watch));
    const hash = Buffer.from(bytes).toString('base64');
    const { open, errors } = await visitor();
    for (const [name, [script, attributes]] of Object.entries(policies)) {
      const policy = `default-src 'none'; connect-src ${node}; img-src 'self'; ${script.replace('HASH', hash)}`;
      const user = { 'data-user': 'csp-' + name, 'data-placement': 'modal', ...attributes };
      const head = `<script>${watch}</script>`;
      const page = await open(
        tagged('/csp-' + name, user, { head, headers: { 'Content-Security-Policy': policy } }),
      );
      await box(page).waitFor();
      const style = await box(page).evaluate((found) => getComputedStyle(found).position);
      equal(style, 'fixed', name);
      equal(await page.evaluate(() => window.violations ?? []), [], name);
      await page.getByRole('button', { name: 'No', exact: true }).click();
      await arrived('csp-' + name, 'shown', 'dismissed');
    }
    equal(errors, []);
  },

  async 'a modal keeps the keyboard and gives it back'({ visitor }) {
    const attributes = { 'data-user': 'keys', 'data-placement': 'modal', 'data-manual': '' };
    const main = '<h1>Home</h1><button id="ask">Ask</button>';
    const { open } = await visitor();
    const page = await open(tagged('/keys', attributes, { main }));
    await hasNudge(page);
    await page.evaluate(() => (document.getElementById('ask').onclick = () => nudge.ask()));
    const focused = () =>
      page.evaluate(() => document.activeElement.shadowRoot?.activeElement?.textContent);
    await page.locator('#ask').focus();
    await page.keyboard.press('Enter');
    await box(page).waitFor();
    // The focus is on the whole: a key that was meant for the page presses nothing.
    await page.keyboard.press('Enter');
    equal(await box(page).count(), 1);
    const stops = [];
    for (let press = 0; press < 4; press++) {
      await page.keyboard.press('Tab');
      stops.push(await focused());
    }
    equal(stops, ['Yes', 'No', '\u00d7', 'Yes']);
    await page.keyboard.press('Shift+Tab');
    equal(await focused(), '\u00d7');
    await page.keyboard.press('Escape');
    await until('it is gone', async () => (await box(page).count()) === 0);
    equal(await page.evaluate(() => document.activeElement.id), 'ask');
    await arrived('keys', 'dismissed');
    // What is no modal takes no focus, and Escape only where it has it.
    equal((await ask(page, { placement: 'corner' })).popup.id, 'corner');
    equal(await page.evaluate(() => document.activeElement.id), 'ask');
    await page.keyboard.press('Escape');
    equal(await box(page).count(), 1);
    await page.keyboard.press('Tab');
    equal(await focused(), 'Read on');
    await page.keyboard.press('Escape');
    await until('it is gone', async () => (await box(page).count()) === 0);
    equal(await page.evaluate(() => document.activeElement.id), 'ask');
  },

  async 'axe finds nothing, in light and dark, and right to left'({ visitor }) {
    const { open } = await visitor();
    const url = tagged('/axe', { 'data-user': 'axe', 'data-manual': '' });
    const page = await open(url);
    await hasNudge(page);
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      for (const placement of ['corner', 'banner', 'modal']) {
        equal((await ask(page, { placement })).popup.id, placement);
        equal(await findings(page), [], `${placement} ${colorScheme}`);
        const [close, main] = await Promise.all(
          ['.close', '.main'].map((name) => box(page).locator(name).boundingBox()),
        );
        holds(
          main.x + main.width <= close.x || main.y >= close.y + close.height,
          `${placement}: one over the other`,
        );
        const animation = await box(page).evaluate(
          (found) => getComputedStyle(found).animationName,
        );
        equal(animation, 'none', 'reduced motion');
        await page.evaluate(() => nudge.close());
      }
    }
    const status = page.locator('nudge-popup [role=status]');
    await page.evaluate(() => (document.documentElement.dir = 'rtl'));
    await ask(page, { placement: 'corner' });
    await until('it is said', async () => (await status.textContent()).startsWith('A corner'));
    const middle = await box(page).evaluate((found) => {
      const { left, right } = found.getBoundingClientRect();
      return (left + right) / 2 / innerWidth;
    });
    holds(middle > 0.5, `the line's start is on the right: ${middle}`);
    equal(await findings(page), [], 'right to left');
  },

  async 'content is text, and leads to pages alone'({ visitor }) {
    const { open, errors } = await visitor();
    const page = await open(
      tagged('/hostile', { 'data-user': 'hostile', 'data-placement': 'hostile' }),
    );
    page.on('dialog', (dialog) => errors.push(dialog.message()) && dialog.dismiss());
    await box(page).waitFor();
    equal(await box(page).locator('img, script, a').count(), 0);
    equal(await box(page).locator('.title').textContent(), '<img src=x onerror=alert(1)>');
    await page.getByRole('button', { name: 'Go' }).click();
    await arrived('hostile', 'clicked');
    equal(errors, []);
    equal((await ask(page, { placement: 'empty' })).reason, 'unshown');
    holds(!(await queued(page)).length, 'what was not shown is not told');
  },

  async 'a page is not broken by what a node does'({ visitor }) {
    const { open, errors } = await visitor();
    const page = await open(tagged('/broken', { 'data-manual': '' }));
    await hasNudge(page);
    for (const [name, misbehaving] of [['dead', pages.dead], ...pages.misbehaving]) {
      const isLate = ['silent', 'slow'].includes(name);
      const question = {
        node: misbehaving,
        user: 'user-of-' + name,
        timeout: isLate ? 100 : 60_000,
      };
      const answer = await ask(page, question);
      const wanted = { bare: 'unshown', late: 'expired' }[name] ?? 'failed';
      equal([answer.popup, answer.reason], [null, wanted], name);
      // It is left alone for a while, but where the page is at fault.
      const isLeftAlone = [...NODES_AT_FAULT, 'dead'].includes(name);
      equal((await ask(page, question)).reason, isLeftAlone ? 'waiting' : wanted, name);
    }
    // The file itself from a dead node, and a page on which storage throws.
    const without = await open(pages.add('/no-file', document_('', tag(pages.dead))));
    equal(await without.evaluate(() => typeof nudge), 'undefined');
    const head = `<script>for (const name of ['localStorage', 'sessionStorage']) {
      Object.defineProperty(window, name, { get() { throw new Error('no ' + name); } }); }
      Object.defineProperty(navigator, 'locks', { value: undefined });
      Object.defineProperty(navigator, 'sendBeacon', { value: undefined });
      window.CSSStyleSheet = undefined;</script>`;
    const bare = await open(
      tagged('/bare-page', { 'data-user': 'bare', 'data-placement': 'modal' }, { head }),
    );
    await box(bare).waitFor();
    equal(await box(bare).evaluate((found) => getComputedStyle(found).position), 'fixed');
    await bare.keyboard.press('Escape');
    await arrived('bare', 'shown', 'dismissed');
    equal(errors, []);
  },

  async 'an application asks for itself, and shows in its own way'({ visitor }) {
    const head = `<script>
      window.seen = [];
      for (const action of ['shown', 'clicked', 'dismissed']) {
        document.addEventListener('nudge:' + action, (event) => {
          seen.push(action + ' ' + event.detail.popup.id);
          if (action === 'clicked') { event.preventDefault(); seen.push(new URL(event.detail.url).hash); }
        });
      }
      window.nudge = { manual: true, placement: 'corner', ready: (nudge) => seen.push('ready ' + typeof nudge.ask) };
    </script>`;
    const { open, asked, errors } = await visitor();
    const page = await open(tagged('/spa', {}, { head }));
    await hasNudge(page);
    equal(asked.length, 0);
    await page.evaluate(() => nudge.configure({ user: 'spa', attrs: { plan: 'pro' } }));
    await page.evaluate(() => history.pushState(null, '', '/spa/next'));
    // Two questions at once are one popup.
    const [first, second] = await page.evaluate(() =>
      Promise.all([nudge.ask(), nudge.ask({ placement: 'banner' })]),
    );
    equal([first.popup.id, second.reason], ['corner', 'busy']);
    equal([asked[0].user, asked[0].attrs], ['spa', { plan: 'pro' }]);
    await page.getByRole('link', { name: 'Read on' }).click();
    await until('it is gone', async () => (await box(page).count()) === 0);
    equal(await page.evaluate(() => seen), [
      'ready function',
      'shown corner',
      'clicked corner',
      '#more',
    ]);
    equal(new URL(page.url()).hash, '', 'the page goes its own way');
    await arrived('spa', 'shown', 'clicked');
    await page.evaluate(() => nudge.converted());
    await arrived('spa', 'converted');
    // Its own renderer; one that gives up, and one that throws.
    const own = await page.evaluate(async () => {
      const render = (popup, handle) => {
        window.handle = handle;
        document.querySelector('h1').textContent = popup.content.title;
        return () => (document.querySelector('h1').textContent = 'off');
      };
      const answers = [await nudge.ask({ render }), await nudge.ask({ render })];
      handle.report('dismissed');
      handle.report('clicked');
      answers.push(await nudge.ask({ render: () => false }));
      answers.push(
        await nudge.ask({
          render: () => {
            throw new Error('mine');
          },
        }),
      );
      answers.push(await nudge.ask({ render }));
      nudge.close();
      return answers
        .map(({ popup, reason }) => popup?.id ?? reason)
        .concat(document.querySelector('h1').textContent);
    });
    equal(own, ['corner', 'busy', 'unshown', 'failed', 'corner', 'off']);
    equal(await page.evaluate(() => Object.keys(window).filter((name) => /nudge/i.test(name))), [
      'nudge',
    ]);
    equal(errors, []);
  },

  async 'an application in React'({ visitor }) {
    const script = pages.add('/app.js', await bundleReact(node, key), {
      'Content-Type': 'text/javascript',
    });
    const head = `<script type="module" src="${script}"></script>`;
    const { open, asked, errors } = await visitor();
    const page = await open(pages.add('/react', document_('<div id="app"></div>', head)));
    await page.getByRole('button', { name: 'Hide' }).waitFor();
    equal(await page.locator('aside h2').textContent(), 'A corner');
    await page.getByRole('button', { name: 'Hide' }).click();
    await until('it is gone', async () => (await page.locator('aside').count()) === 0);
    await arrived('react', 'shown', 'dismissed');
    equal([asked.length, errors], [1, []]);
    // A server that renders the same asks nobody.
    equal(await createNudge({ node }).ask(), { popup: null, reason: 'failed' });
  },

  async 'nobody is asked before the page is seen'({ visitor }) {
    const hide = `<script>Object.defineProperty(document, 'visibilityState', { get: () => window.state ?? 'hidden' });</script>`;
    const { open, asked } = await visitor();
    const page = await open(tagged('/hidden', { 'data-user': 'hidden' }, { head: hide }));
    await hasNudge(page);
    await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 100)));
    equal(asked.length, 0);
    await page.evaluate(() => {
      window.state = 'visible';
      document.dispatchEvent(new Event('visibilitychange'));
    });
    await box(page).waitFor();
    equal(asked.length, 1);
  },
};

const chosen = Object.entries(tests).filter(([name]) => !only || name.includes(only));
const told = await runAll(executablePath, Object.fromEntries(chosen), 4, {});
pages.close();
console.log(JSON.stringify(told));
