// What goes on while somebody types: the node is asked what it says of the text, and the text is
// kept in this browser.
import { useSignalEffect } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { session } from '../../api/session';
import { forget, keep, keptOf, type Kept } from './model/kept';
import { check } from './requests';
import type { EditorState } from './state';

const CHECK_PAUSE_MS = 250;
const KEEP_PAUSE_MS = 400;

/** Asks the node after each pause in typing; a node that can't be asked is not asked again. */
export function useCheck(state: EditorState): void {
  const isDeaf = useRef(false);
  const abort = useRef<AbortController | null>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>();
  useSignalEffect(() => {
    const text = state.doc.text.value;
    const isBroken = state.doc.broken.value !== null;
    clearTimeout(timer.current);
    abort.current?.abort();
    if (isBroken || isDeaf.current || state.doc.told.peek()?.text === text) return;
    timer.current = setTimeout(() => {
      const one = new AbortController();
      abort.current = one;
      check(state.isNew ? '' : state.id, text, one.signal).then(
        (problems) => {
          if (problems === null) isDeaf.current = true;
          else state.doc.told.value = { text, problems };
        },
        // The next text is asked for again; the hints of the form hold until then.
        () => {},
      );
    }, CHECK_PAUSE_MS);
  });
  useEffect(
    () => () => {
      clearTimeout(timer.current);
      abort.current?.abort();
    },
    [],
  );
}

export interface Offer {
  readonly kept: Kept;
  readonly take: () => void;
  readonly drop: () => void;
}

function shelf(): Storage | null {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

/** Keeps what is typed, and offers what a closed tab has left. `key` is the popup's, or a new one's. */
export function useKeeping(
  state: EditorState,
  key: string,
): { offer: Offer | null; isKept: boolean } {
  const node = session.value?.node ?? '';
  const place = shelf();
  const [left, setLeft] = useState<Kept | null>(() => {
    const kept = place && !state.doc.readOnly ? keptOf(place, node, key) : null;
    return kept && kept.text.trim() !== state.loaded.peek().trim() ? kept : null;
  });
  const [isKept, setKept] = useState(true);
  const timer = useRef<ReturnType<typeof setTimeout>>();
  const write = useRef(() => {});
  write.current = () => {
    if (!place || state.doc.readOnly) return;
    if (state.isDirty.peek()) setKept(keep(place, node, key, state.toKeep()));
    // What is offered stays until it is taken or dropped.
    else if (!left) forget(place, node, key);
  };
  useSignalEffect(() => {
    void state.doc.text.value;
    void state.isDirty.value;
    clearTimeout(timer.current);
    timer.current = setTimeout(() => write.current(), KEEP_PAUSE_MS);
  });
  useEffect(() => {
    const flush = () => write.current();
    window.addEventListener('pagehide', flush);
    document.addEventListener('visibilitychange', flush);
    return () => {
      window.removeEventListener('pagehide', flush);
      document.removeEventListener('visibilitychange', flush);
      clearTimeout(timer.current);
      flush();
    };
  }, []);
  const offer = left && {
    kept: left,
    take: () => {
      state.takeKept(left);
      setLeft(null);
    },
    drop: () => {
      if (place) forget(place, node, key);
      setLeft(null);
    },
  };
  return { offer, isKept };
}
