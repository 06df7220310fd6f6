// What `<script src=".../nudge.js">` runs: reads the tag, makes the one global, and asks once for
// each view of the page.

import { makeNudge, type Load } from './client.js';
import type { Nudge, Options, Show } from './types.js';

/** The popup's file, by its hash; the build puts it in. */
declare const POPUP_FILE: string;

type Global = Nudge & { show?: Show };
const here = window as unknown as { nudge?: Global & Options };
const TEXTS = ['node', 'key', 'user', 'sig', 'placement', 'session', 'locale', 'tz'] as const;
const LOAD_MS = 10_000;

/** What a tag's attributes say, beside the address that it is loaded from. */
function read(tag: HTMLScriptElement): Options {
  const options: Options = { node: new URL('.', tag.src).href, nonce: tag.nonce, attrs: {} };
  for (const { name, value } of Array.from(tag.attributes)) {
    // As it stands in the page but for capitals, which HTML does not tell apart.
    if (name.startsWith('data-attr-')) options.attrs![name.slice(10)] = value;
  }
  const { dataset } = tag;
  for (const name of TEXTS) if (dataset[name] !== undefined) options[name] = dataset[name];
  if (dataset.storage === 'none') options.storage = 'none';
  if (dataset.maxWait) options.maxWait = Number(dataset.maxWait);
  if (dataset.timeout) options.timeout = Number(dataset.timeout);
  if (dataset.closeLabel) options.closeLabel = dataset.closeLabel;
  options.manual = 'manual' in dataset;
  options.debug = 'debug' in dataset;
  return options;
}

/** A page may let only named policies load scripts; one that does not know ours may ask for none. */
function trusted(url: string): string {
  try {
    const { trustedTypes } = window as unknown as { trustedTypes: any };
    const policy = trustedTypes.createPolicy('nudge', { createScriptURL: () => url });
    return policy.createScriptURL(url);
  } catch {
    return url;
  }
}

let loading: Promise<Show> | undefined;
const load =
  (base: string): Load =>
  ({ nonce }) =>
    (loading ??= new Promise<Show>((resolve, reject) => {
      const script = document.createElement('script');
      const end = () => {
        clearTimeout(timer);
        if (here.nudge?.show) return resolve(here.nudge.show);
        loading = undefined;
        reject(new Error('the popup file did not load'));
      };
      const timer = setTimeout(end, LOAD_MS);
      script.onload = script.onerror = end;
      try {
        if (nonce) script.nonce = nonce;
        script.src = trusted(base + POPUP_FILE);
        document.head.append(script);
      } catch {
        end();
      }
    }));

function start(tag: HTMLScriptElement): void {
  const preset = here.nudge;
  if (typeof preset?.ask === 'function') return;
  const options = { ...read(tag), ...preset };
  // A page may have these files from elsewhere than the node.
  const nudge: Global = makeNudge(options, load(new URL('.', tag.src).href));
  here.nudge = nudge;
  const begin = () => {
    if (!options.manual) void nudge.ask();
  };
  options.ready?.(nudge);
  document.dispatchEvent(new CustomEvent('nudge:ready', { detail: nudge }));
  if (document.readyState === 'loading') {
    document.addEventListener('DOMContentLoaded', begin);
  } else {
    begin();
  }
  // Back from the browser's memory: the page is looked at once more.
  addEventListener('pageshow', (event) => {
    if (event.persisted) begin();
  });
}

try {
  const tag = document.currentScript || document.querySelector('script[src*="/nudge"]');
  if (tag) start(tag as HTMLScriptElement);
} catch (error) {
  console.warn('nudge: not started', error);
}
