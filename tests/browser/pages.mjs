// What pages of two origins get of a node, in a real Chromium: fetches with tracing headers and
// credentials, and beacons with JSON and with text. Prints what came of each as one line of JSON.
//
//   node pages.mjs CHROMIUM PAGE OTHER_PAGE NODE KEY
//
// PAGE is of an origin that the node lists, OTHER_PAGE of one that it does not; "" leaves one out.
import { chromium } from 'playwright-core';

const [executablePath, listedPage, otherPage, node, key] = process.argv.slice(2);

/** Runs in a page. */
async function visit({ node, key, headers, credentials }) {
  const told = async (asking) => {
    try {
      const answer = await asking;
      const fields = Object.fromEntries(answer.headers);
      return { status: answer.status, fields, body: await answer.text() };
    } catch (error) {
      return { refused: String(error) };
    }
  };
  const decide = `${node}/v1/decide?user=ann&placment=cart&key=${key}`;
  const events = `${node}/v1/events?key=${key}`;
  const shown = await told(fetch(decide, { headers, credentials }));
  const nothing = await told(fetch(decide, { credentials }));
  const wrong = await told(fetch(`${node}/v1/decide?user=ann&key=wrong`, { credentials }));
  const beacons = [];
  if (shown.body) {
    const event = (action) => JSON.stringify({ decision: JSON.parse(shown.body).decision, action });
    const json = new Blob([event('shown')], { type: 'application/json' });
    beacons.push(navigator.sendBeacon(events, json));
    beacons.push(navigator.sendBeacon(events, event('dismissed')));
    const posted = { method: 'POST', body: event('clicked'), keepalive: true, credentials };
    const typed = { ...headers, 'content-type': 'application/json' };
    beacons.push((await told(fetch(events, { ...posted, headers: typed }))).status === 202);
  }
  return { shown, nothing, wrong, beacons };
}

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
try {
  const said = {};
  const traced = {
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    'sentry-trace': '0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1',
  };
  const visits = [
    ['listed', listedPage, { ...traced, 'x-datadog-trace-id': '1' }, 'include'],
    ['other', otherPage, traced, 'omit'],
  ];
  for (const [name, url, headers, credentials] of visits) {
    if (!url) continue;
    const page = await browser.newPage();
    await page.goto(url);
    said[name] = await page.evaluate(visit, { node, key, headers, credentials });
    // Beacons outlive their page.
    await page.close();
  }
  console.log(JSON.stringify(said));
} finally {
  await browser.close();
}
