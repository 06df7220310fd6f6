// What the tests of the console share: visitors who sign in and whose pages may say nothing wrong,
// keys instead of a mouse, axe in light and dark, and one browser.
//
//   node console-PAGE.mjs CHROMIUM --nudged PATH        [--built] [--only NAME]
//   node console-PAGE.mjs CHROMIUM http://ADMIN http://DATA [--built] [--only NAME]
//
// The first starts nodes by itself, the second asks one that runs, and leaves out the tests that
// need nodes of their own. `--built` takes the console from src/admin/console/dist/files.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { foundNode, seedUsers, startNode } from './console-nodes.mjs';
import { equal, holds, runAll, until } from './harness.mjs';

export { equal, holds, until };
export { HOSTILE, HOSTILE_USER } from './console-nodes.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Far beyond what a busy machine needs; nothing waits for it that goes well. */
const TIMEOUT_MS = 60_000;
/** Steps of the Tab key to whatever a page has. */
const TABS_MAX = 200;
const SIDE_BY_SIDE = 3;

/** Reads the arguments of a script of pages. */
export function readArguments() {
  const [chromium, ...rest] = process.argv.slice(2);
  const flag = (name) => {
    const at = rest.indexOf(name);
    return at < 0 ? null : rest.splice(at, 2)[1];
  };
  const [only, program, visits] = ['--only', '--nudged', '--visits'].map(flag);
  const built = rest.includes('--built');
  const [admin, data] = rest.filter((word) => !word.startsWith('--'));
  if (!chromium || (!program && !data)) throw new Error('CHROMIUM and --nudged PATH or two URLs');
  return { chromium, program, admin, data, built, only, visits };
}

/**
 * Runs the tests of pages and prints what came of each as one line of JSON. A test is given
 * `node` (shared by all: change nothing of it that another looks at), `start(options)` (a node of
 * its own, as `startNode`; stopped after it) and `visitor(options)` (see `newVisitor`). `seed` is
 * called with the shared node before all; `sideBySide` tests run at once.
 */
export async function runConsole(tests, seed = async () => {}, sideBySide = SIDE_BY_SIDE) {
  const { chromium, program, admin, data, built, only } = readArguments();
  const isWanted = ([name, test]) =>
    (!only || name.includes(only)) && (program || !test.toString().includes('start('));
  const chosen = Object.entries(tests).filter(isWanted);
  const node = admin ? await foundNode(admin, data, built) : await startNode({ program, built });
  let told;
  try {
    await seedUsers(node);
    await seed(node);
    const wrapped = chosen.map(([name, test]) => [name, withNodes(test, { program, built })]);
    const visit = (browser, options) => newVisitor(browser, { node, ...options });
    told = await runAll(chromium, Object.fromEntries(wrapped), sideBySide, { node }, visit);
  } finally {
    await node.stop();
  }
  console.log(JSON.stringify(told));
}

/** Ends the nodes that a test starts, behind the pages that look at them. */
function withNodes(test, usual) {
  return async (given) => {
    const [nodes, visitors] = [[], []];
    const visitor = async (options) => {
      visitors.push(await given.visitor(options));
      return visitors.at(-1);
    };
    const start = async (options = {}) => {
      nodes.push(await startNode({ ...usual, ...options }));
      return nodes.at(-1);
    };
    try {
      await test({ ...given, start, visitor });
    } finally {
      await Promise.all(visitors.map(({ context }) => context.close()));
      await Promise.all(nodes.map((node) => node.stop()));
    }
  };
}

/**
 * Somebody with a browser of their own. `token` signs in with it first; `allow` has patterns of
 * what its pages may write to the browser's console, where everything else but plain messages
 * fails the test: errors, warnings, what the content security policy refused, and the browser's
 * own lines about answers such as 403. All else goes to Playwright: `colorScheme`, `viewport`.
 */
