// Asks the node and has its answer shown. One question at a time; no error leaves this file.

import { hashOf, makeGaps, WAIT_MAX_S } from './gaps.js';
import { makeKept, record } from './kept.js';
import { post, secondsOf, type Reply } from './post.js';
import { makeQueue } from './queue.js';
import type { Action, Answer, Handle, Nudge, Options, Popup, Show } from './types.js';

const TIMEOUT_MS = 5_000;
/** A node that does not answer is left alone for this, in seconds. */
const FAILURE_WAIT_S = 30;
const SESSION_MS = 30 * 60_000;
/** Popups whose conversion can be reported. */
const SHOWN_MAX = 8;
/** A lock that another tab keeps is not waited for longer. */
const LOCK_MS = 10_000;

interface Decided {
  decision: string;
  popup: Popup;
  /** On the page's clock, from the request's begin. */
  expiresAt: number;
}

/** Takes what puts a popup on screen from wherever this build has it. */
export type Load = (options: Options) => Promise<Show>;

export function makeNudge(initial: Options, load: Load): Nudge {
  let options = { ...initial };
  let open: { decided: Decided; close(): void } | undefined;
  let last: Promise<unknown> = Promise.resolve();

  const say = (...words: unknown[]) => options.debug && console.debug('nudge:', ...words);
  const kept = makeKept(() => options.storage !== 'none');
  const gaps = makeGaps(kept);
  const address = (path: string, { node, key } = options) => {
    if (!node) return '';
    const base = node.endsWith('/') ? node : node + '/';
    return base + 'v1/' + path + (key ? '?key=' + encodeURIComponent(key) : '');
  };
  const queue = makeQueue(kept, () => address('events'));

  const session = (asked: Options): string | undefined => {
    if (asked.session !== 'auto') return asked.session;
    const known = record(kept.read('session'));
    const isFresh = Date.now() - Number(known.at) < SESSION_MS;
    const id = isFresh
      ? String(known.id)
      : Math.random().toString(36).slice(2) + Date.now().toString(36);
    kept.write('session', { id, at: Date.now() });
    return id;
  };

  const question = (asked: Options) => {
    const anon = kept.read('anon');
    const { sig, placement, attrs } = asked;
    const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;
    return {
      user: asked.user || (typeof anon === 'string' ? anon : undefined),
      sig: asked.user ? sig : undefined,
      placement: placement || undefined,
      session: session(asked),
      locale: asked.locale ?? (document.documentElement.lang || navigator.language),
      tz: asked.tz ?? zone(),
      attrs,
    };
  };

  const decide = async (asked: Options): Promise<Decided | Answer> => {
    const body = question(asked);
    const attrs = Object.entries(body.attrs || {}).sort(([a], [b]) => (a < b ? -1 : 1));
    const hash = hashOf([asked.node, asked.user, body.placement, body.session, attrs]);
    const maxWait = Math.min(asked.maxWait ?? WAIT_MAX_S, WAIT_MAX_S);
    const left = gaps.left(hash, maxWait);
    if (left > 0) return { popup: null, reason: 'waiting', next: left };
    const begun = performance.now();
    let reply: Reply;
    try {
      reply = await post(address('decide', asked), body, asked.timeout ?? TIMEOUT_MS, false);
    } catch (error) {
      say('no answer', error);
      // The browser itself may be offline: then the node is not at fault.
      if (navigator.onLine !== false) gaps.set(hash, FAILURE_WAIT_S);
      return { popup: null, reason: 'failed' };
    }
    const told = record(reply.body);
    const anon = told.anon || reply.field('Nudge-Anon');
    if (!asked.user && typeof anon === 'string' && anon) kept.write('anon', anon);
    if (reply.status === 204) {
      const next = secondsOf(reply, 'Nudge-Next');
      gaps.set(hash, Math.min(next, maxWait));
      return { popup: null, reason: reply.field('Nudge-Reason') || 'none', ...(next && { next }) };
    }
    const popup = record(told.popup);
    if (reply.status === 200 && typeof told.decision === 'string' && popup.id) {
      const expiresAt = begun + (Number(told.expires_in) || 30) * 1e3;
      const { id, version, variant, content } = popup;
      const shown = { id, version, variant, content: record(content) } as Popup;
      return { decision: told.decision, popup: shown, expiresAt };
    }
    if (reply.status >= 500 || reply.status === 429) {
      gaps.set(hash, secondsOf(reply, 'Retry-After') || FAILURE_WAIT_S);
    } else {
      console.warn(`nudge: the node answered ${reply.status}`);
    }
    return { popup: null, reason: 'failed' };
  };

  /** As `decide`, in one tab at a time, so that the next one finds what this one was told. */
  const decideAlone = async (asked: Options): Promise<Decided | Answer> => {
    const run = () => decide(asked);
    let hasBegun = false;
    try {
      if (asked.storage === 'none' || !navigator.locks) return await run();
      const abort = new AbortController();
      const timer = setTimeout(() => abort.abort(), LOCK_MS);
      return await navigator.locks.request('nudge', { signal: abort.signal }, () => {
        clearTimeout(timer);
        hasBegun = true;
        return run();
      });
    } catch (error) {
      if (hasBegun) throw error;
      return run();
    }
  };

  const report = (decided: Decided, action: Action, url?: string): boolean => {
    const { decision, popup } = decided;
    queue.add(decision, action);
    say(action, popup.id);
    const detail = { popup, decision, url };
    return document.dispatchEvent(new CustomEvent('nudge:' + action, { detail, cancelable: true }));
  };

  /** Whether the popup is on screen. */
  const put = async (decided: Decided, asked: Options): Promise<boolean> => {
    let isOver = false;
    let takeOff: unknown;
    const done = (action: Action, url?: string): boolean => {
      const isLast = action !== 'shown' && action !== 'converted';
      if (isLast && isOver) return true;
      if (isLast) {
        isOver = true;
        open = undefined;
      }
      return report(decided, action, url);
    };
    const handle: Handle = { decision: decided.decision, report: done };
    if (asked.render) {
      takeOff = await asked.render(decided.popup, handle);
      if (takeOff === false) return false;
    } else {
      const show = await load(asked);
      if (performance.now() > decided.expiresAt) return false;
      const { nonce, closeLabel } = asked;
      takeOff = show(decided.popup.content, { nonce, closeLabel, done });
      if (!takeOff) return false;
    }
    const others = (kept.read('shown') as unknown[]) || [];
    const known = Array.isArray(others) ? others.slice(1 - SHOWN_MAX) : [];
    kept.write('shown', [...known, { id: decided.popup.id, decision: decided.decision }]);
    report(decided, 'shown');
    if (!isOver) {
      const close = () => {
        if (typeof takeOff === 'function') takeOff();
        done('ignored');
      };
      open = { decided, close };
    }
    return true;
  };

  const askNow = async (asked: Options, triesLeft: number): Promise<Answer> => {
    if (open) return { popup: null, reason: 'busy' };
    await visible();
    const decided = await decideAlone(asked);
    if (!('expiresAt' in decided)) return decided;
    await visible();
    if (performance.now() > decided.expiresAt) {
      return triesLeft ? askNow(asked, triesLeft - 1) : { popup: null, reason: 'expired' };
    }
    const { popup, decision } = decided;
    return (await put(decided, asked)) ? { popup, decision } : { popup: null, reason: 'unshown' };
  };

  const quietly = <T>(act: () => T): T | undefined => {
    try {
      return act();
    } catch (error) {
      say('failed', error);
      return undefined;
    }
  };

  addEventListener('pagehide', () =>
    quietly(() => {
      // It may come back from the browser's memory: the popup stays, and a click then counts more.
      if (open) queue.add(open.decided.decision, 'ignored', true);
      queue.leave();
    }),
  );
  document.addEventListener('visibilitychange', () =>
    quietly(() => {
      if (document.visibilityState === 'hidden') queue.leave();
    }),
  );
  quietly(queue.flush);

  return {
    ask(more) {
      const asked = async (): Promise<Answer> => {
        try {
          const answer = await askNow({ ...options, ...more }, 1);
          say('answer', answer);
          return answer;
        } catch (error) {
          say('failed', error);
          return { popup: null, reason: 'failed' };
        }
      };
      const answer = last.then(asked);
      last = answer;
      return answer;
    },
    configure(more) {
      const before = options;
      options = { ...options, ...more };
      if (before.storage === 'none' && options.storage !== 'none') quietly(queue.flush);
    },
    converted: (id) =>
      void quietly(() => {
        const shown = (kept.read('shown') as unknown[]).map(record).reverse();
        const found = shown.find((one) => !id || one.id === id);
        if (found) queue.add(String(found.decision), 'converted');
      }),
    close: () => void quietly(() => open?.close()),
    reset: () =>
      void quietly(() => {
        queue.forget();
        kept.clear();
      }),
  };
}

/** Until somebody sees the page: what is decided counts as shown. */
function visible(): Promise<void> {
  const isSeen = () => document.visibilityState !== 'hidden' && !record(document).prerendering;
  if (isSeen()) return Promise.resolve();
  return new Promise((resolve) => {
    const look = () => {
      if (!isSeen()) return;
      document.removeEventListener('visibilitychange', look);
      document.removeEventListener('prerenderingchange', look);
      resolve();
    };
    document.addEventListener('visibilitychange', look);
    document.addEventListener('prerenderingchange', look);
  });
}
