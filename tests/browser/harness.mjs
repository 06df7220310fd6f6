// What the tests of the snippet share: pages with any head and headers, nodes that misbehave, and
// one browser whose contexts run side by side.
import { createServer } from 'node:http';
import { chromium } from 'playwright-core';

/** Far beyond what a busy machine needs; nothing waits for it that goes well. */
const TIMEOUT_MS = 60_000;

/** Waits for a condition; what it gives last is given back. */
export async function until(what, look) {
  const end = Date.now() + TIMEOUT_MS;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not within ${TIMEOUT_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export function equal(found, wanted, what = '') {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`${what}: found ${a}, wanted ${b}`);
}

export function holds(condition, what) {
  if (!condition) throw new Error(what);
}

const DOT =
  '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><rect width="40" height="20" fill="teal"/></svg>';

/** What a node that misbehaves does with a request, by the first part of its path. */
const MISBEHAVIOUR = {
  silent() {},
  slow(_, response) {
    response.writeHead(200, { 'Content-Type': 'application/json', ...OPEN });
    response.write('{"decision":');
  },
  reset(request) {
    request.socket.destroy();
  },
  failing: answer(503, '{"error":{"code":"overloaded"}}'),
  html: answer(200, '<!doctype html><title>Proxy</title>'),
  empty: answer(200, ''),
  null: answer(200, 'null'),
  list: answer(200, '[1,2]'),
  halves: answer(200, '{"decision":5,"popup":"x"}'),
  bare: answer(200, '{"decision":"d","popup":{"id":"p","content":7}}'),
  late: answer(
    200,
    '{"decision":"d","popup":{"id":"p","content":{"title":"Late"}},"expires_in":0.001}',
  ),
  refusing: answer(401, '{"error":{"code":"wrong_key"}}'),
  gone: answer(404, ''),
};
const OPEN = { 'Access-Control-Allow-Origin': '*' };
function answer(status, body) {
  return (_, response) => response.writeHead(status, OPEN).end(body);
}

async function listen(server) {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${server.address().port}`;
}

/** Serves pages that were added by their paths, and the nodes that misbehave. */
export async function servePages() {
  const pages = new Map();
  const server = createServer((request, response) => {
    const path = new URL(request.url, 'http://x').pathname;
    const misbehave = MISBEHAVIOUR[path.split('/')[1]];
    if (misbehave) return misbehave(request, response);
    if (path === '/dot.svg')
      return response.writeHead(200, { 'Content-Type': 'image/svg+xml' }).end(DOT);
    const page = pages.get(path);
    response.writeHead(page ? 200 : 404, {
      'Content-Type': 'text/html; charset=utf-8',
      ...page?.headers,
    });
    response.end(page?.html);
  });
  const origin = await listen(server);
  // Nobody is at home there any more.
  const left = createServer();
  const dead = await listen(left);
  left.close();
  const add = (path, html, headers) => {
    pages.set(path, { html, headers });
    return origin + path;
  };
  add('/blank', document_('<h1>Blank</h1>'));
  return {
    dead,
    add,
    misbehaving: Object.keys(MISBEHAVIOUR).map((name) => [name, `${origin}/${name}`]),
    close: () => server.closeAllConnections() || server.close(),
  };
}

/** A page that axe has nothing to say of by itself. */
export function document_(main, head = '', attributes = 'lang="en"') {
  return `<!doctype html><html ${attributes}><head><meta charset="utf-8"><title>A page</title>
<meta name="viewport" content="width=device-width">${head}</head>
<body><main>${main}</main></body></html>`;
}

/** Attributes as they stand in a tag. */
export function tag(node, attributes = {}) {
  const given = Object.entries(attributes)
    .map(([name, value]) => ` ${name}="${value}"`)
    .join('');
  return `<script async src="${node}/nudge.js"${given}></script>`;
}

/** What a context's pages have asked of the node, and said. */
export async function newVisitor(browser, options = {}) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(TIMEOUT_MS);
  const visitor = { context, asked: [], events: [], errors: [], said: [] };
  context.on('request', (request) => {
    const { pathname } = new URL(request.url());
    if (request.method() !== 'POST') return;
    if (pathname.endsWith('/v1/decide')) visitor.asked.push(JSON.parse(request.postData()));
    if (pathname.endsWith('/v1/events')) visitor.events.push(JSON.parse(request.postData()));
  });
  context.on('weberror', (error) => visitor.errors.push(String(error.error())));
  context.on('console', (message) => visitor.said.push(`${message.type()}: ${message.text()}`));
  visitor.open = async (url) => {
    const page = await context.newPage();
    await page.goto(url);
    return page;
  };
  return visitor;
}

/**
 * Runs tests, so many side by side; tells of each how long it took and what was wrong. `visit`
 * makes their visitors; one that has `check` is asked at the end of its test.
 */
export async function runAll(executablePath, tests, sideBySide, shared, visit = newVisitor) {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  const told = [];
  const left = Object.entries(tests);
  const work = async () => {
    for (let next = left.shift(); next; next = left.shift()) {
      const [name, test] = next;
      const begun = Date.now();
      const visitors = [];
      const visitor = async (options) => {
        visitors.push(await visit(browser, options));
        return visitors.at(-1);
      };
      let error = null;
      try {
        await test({ ...shared, visitor, name });
        visitors.forEach((visitor) => visitor.check?.());
      } catch (thrown) {
        error =
          thrown.stack +
          visitors.map(({ said, errors }) => `\n${said.join('\n')}\n${errors.join('\n')}`);
      }
      told.push({ name, ms: Date.now() - begun, error });
      await Promise.all(visitors.map(({ context }) => context.close()));
    }
  };
  try {
    await Promise.all(Array.from({ length: sideBySide }, work));
  } finally {
    await browser.close();
  }
  return told;
}
