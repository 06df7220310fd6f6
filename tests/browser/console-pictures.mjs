// Takes pictures of the console's pages: each in three widths, light and dark, on one sheet.
//
//   node console-pictures.mjs CHROMIUM --nudged PATH [--built] [--only NAME] [--into FOLDER]
//
// `--sheets no` writes each picture by itself, as large as the page is, for looking closely.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { newVisitor, readArguments } from './console-harness.mjs';
import { foundNode, seedUsers, startNode } from './console-nodes.mjs';

const DOCS = fileURLToPath(new URL('../../docs/pictures/console/', import.meta.url));
const WIDTHS = [1280, 800, 360];
const SCHEMES = ['light', 'dark'];
const HEIGHT = 900;
/** Of a picture on a sheet. */
const SCALE = 0.5;
const QUALITY = 72;
/** How long there is something to draw before pictures are taken. */
const TRAFFIC_MS = 12_000;

/**
 * Each page by its name on disk; `before` goes on to what is to be seen. Those of `docs/console.md`
 * come first; the others are taken where they are asked for.
 */
const PAGES = {
  popups: { path: '/popups' },
  popup: { path: '/popups/welcome' },
  editor: { path: '/popups/spring-offer/edit', settle: 4_000 },
  statistics: { path: '/statistics' },
  user: { path: '/users/ann' },
  'user-elsewhere': {
    path: '/users/ann?placement=cart&attr.plan=pro&locale=de-AT&tz=Europe/Vienna',
  },
  system: { path: '/system', settle: 15_000 },
  'system-log': { path: '/system?view=log' },
  'system-doctor': { path: '/system?view=doctor', before: lookNow },
  access: { path: '/access' },
  ...(process.argv.includes('--only') && {
    new: { path: '/new' },
    users: { path: '/users' },
    'user-erase': { path: '/users/ann', before: (page) => click(page, 'Erase this user') },
    'system-host': { path: '/system?view=host' },
    'system-audit': { path: '/system?view=audit' },
    'access-make': { path: '/access', before: (page) => click(page, 'Make a token') },
    login: { path: '/login' },
  }),
};

async function click(page, name) {
  await page.getByRole('button', { name }).click();
}

/** One at a time: who comes meanwhile is told that the node is busy with another. */
let looking = Promise.resolve();
function lookNow(page) {
  looking = looking.then(async () => {
    await click(page, 'Look now');
    await page.getByRole('button', { name: 'Look again' }).waitFor();
  });
  return looking;
}

/** People, tokens and popups with a past, so that pages are as they are in use. */
async function seed(node) {
  await seedUsers(node);
  const offer = {
    content: { title: 'Spring offer', text: 'A fifth off until Sunday.', button: 'See offers' },
    priority: 30,
    target: { attr: 'plan', op: 'eq', value: 'pro' },
    caps: [{ n: 2, per: '7d' }],
  };
  await node.popup('spring-offer', offer);
  await node.popup('spring-offer', { ...offer, priority: 35 });
  await node.popup('newsletter', { placement: ['footer'] });
  await node.ask('POST', '/v1/popups/newsletter/pause');
  for (const [name, role] of [
    ['ann@example.com', 'editor'],
    ['ci', 'operator'],
    ['board', 'viewer'],
  ])
    await node.token(name, role);
}

/** Visitors, until it is called off. */
function traffic(node) {
  let [at, isOver] = [0, false];
  const come = async () => {
    while (!isOver) {
      const actions = ['shown', ['clicked', 'dismissed', 'ignored'][at % 3]];
      const where = [{}, { attrs: { plan: 'pro' } }, { placement: 'cart' }][at % 3];
      await node.visit(`visitor-${at++}`, actions.slice(0, 1 + (at % 2)), where).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 5 + 10 * Math.sin(at / 90) ** 2));
    }
  };
  const all = Promise.all([come(), come()]);
  return () => ((isOver = true), all);
}

async function take(browser, node, { path, before, settle = 500 }, look) {
  const { viewport, colorScheme, fullPage } = look;
  const visitor = await newVisitor(browser, { node, viewport, colorScheme, timezoneId: 'UTC' });
  const page = await visitor.open(path);
  await before?.(page);
  await page.waitForLoadState('networkidle', { timeout: 1_500 }).catch(() => {});
  await page.waitForTimeout(settle);
  const picture = await page.screenshot({ type: 'png', fullPage });
  await visitor.context.close();
  for (const error of visitor.errors) console.error(`${path}: ${error}`);
  return picture;
}

/** All pictures of a page on one: the widths beside each other, light above dark. */
async function sheet(browser, pictures) {
  const context = await browser.newContext({ viewport: { width: 1300, height: 1000 } });
  const page = await context.newPage();
  const cell = ({ width, picture }) =>
    `<img width="${width * SCALE}" src="data:image/png;base64,${picture.toString('base64')}">`;
  const row = (scheme) =>
    pictures
      .filter((one) => one.scheme === scheme)
      .map(cell)
      .join('');
  await page.setContent(
    `<style>body{margin:0;padding:16px;background:#8a908d;width:max-content}
      div{display:flex;gap:16px;align-items:start}div+div{margin-top:16px}img{display:block}</style>
      ${SCHEMES.map((scheme) => `<div>${row(scheme)}</div>`).join('')}`,
  );
  const picture = await page.locator('body').screenshot({ type: 'jpeg', quality: QUALITY });
  await context.close();
  return picture;
}

function flag(name, otherwise) {
  const at = process.argv.indexOf(name);
  return at < 0 ? otherwise : process.argv.splice(at, 2)[1];
}

const into = flag('--into', DOCS);
const hasSheets = flag('--sheets', 'yes') === 'yes';
const { chromium: executablePath, program, admin, data, built, only } = readArguments();
const node = admin ? await foundNode(admin, data, built) : await startNode({ program, built });
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
let stop = async () => {};
try {
  mkdirSync(into, { recursive: true });
  if (!admin) await seed(node);
  stop = traffic(node);
  await new Promise((resolve) => setTimeout(resolve, only ? 1_000 : TRAFFIC_MS));
  for (const [name, page] of Object.entries(PAGES)) {
    if (only && !only.split(',').includes(name)) continue;
    const looks = SCHEMES.flatMap((scheme) => WIDTHS.map((width) => ({ scheme, width })));
    const pictures = await Promise.all(
      looks.map(async ({ scheme, width }) => {
        const viewport = { width, height: HEIGHT };
        const look = { viewport, colorScheme: scheme, fullPage: !hasSheets };
        return { scheme, width, picture: await take(browser, node, page, look) };
      }),
    );
    if (hasSheets) writeFileSync(join(into, `${name}.jpg`), await sheet(browser, pictures));
    else
      for (const { scheme, width, picture } of pictures)
        writeFileSync(join(into, `${name}-${width}-${scheme}.png`), picture);
  }
} finally {
  await stop();
  await browser.close();
  await node.stop();
}
