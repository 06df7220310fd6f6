// How long the console's first page takes: from the start of the navigation until the list of
// popups is painted, by a browser that has nothing of it yet, and by one that was here before.
//
//   node console-times.mjs CHROMIUM --nudged PATH               [--built] [--visits N]
//   node console-times.mjs CHROMIUM http://ADMIN http://DATA [--built] [--visits N]
//
// Says the median of N, and of the first of them what the page asked for and when.
import { loadavg } from 'node:os';
import { chromium } from 'playwright-core';
import { newVisitor, readArguments } from './console-harness.mjs';
import { foundNode, seedUsers, startNode } from './console-nodes.mjs';

/** Runs in pages: when the first row was painted, in milliseconds since the navigation began. */
function watchForRows() {
  window.painted = new Promise((resolve) => {
    const look = () => {
      if (!document.querySelector('[data-row]')) return requestAnimationFrame(look);
      // What is drawn in this frame is on the screen before the next task.
      requestAnimationFrame(() => setTimeout(() => resolve(performance.now()), 0));
    };
    requestAnimationFrame(look);
  });
}

/** Runs in pages: what was asked for. */
function requests() {
  const told = ({ name, startTime, responseEnd }) =>
    `${Math.round(startTime)} to ${Math.round(responseEnd)} ms: ${new URL(name).pathname}`;
  const loaded = performance.getEntriesByType('resource');
  return [...performance.getEntriesByType('navigation'), ...loaded].map(told);
}

async function visit(visitor) {
  const page = await visitor.context.newPage();
  await page.goto('/console/', { waitUntil: 'commit' });
  const ms = await page.evaluate(() => window.painted);
  const asked = await page.evaluate(requests);
  await page.close();
  return { ms, asked };
}

/** One with an empty cache, then one more by the same browser. */
async function both(browser, node) {
  const visitor = await newVisitor(browser, { node });
  await visitor.context.addInitScript(watchForRows);
  const [first, again] = [await visit(visitor), await visit(visitor)];
  await visitor.context.close();
  visitor.check();
  return { first, again };
}

function told(what, visits) {
  const all = visits.map(({ ms }) => ms).sort((a, b) => a - b);
  const [low, high] = [all[0], all.at(-1)];
  const median = (all[(all.length - 1) >> 1] + all[all.length >> 1]) / 2;
  const round = (ms) => ms.toFixed(0);
  return `${what}: median ${round(median)} ms of ${all.length} (${round(low)} to ${round(high)})`;
}

const { chromium: executablePath, program, admin, data, built, visits: wanted } = readArguments();
const node = admin ? await foundNode(admin, data, built) : await startNode({ program, built });
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
try {
  if (!admin) await seedUsers(node);
  // The browser's own start is none of the page's.
  await both(browser, node);
  const visits = [];
  for (let at = 0; at < Number(wanted ?? 10); at += 1) visits.push(await both(browser, node));
  const [firsts, agains] = ['first', 'again'].map((when) => visits.map((both) => both[when]));
  for (const line of firsts[0].asked) console.log(line);
  console.log(told('painted, nothing in the cache', firsts));
  console.log(told('painted, visited before', agains));
  console.log(`load of this host: ${loadavg()[0].toFixed(1)}`);
} finally {
  await browser.close();
  await node.stop();
}
