// The page of docs/integrate.md, word for word but for where the node is.
//
//   node guide.mjs CHROMIUM NODE
import { readFileSync } from 'node:fs';
import { equal, runAll, servePages } from './harness.mjs';

const [executablePath, node] = process.argv.slice(2);
const guide = readFileSync(new URL('../../docs/integrate.md', import.meta.url), 'utf8');
const page = guide.split('```html\n')[1].split('```')[0];
const pages = await servePages();
const url = pages.add('/', page.replace('http://127.0.0.1:8080', node));

const tests = {
  async 'the popup of the guide is on its page, once'({ visitor }) {
    const { open, errors } = await visitor();
    const view = await open(url);
    await view.getByRole('region', { name: 'Welcome' }).waitFor();
    equal(await view.getByRole('link').getAttribute('href'), new URL('/shop', url).href);
    await view.reload();
    await view.waitForFunction(() => typeof window.nudge?.ask === 'function');
    const answer = await view.evaluate(() => nudge.ask());
    equal([answer.popup, ['gap', 'waiting'].includes(answer.reason)], [null, true]);
    equal(errors, []);
  },
};

const told = await runAll(executablePath, tests, 1, {});
pages.close();
console.log(JSON.stringify(told));
