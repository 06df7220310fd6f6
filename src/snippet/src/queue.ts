// Events on their way to the node. Each stays until the node has said that it has it, over page
// loads and while offline; the node counts a repeated one once. A page that is left sends by beacon.

import { record, type Kept } from './kept.js';
import { post, secondsOf } from './post.js';
import type { Action } from './types.js';

/** Events that wait; the oldest go. */
const EVENTS_MAX = 50;
/** The node takes none later than this after its decision. */
const AGE_MAX_MS = 7 * 86_400_000;
const PAUSE_MIN_MS = 1_000;
const PAUSE_MAX_MS = 60_000;
const TIMEOUT_MS = 10_000;
/** Codes of a rejection that passes. */
const PASSING = ['overloaded', 'rate_limited'];
/** Statuses after which the same request can't be better. */
const HOPELESS = [400, 413, 415];

interface Event {
  decision: string;
  action: Action;
  ts: number;
}

export interface Queue {
  add(decision: string, action: Action, isLeaving?: boolean): void;
  /** Sends what waits, unless a pause is on. */
  flush(): void;
  /** The page is left: sends what is not under way by beacon. */
  leave(): void;
  forget(): void;
}

const isSame = (a: Event) => (b: Event) => a.decision === b.decision && a.action === b.action;

/** `url` gives where events are posted to, or nothing while that is not known. */
export function makeQueue(kept: Kept, url: () => string): Queue {
  const NAME = 'events';
  // Those of this page too: another tab that writes at the same moment must not lose them.
  let own: Event[] = [];
  let underWay: Event[] = [];
  let pauseMs = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const waiting = (): Event[] => {
    const stored = kept.read(NAME);
    const all: Event[] = [];
    for (const event of (Array.isArray(stored) ? stored : []).concat(own)) {
      const { decision, ts } = record(event);
      const isGood = typeof decision === 'string' && Date.now() - Number(ts) < AGE_MAX_MS;
      if (isGood && !all.some(isSame(event))) all.push(event);
    }
    return all.slice(-EVENTS_MAX);
  };

  const remove = (done: Event[]) => {
    const isDone = (event: Event) => done.some(isSame(event));
    own = own.filter((event) => !isDone(event));
    kept.write(
      NAME,
      waiting().filter((event) => !isDone(event)),
    );
  };

  /** Those of a batch that need not be sent again; a pause in seconds that the node asks for. */
  const send = async (events: Event[]): Promise<[Event[], number]> => {
    const reply = await post(url(), events, TIMEOUT_MS, true);
    if (reply.status === 202) {
      const rejected = record(reply.body).rejected;
      const later = (Array.isArray(rejected) ? rejected : [])
        .map(record)
        .filter(({ code }) => PASSING.includes(String(code)))
        .map(({ index }) => index);
      return [events.filter((_, index) => !later.includes(index)), 0];
    }
    return [HOPELESS.includes(reply.status) ? events : [], secondsOf(reply, 'Retry-After')];
  };

  const flush = async () => {
    if (underWay.length || timer) return;
    const events = waiting();
    if (!events.length || !url()) return;
    underWay = events;
    let askedS = 0;
    let done: Event[] = [];
    try {
      [done, askedS] = await send(events);
    } catch {
      // Offline, or the node is.
    }
    underWay = [];
    remove(done);
    if (done.length === events.length) {
      pauseMs = 0;
      if (own.length) void flush();
      return;
    }
    pauseMs = Math.min(Math.max(pauseMs * 2, PAUSE_MIN_MS), PAUSE_MAX_MS);
    const jittered = pauseMs * (0.5 + Math.random() / 2);
    timer = setTimeout(resume, Math.max(jittered, Math.min(askedS * 1e3, PAUSE_MAX_MS)));
  };

  const resume = () => {
    clearTimeout(timer);
    timer = undefined;
    void flush();
  };

  addEventListener('online', () => {
    pauseMs = 0;
    resume();
  });

  return {
    add(decision, action, isLeaving) {
      const event = { decision, action, ts: Date.now() };
      if (waiting().some(isSame(event))) return;
      own.push(event);
      own = own.slice(-EVENTS_MAX);
      kept.write(NAME, waiting());
      if (!isLeaving) void flush();
    },
    flush: () => void flush(),
    leave() {
      const left = waiting().filter((event) => !underWay.some(isSame(event)));
      // They stay until a request is answered: nobody tells what became of a beacon.
      if (left.length && url()) navigator.sendBeacon?.(url(), JSON.stringify(left));
    },
    forget() {
      own = [];
    },
  };
}