export async function newVisitor(browser, { node, token, allow = [], ...options }) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    reducedMotion: 'reduce',
    baseURL: node.console,
    ...options,
  });
  context.setDefaultTimeout(TIMEOUT_MS);
  const visitor = { context, node, said: [], errors: [] };
  context.on('weberror', (error) => visitor.errors.push(String(error.error())));
  context.on('console', (message) => {
    const line = `${message.type()}: ${message.text()} ${message.location().url}`;
    visitor.said.push(line);
    const isBad = ['error', 'warning', 'assert'].includes(message.type());
    if (isBad && !allow.some((pattern) => pattern.test(line))) visitor.errors.push(line);
  });
  context.on('dialog', (dialog) => {
    visitor.errors.push(`a dialog of the browser: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await context.addInitScript(countShifts);
  if (token) {
    const headers = { Origin: node.console };
    const answer = await context.request.post('/v1/session', { data: { token }, headers });
    holds(answer.ok(), `signing in: ${answer.status()} ${await answer.text()}`);
  }
  /** Opens a path below `/console` and waits for its heading. */
  visitor.open = async (path) => {
    const page = await context.newPage();
    await page.goto(`/console${path}`);
    await page.locator('h1').first().waitFor();
    return page;
  };
  visitor.check = () => equal(visitor.errors, [], 'what the pages said');
  return visitor;
}

/** Runs in pages: what moved while nobody did anything. */
function countShifts() {
  window.layoutShift = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries())
      if (!entry.hadRecentInput) window.layoutShift += entry.value;
  }).observe({ type: 'layout-shift', buffered: true });
}

/** Holds that a page has not moved under who reads it (0.1 is what browsers call good). */
export async function steady(page) {
  const shift = await page.evaluate(() => window.layoutShift);
  holds(shift < 0.05, `the layout has shifted by ${shift}`);
}

/** Holds that axe finds nothing, in light and in dark, frames included. */
export async function accessible(page, what = '') {
  for (const frame of page.frames()) await frame.evaluate(axe);
  // In the dark, colours alone are others.
  const looks = [
    ['light', {}],
    ['dark', { runOnly: ['color-contrast'] }],
  ];
  for (const [colorScheme, options] of looks) {
    await page.emulateMedia({ colorScheme });
    const { violations } = await page.evaluate((options) => window.axe.run(options), options);
    const place = ({ html, failureSummary }) => `${html}\n${failureSummary}`;
    const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(place).join('\n')}`);
    holds(found.length === 0, `${what} in ${colorScheme}:\n${found.join('\n')}`);
  }
  await page.emulateMedia({ colorScheme: null });
}

/** Holds that a page needs no scrolling sideways at a width. */
export async function fits(page, width = 360) {
  const before = page.viewportSize();
  await page.setViewportSize({ width, height: 800 });
  const wide = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth <= clientWidth) return null;
    const scrolls = (element) => getComputedStyle(element).overflowX !== 'visible';
    const isWithin = (element) => {
      for (
        let room = element.parentElement;
        room && room !== document.body;
        room = room.parentElement
      )
        if (scrolls(room)) return true;
      return false;
    };
    const sticksOut = (element) =>
      element.getBoundingClientRect().right > clientWidth + 1 && !isWithin(element);
    const all = [...document.querySelectorAll('body *')].filter(sticksOut);
    return all.slice(0, 3).map((element) => element.outerHTML.slice(0, 200));
  });
  await page.setViewportSize(before);
  holds(wide === null, `wider than ${width} px: ${wide}`);
}

/** Goes with Tab (or Shift+Tab) to what has this role and name; it must look focused. */
export async function tabTo(page, role, name, key = 'Tab') {
  // Found once: names are dear to compute, and there may be hundreds.
  const wanted = await page.getByRole(role, { name }).first().elementHandle();
  const isThere = () => wanted.evaluate((element) => element === document.activeElement);
  for (let step = 0; step < TABS_MAX; step += 1) {
    if (await isThere()) {
      const outline = await page.evaluate(() => {
        const { outlineStyle, boxShadow } = getComputedStyle(document.activeElement);
        return outlineStyle !== 'none' || boxShadow !== 'none';
      });
      return holds(outline, `nothing shows that ${role} ${name} has the focus`);
    }
    await page.keyboard.press(key);
  }
  throw new Error(`not reached with ${key}: ${role} ${name}`);
}

/** Goes there with Tab and presses a key, or types what is no name of one. */
export async function keyTo(page, role, name, ...keys) {
  await tabTo(page, role, name);
  for (const key of keys) await press(page, key);
}

/** Presses a key such as `Enter` or `Control+k`; types a text in `{ type }`. */
export async function press(page, key) {
  await (key.type === undefined ? page.keyboard.press(key) : page.keyboard.type(key.type));
}
