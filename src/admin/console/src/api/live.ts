// What the node tells each second: one stream for the whole page, closed while nobody looks at the
// tab, as a browser opens six connections to a node at most. What comes is kept for two minutes.
import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { onSignedOut, refusalOf, Refusal } from './client';
import { askAgain, isDown, tellAnswered } from './connection';

export interface Rates {
  readonly requests_per_s: number;
  readonly shows_per_s: number;
  readonly nothing_per_s: number;
  readonly degraded_per_s: number;
  readonly events_per_s: number;
  readonly errors_per_s: number;
  /** Milliseconds; null where nothing was answered. */
  readonly latency_ms: { readonly p50: number | null; readonly p99: number | null };
  readonly connections: number;
}

export interface LiveShard {
  readonly id: number;
  readonly cpu: number;
  readonly load: number;
  readonly requests_per_s: number;
  readonly connections: number;
  readonly users: number;
  readonly latency_ms: { readonly p50: number | null; readonly p99: number | null };
}

export interface LivePopup {
  /** Since the node started. */
  readonly shows: number;
  readonly shows_per_s: number;
  readonly events_per_s: Readonly<Record<string, number>>;
}

export interface Outage {
  readonly outage: string;
  readonly active: boolean;
  readonly at: string;
  readonly code: string;
  readonly error: string;
}

export interface Live {
  readonly at: string;
  readonly interval_ms: number;
  readonly totals: Rates;
  readonly shards: readonly LiveShard[];
  /** Those of which something happened in the interval. */
  readonly popups: Readonly<Record<string, LivePopup>>;
  readonly popups_left_out: number;
  readonly stores: {
    readonly journal: Readonly<Record<string, unknown>>;
    readonly sql: Readonly<Record<string, unknown>>;
    readonly redis: Readonly<Record<string, unknown>> | null;
  };
  readonly outages: readonly Outage[];
  readonly ready: boolean;
  readonly load: number;
  readonly streams: number;
}

export interface CatalogChange {
  readonly version: number;
  readonly since: string;
  readonly overridden: number;
  readonly waiting: Readonly<Record<string, number>>;
  /** Ids; null where it is not known which, or too many. */
  readonly changed: readonly string[] | null;
}

/** The last second; null while none is there or it is too old to be called live. */
export const live = signal<Live | null>(null);

/** The last two minutes, oldest first. */
export const liveHistory = signal<readonly Live[]>([]);

/** Why no live figures come, though the node answers; null while they do, or it is not known. */
export const liveTrouble = signal<string | null>(null);

/** What changed last, by this node or another. */
export const catalogChange = signal<CatalogChange | null>(null);

const HISTORY_MAX = 120;
/** Without a sign for so long, a stream is dead, whatever TCP thinks. */
const SILENT_MS = 5_000;
const FIRST_WAIT_MS = 1_000;
const LAST_WAIT_MS = 30_000;

let users = 0;
let source: EventSource | null = null;
let wait = FIRST_WAIT_MS;
let again: ReturnType<typeof setTimeout> | undefined;
let silence: ReturnType<typeof setTimeout> | undefined;

/** Has the stream open while the caller is shown. */
export function useLive(): void {
  useEffect(() => {
    users += 1;
    turn();
    return () => {
      users -= 1;
      // Another page may want it at once.
      setTimeout(turn, 0);
    };
  }, []);
}

/** Calls when a popup has changed, or may have; with null, whichever it was. */
export function useCatalogChange(id: string | null, call: () => void): void {
  const latest = useRef(call);
  latest.current = call;
  useEffect(() => {
    let isOld = true;
    return catalogChange.subscribe((change) => {
      if (isOld || !change) {
        isOld = false;
        return;
      }
      if (id === null || change.changed === null || change.changed.includes(id)) latest.current();
    });
  }, [id]);
}

/** Opens or closes the stream, as it is wanted. */
function turn(): void {
  const wanted = users > 0 && document.visibilityState === 'visible';
  if (wanted && !source) open();
  if (!wanted) close();
}

function open(): void {
  clearTimeout(again);
  const opened = new EventSource('/v1/live');
  source = opened;
  let isFirst = true;
  listenForSilence();
  opened.addEventListener('live', (event) => {
    const told = read<Live>(event);
    listenForSilence();
    if (!told) return;
    wait = FIRST_WAIT_MS;
    tellAnswered();
    liveTrouble.value = null;
    live.value = told;
    liveHistory.value = [...withoutGap(told), told].slice(-HISTORY_MAX);
  });
  opened.addEventListener('catalog', (event) => {
    const told = read<CatalogChange>(event);
    // What changed before the stream was there, it does not tell.
    if (told) catalogChange.value = isFirst ? { ...told, changed: null } : told;
    isFirst = false;
  });
  // The browser would come again each second, without end; it is done here, ever less often.
  opened.onerror = () => {
    // The browser keeps to itself why a stream was refused.
    const isRefused = opened.readyState === EventSource.CLOSED;
    openLater();
    if (isRefused) void findTrouble();
  };
}

function openLater(): void {
  close();
  // A stream may have ended, or the node: only asking tells.
  void askAgain();
  again = setTimeout(turn, wait * (0.8 + Math.random() * 0.4));
  wait = Math.min(wait * 2, LAST_WAIT_MS);
}

/** What came right before; nothing where the stream was away, as a line would hide that. */
function withoutGap(told: Live): readonly Live[] {
  const last = liveHistory.value[liveHistory.value.length - 1];
  if (!last || Date.parse(told.at) - Date.parse(last.at) > SILENT_MS) return [];
  return liveHistory.value;
}

async function findTrouble(): Promise<void> {
  const abort = new AbortController();
  try {
    const response = await fetch('/v1/live', { signal: abort.signal, credentials: 'same-origin' });
    if (response.status === 401) onSignedOut.call();
    if (response.ok) abort.abort();
    else liveTrouble.value = wordsOf(await refusalOf(response));
  } catch {
    // Then the node is away, which is said elsewhere.
  }
}

function wordsOf({ status, code, message }: Refusal): string {
  if (status === 404) return 'its version is older than the console';
  if (code === 'too_many_streams') {
    return 'it has as many listeners as it allows: close a tab, and they come by themselves';
  }
  return message.replace(/\.$/, '');
}

function close(): void {
  clearTimeout(again);
  clearTimeout(silence);
  source?.close();
  source = null;
  live.value = null;
}

function listenForSilence(): void {
  clearTimeout(silence);
  silence = setTimeout(openLater, SILENT_MS);
}

function read<T>(event: Event): T | null {
  try {
    return JSON.parse((event as MessageEvent<string>).data) as T;
  } catch {
    return null;
  }
}

document.addEventListener('visibilitychange', () => {
  wait = FIRST_WAIT_MS;
  turn();
});

// A node that is back is listened to at once.
isDown.subscribe((down) => {
  if (down) return;
  wait = FIRST_WAIT_MS;
  if (!source) turn();
});
